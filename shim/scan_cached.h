/* SPDX-License-Identifier: MIT
 *
 * What scan_scope.c and its rules (scan_cached.c) share. A block that was made in the scope is a leak unless all ways from the
 * roots to it lead through a cache. */
#ifndef SHIM_SCAN_CACHED_H
#define SHIM_SCAN_CACHED_H

#include "scan_graph.h"
#include "scan_state.h"

#include <string.h>

#define OB_TYPE 8u
#define TP_NAME 24u
#define CACHED_NAME_MAX 64u

enum scope_mark {
    MARK_MADE = 1u << 0,      /* in the scope */
    MARK_HELD = 1u << 1,      /* by a way without a cache */
    MARK_CACHED = 1u << 2,    /* by one through a cache */
    MARK_CLOSED = 1u << 3,    /* a cache: what it leads to is not held by it */
    MARK_NAMESPACE = 1u << 4, /* names of a module of the library, or the table of them */
    MARK_STATE = 1u << 5,     /* what the interpreter, or a module of its library, keeps for itself in a block */
    MARK_CONTEXT = 1u << 6,   /* of context variables, held by a thread state */
    MARK_OUT = 1u << 7,       /* never a leak of the scope, whatever it leads to */
    MARK_DICT = 1u << 8,      /* table of a dict that the interpreter has */
    MARK_ARRAY = 1u << 9,     /* other memory to which the state leads */
    MARK_NAMED = 1u << 10,    /* has a name in a module of the library */
    MARK_LIBRARY = 1u << 11,  /* memory of a container of the library */
    MARK_SKIPPED = 1u << 12,  /* no way leads through it */
    MARK_EXPLAINS = 1u << 13, /* made in the scope or asked for by a library, and caches lead to it over such only */
    MARK_ASKED = 1u << 14, /* asked for by a C library of the interpreter's library, or by the C library, for itself */
    MARK_SPECIFIC = 1u << 15, /* the C library's array of a thread's specific data */
};

struct scan_cached {
    struct scan *scan;
    uint16_t *marks;             /* enum scope_mark of each block */
    uint32_t *owned;             /* pointers to each block, from where they count as references */
    uint32_t *listed;            /* and those in the interpreter's data, which may be left over */
    struct scan_array data;      /* ranges of the data of extension modules that were loaded in the scope, ordered */
    struct scan_array libraries; /* ranges of the C libraries that the interpreter's library is made with, ordered */
    struct scan_range libc;
    uint32_t interpreter; /* block that is the interpreter's structure, SCAN_NONE = it is static data */
};

void scan_cached_init(struct scan_cached *cached, struct scan *scan, uint16_t *marks, uint32_t *owned,
                      uint32_t *listed);
void scan_cached_done(struct scan_cached *cached);

/* Takes away the pointers of the table of interned strings, which owns none of them. */
void scan_cached_drop_borrowed(struct scan_cached *cached);

/* A Python module that was imported in the scope: also what its extension module keeps in static data is a cache. */
void scan_cached_add_module(struct scan_cached *cached, uint32_t block);

/* A block, made in the scope, in which the loader may have what it knows of a module: then that was loaded in the scope. */
void scan_cached_add_loaded(struct scan_cached *cached, uint32_t block);

/* Marks the blocks that hold the state of the interpreter and of modules of its library, and the memory of those containers that
 * only the interpreter has. */
void scan_cached_mark_states(struct scan_cached *cached);

/* Marks the own memory of a container (a dict's table of keys) that was made in the scope; `mark` is added to it. */
void scan_cached_mark_table(struct scan_cached *cached, uint32_t container, uint16_t mark);

bool scan_cached_is_code(const struct scan_cached *cached, uint32_t block);

/* The object is a dict of names of the library, or has its attributes in one. */
void scan_cached_mark_names(struct scan_cached *cached, uint32_t object);

/* Whether the pointer in a block, or in the place of a root, to the block `target` that was made in the scope is one of a cache. */
bool scan_cached_edge(struct scan_cached *cached, uint32_t source, uint32_t target);
bool scan_cached_root(struct scan_cached *cached, uintptr_t place, uint32_t target);

/* Whether the pointer to a list or dict that was made in the scope is an entry of an array of free ones, out of which it was
 * taken again. `place`: where the pointer is in static data, 0 = in the interpreter's structure. */
