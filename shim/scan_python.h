/* SPDX-License-Identifier: MIT
 *
 * What the leak scan has to know of CPython's objects: which blocks hold one, of what type, and which of its words are
 * references that own nothing (the collector's list, weak references) or are no plain pointers (ints that hold an address).
 * Offsets are those of pycompat.h's versions, builds with a GIL. Reads by scan_memory.h, calls nothing of the interpreter. */
#ifndef SHIM_SCAN_PYTHON_H
#define SHIM_SCAN_PYTHON_H

#include "scan_index.h"
#include "scan_memory.h"

struct pyapi;

enum scan_type_flags {
    TYPE_VALID = 1u << 0,
    TYPE_GC = 1u << 1,
    TYPE_LONG = 1u << 2,
    TYPE_STRING = 1u << 3, /* str itself */
    TYPE_WEAKREF = 1u << 4,
    TYPE_TYPE = 1u << 5, /* instances are types */
    TYPE_FRAME = 1u << 6,
    TYPE_DICT = 1u << 7,
    TYPE_MANAGED_DICT = 1u << 8,
    TYPE_MANAGED_WEAKREF = 1u << 9,
    TYPE_HEAP = 1u << 10,
    TYPE_LIST = 1u << 13,
    TYPE_CONSTANT = 1u << 14, /* tuple itself, code */
    TYPE_MODULE = 1u << 12,
    TYPE_FOREIGN = 1u << 15, /* its code, or that of a base, is neither the interpreter's nor its library's */
    TYPE_UNNAMED = 1u << 11, /* `name` was not looked for yet */
    TYPE_INLINE_VALUES = 1u << 16,
    TYPE_SET = 1u << 17, /* set or frozenset itself */
};

#define SCAN_SET_SIZE 200u      /* bytes of a set */
#define SCAN_TYPE_SIZE_MIN 400u /* bytes of a type object */

struct scan_type {
    uintptr_t address; /* of the type object; 0 = free slot */
    uint32_t flags;    /* enum scan_type_flags */
    uint32_t name;     /* LEDGER_TEXT ref, 0 = none */
    uint32_t basic_size;
    uint16_t head;         /* bytes before the object in its block */
    uint16_t weakref_list; /* offset in the object, 0 = none */
};

struct scan_python {
    bool active;
    bool running;  /* not finalized */
    bool inherits; /* the process is a fork of a traced one, whose blocks are not in its index */
    uint8_t minor;
    uint16_t text;            /* offset of the characters in a str of ASCII */
    uint16_t frame_generator; /* borrowed reference in a frame object, 0 = none */
    const struct pyapi *api;
    struct scan_reader *reader;
    const struct scan_index *index;
    const struct scan_array *data;        /* ranges of modules' data, ordered */
    const struct scan_range *interpreter; /* its module */
    const struct scan_array *library;     /* ranges of its extension modules, ordered */
    struct scan_array types;              /* hash table of struct scan_type */
    struct scan_array subclasses;         /* uint32_t: blocks of types' dicts of their subclasses */
    uint32_t type_count, type_room;
    uintptr_t module_key; /* the interned string "__module__", once met */
    uint16_t qualname;    /* offset of ht_qualname in heap types, 0 = not known yet */
};

void scan_python_init(struct scan_python *python, const struct pyapi *api, struct scan_reader *reader,
                      const struct scan_index *index, const struct scan_array *data,
                      const struct scan_range *interpreter, const struct scan_array *library);
void scan_python_done(struct scan_python *python);

enum scan_object_facts {
    OBJECT_EXACT = 1u << 0, /* words of the block are pointers only if they are to the very start of something */
};

/* Looks at the beginning of a block of DOMAIN_OBJ, of which `words` is a copy of `size` bytes. Returns the object's type
 * (valid until the next call), or NULL; fills block->object and block->facts, and clears those words of the copy that must
 * not count. *size is lowered where the rest of the block holds no pointers. *ret_references receives the object's reference
 * count, 0 where that says nothing: no object, an immortal one, one that is parked in a free list. */
const struct scan_type *scan_python_look(struct scan_python *python, struct scan_block *block, uint64_t *words,
                                         size_t *size, unsigned *ret_facts, uint32_t *ret_references);

/* ---- scan_types.c ---- */

/* What is known of the type at `address`, valid until the next call; without TYPE_VALID it is none. NULL: no memory. `depth`: 0,
 * but for calls from inside. */
const struct scan_type *scan_type_get(struct scan_python *python, uintptr_t address, unsigned depth);

/* The place of the type in the table, where it is or would be. */
struct scan_type *scan_type_slot(struct scan_python *python, uintptr_t address);

/* Makes the table or a larger one. False: there is no memory. */
bool scan_types_make_table(struct scan_python *python, uint32_t room);

/* ---- scan_names.c ---- */

/* LEDGER_TEXT ref of the name of a type, as scan_python_look gave it. */
uint32_t scan_python_name(struct scan_python *python, const struct scan_type *type);

/* Address of the keys that the instances of the heap type at `type` share, or 0. */
uintptr_t scan_python_cached_keys(struct scan_python *python, uintptr_t type);

/* The characters of a str of ASCII at `object`, not terminated; 0: it is none, or longer than `size`. */
size_t scan_python_string(const struct scan_python *python, uintptr_t object, char *text, size_t size);

/* Bits of a pointer in the interpreter's memory that may be tags. */
static inline uintptr_t scan_python_tags(const struct scan_python *python)
{
    return python->active && python->minor >= 14 ? 3 : 0;
}

#endif