bool scan_cached_is_free(const struct scan_cached *cached, uintptr_t place, uint32_t target);

/* Whether a root is one of a C library of the interpreter's library, or what such a library has asked for and keeps for the thread:
 * what only that has, it keeps for the next time. */
bool scan_cached_is_library_root(const struct scan_cached *cached, uintptr_t place, uint32_t target);

/* Marks the blocks that C libraries asked for themselves, and a thread's specific data. */
void scan_cached_mark_asked(struct scan_cached *cached);

/* Whether the interpreter, its library or a C library asked for the block. */
bool scan_cached_is_asked_by_known(const struct scan_cached *cached, uint32_t block);

/* Whether the block may be one of a cache by who asked for it: memory of malloc is, if the interpreter or its library did. */
bool scan_cached_is_theirs(const struct scan_cached *cached, uint32_t block);

/* Whether the block, made in the scope, is the interpreter's or the loader's by what it is. */
bool scan_cached_is_own(const struct scan_cached *cached, uint32_t block);

/* Whether every count of the object has its reference elsewhere than on stacks and in the interpreter's data; or, of memory that is
 * no object, someone there has it. */
bool scan_cached_is_owned(const struct scan_cached *cached, uint32_t block);

/* Whether the list has a pointer into `target` among its items, and not only in the room behind them. */
bool scan_cached_is_item(const struct scan_cached *cached, uint32_t list, uint32_t target);

/* The count of references of the object in a block; UINT32_MAX: no object, or one that is made to last. */
uint32_t scan_cached_count(const struct scan_cached *cached, uint32_t block);

/* ---- scan_cached_marks.c ---- */

/* Whether the address is that of a type in static data. */
bool scan_cached_is_static_type(const struct scan_cached *cached, uintptr_t address);

/* Whether the interpreter's data has at `place` the dict of a static type, or that of its subclasses (3.13). */
bool scan_cached_is_type_state(const struct scan_cached *cached, uintptr_t place);

/* The block's pointers own nothing. */
void scan_cached_drop_edges(const struct scan_cached *cached, uint32_t block);

/* Whether the dict is that of a type's subclasses: weak references, and what is left of others in free entries. */
bool scan_cached_has_subclasses(const struct scan_cached *cached, uint32_t dict);

/* ---- blocks and words ---- */

static inline const struct scan_block *cached_block(const struct scan_cached *cached, uint32_t block)
{
    return &cached->scan->index.blocks[block];
}

static inline bool cached_is_object(const struct scan_block *block)
{
    return block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT;
}

static inline uint64_t cached_word(const struct scan_cached *cached, uintptr_t address)
{
    uint64_t word;
    return address && scan_copy(&cached->scan->reader, &word, address, sizeof(word)) ? word : 0;
}

static inline uintptr_t cached_type(const struct scan_cached *cached, const struct scan_block *block)
{
    return cached_is_object(block) ? cached_word(cached, block->start + block->object + OB_TYPE) : 0;
}

/* tp_name, as static types and types made of a spec have it. */
static inline bool cached_is_named(const struct scan_cached *cached, const struct scan_block *block, const char *name)
{
    char text[CACHED_NAME_MAX] = "";
    uintptr_t pointer = cached_word(cached, cached_type(cached, block) + TP_NAME);
    size_t size = strlen(name) + 1;

    return pointer && scan_copy(&cached->scan->reader, text, pointer, size) && memcmp(text, name, size) == 0;
}

static inline bool cached_is_in(const struct scan_range *range, uintptr_t address)
{
    return address - range->start < range->end - range->start;
}

static inline bool cached_is_in_ranges(const struct scan_array *ranges, uintptr_t address)
{
    const struct scan_range *range = address ? scan_range_find(ranges, address) : NULL;
    return range && range->start <= address;
}

static inline void cached_for_each_edge(const struct scan_cached *cached, uint32_t block,
                                        void (*visit)(const struct scan_cached *, uint32_t target, void *context),
                                        void *context)
{
    const struct scan *scan = cached->scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    for (uint64_t i = scan->first[block]; i < scan->first[block + 1]; i++)
        if (edges[i] != SCAN_EDGE_NONE)
            visit(cached, edges[i] & SCAN_EDGE_TARGET, context);
}

#endif
