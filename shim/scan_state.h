/* SPDX-License-Identifier: MIT
 *
 * What the parts of the leak scan share during one run (scan.h tells the order). All of it is private memory of the shim,
 * given back at the end; one thread works. */
#ifndef SHIM_SCAN_STATE_H
#define SHIM_SCAN_STATE_H

#include "ledger.h"
#include "scan_index.h"
#include "scan_memory.h"
#include "scan_python.h"

/* How a pointer hits a block, in the upper 3 bits of an edge while edges are collected. What it means depends on the block,
 * which may not have been looked at yet. */
enum scan_hit {
    HIT_START = 0, /* + 0 */
    HIT_16,        /* + 16 and so on */
    HIT_32,
    HIT_8,
    HIT_24,
    HIT_MIDDLE,
    HIT_TEXT, /* where a str of ASCII has its characters */
    HIT_INSIDE =
        7, /* no pointer, but one is a part of the other, or lies in it; with all other bits set: nothing at all */
};
#define SCAN_HIT_SHIFT 29
#define SCAN_HIT_TARGET ((1u << SCAN_HIT_SHIFT) - 1)

/* A pointer into a block of operator new, which may be to a base of the object. */
struct scan_base_check {
    uint64_t edge; /* place among the edges, or, with the top bit, among the roots */
    uint32_t offset;
    uint32_t target;
};

struct scan_vtable {
    uintptr_t address;
    bool is_one;
};

#define SCAN_VTABLES 256u

/* A word that may point to a block. They are looked up many at a time, so that the memory can fetch the parts of the index
 * that they need at once: nearly each one is a cache miss. */
struct scan_word {
    uintptr_t address;
    uintptr_t place; /* of the word, of roots only */
    uint32_t source;
    bool exact;
    bool beside; /* see scan.beside */
};

#define SCAN_PENDING 64u

struct scan {
    struct scan_reader reader;
    struct scan_index index;
    struct scan_python python;
    struct scan_array mappings;
    struct scan_array data;        /* ranges of modules' writable segments, ordered */
    struct scan_array holes;       /* ranges that are no roots, ordered */
    struct scan_array arenas;      /* ranges of pymalloc's arenas, ordered; they are holes too */
    struct scan_range loader;      /* addresses of the dynamic loader */
    struct scan_range interpreter; /* of the module that holds the Python interpreter */
    struct scan_array library;     /* ranges of the extension modules of its standard library, ordered */
    struct scan_array edges;       /* uint32_t */
    struct scan_array roots;       /* uint32_t */
    uint64_t late_roots;           /* see scan_graph.h */
    struct scan_array places;      /* uintptr_t: where in memory the roots are */
    uintptr_t origin;              /* address of the words that scan_words is given, of roots only */
    bool beside;                   /* they stand between tracked regions: not pointers to such */
    struct scan_array bases;       /* struct scan_base_check */
    struct scan_array states;      /* uint32_t: blocks of the interpreter's thread states */
    uint64_t *first; /* of the edges of each block; while they are collected, first[i + 1] is their number */
    uint8_t *kinds;
    uint32_t *counts;     /* reference counts of objects, 0 = of none; NULL: no audit */
    uint32_t *found;      /* references to each block that are in memory */
    uint32_t *parents;    /* of scan_graph.h */
    struct scan_why *why; /* NULL: no explanations */
    uint32_t *leaders;    /* of a block in a lost cycle that has one: its leader + 1 */
    struct scan_vtable vtables[SCAN_VTABLES];
    struct scan_word pending[SCAN_PENDING];
    uint32_t pending_count;
    const struct scan_threads *threads;
    const struct scan_drop *drop; /* of scan_options */
    uintptr_t stack;              /* where the stack of the calling thread begins to count */
    uint32_t excused;             /* thread states and the like that a running thread may hold */
    uint64_t tcache_key;          /* 0 = not known */
    uint64_t skipped;             /* bytes of mappings that were left out */
    bool failed;                  /* no memory */
    bool types;
};

/* The block with all that lies in it. */
static inline uint64_t scan_whole_size(const struct scan_block *block)
{
    const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);

    return likely(!block->container) ? block->size : MAX(record->size, 1u);
}

/* ---- scan_edges.c ---- */

/* Adds an edge for each word that points to a block, now or when scan_flush is called. `source` SCAN_NONE: to the roots. */
void scan_words(struct scan *scan, const uint64_t *words, size_t count, uint32_t source, unsigned facts);
void scan_flush(struct scan *scan);

/* Looks through all blocks: fills edges, first, the facts and objects of blocks, and the types in the ledger. */
void scan_blocks(struct scan *scan);

/* Makes of hits what scan_graph.h wants, now that all blocks are known. */
void scan_resolve(struct scan *scan);

/* ---- scan_roots.c ---- */

/* Finds all roots. Returns 0 or -errno (nothing is known of the memory of this process). */
int scan_find_roots(struct scan *scan);

/* When all blocks are known: puts those roots last that may be left over from an earlier use. */
void scan_order_roots(struct scan *scan);

/* The words of [start, end) are roots. */
void scan_root_range(struct scan *scan, uintptr_t start, uintptr_t end);

/* ---- scan_heap.c ---- */

/* [start, end) is anonymous memory, without holes: what is in it besides recorded blocks are roots, but not free chunks of the
 * C library's heap, nor what other heaps keep between blocks. */
void scan_area(struct scan *scan, const struct scan_mapping *mapping, uintptr_t start, uintptr_t end);

/* Pymalloc's arena in a forked child: blocks of the parent are roots. */
void scan_inherited(struct scan *scan, uintptr_t start, uintptr_t end);

/* ---- scan_stacks.c ---- */

/* Adds holes for the unused parts of stacks: below stack pointers, and of threads that have ended. */
void scan_stacks(struct scan *scan);

/* ---- scan_survivors.c ---- */

struct ledger_trace;

struct ledger_node;

/* Whether this is a Python frame of the import system. */
bool scan_is_import_frame(const struct ledger_node *node);

/* Whether the innermost Python frame is one, from where modules written in C are begun. */
bool scan_is_importing(const struct ledger_trace *trace);

/* Whether the innermost Python frame is that in which threading starts a thread. */
bool scan_is_starting(const struct ledger_trace *trace);

/* Whether one of the Python frames is the import system's. */
bool scan_comes_from_import(const struct ledger_trace *trace);

/* Whether the dynamic loader allocated the block for itself. */
bool scan_is_loaders(const struct scan *scan, const struct scan_block *block);

/* Whether the block is a tuple of names that an extension may have lost, whatever its stack says. */
bool scan_is_names(const struct scan *scan, const struct scan_block *block);

/* For scan_graph.h: whether a lost block is kept by the loader or the interpreter. `context` is the scan. */
int scan_is_survivor(void *context, uint32_t number);

/* ---- scan_garbage.c ---- */

/* For scan_graph.h: marks garbage that the interpreter's collector left over (FACT_INTERPRETER). */
void scan_find_garbage(void *context, const uint8_t *kinds);

/* Whether the block holds an object that the collector knows: its head is in the collector's list. */
bool scan_is_tracked(const struct scan *scan, const struct scan_block *block);

/* ---- scan_growth.c ---- */

/* The garbage is known: writes how much of each stack only that holds. */
void scan_growth_note(struct scan *scan);

/* ---- scan_references.c ---- */

/* Makes room for what the audit counts, if there can be one. False: there is no memory. */
bool scan_references_init(struct scan *scan);
void scan_references_done(struct scan *scan);

/* Counts the references to all objects. */
void scan_references_count(struct scan *scan);

/* Writes the objects that have more counts than references into the ledger. The kinds of blocks are known. */
void scan_references_audit(struct scan *scan);

/* ---- scan_states.c ---- */

/* When edges and roots have their meaning: takes those away that are only the interpreter's list. */
void scan_states_drop_links(struct scan *scan);

/* Writes the type of thread states into their records; in a look keeps records of those that are lost. */
void scan_states_name(struct scan *scan);
void scan_states_keep(struct scan *scan);

/* Whether the lost block may be held by a thread that runs right now, in its registers, of which nothing is known: at its beginning
 * what the interpreter has made to start it, at its end its state, which it is about to free. True for as many as can be. */
bool scan_states_in_use(struct scan *scan, const struct scan_block *block, const struct ledger_trace *trace);

/* ---- scan_look.c ---- */

/* The kinds are known, and the interpreter is about to take itself down: remembers what is reachable now and was made by the
 * import of modules. Also whether a block is one of these. */
void scan_look_remember(struct scan *scan);
bool scan_look_knows(const struct scan_block *block);

/* The interpreter runs: what is only possibly lost and was made by the import of modules is kept by them. */
void scan_look_excuse(struct scan *scan);

/* Whether there are extension modules that are not the interpreter's own. */
bool scan_look_has_extensions(void);

/* ---- scan_why.c ---- */

struct ledger_record;

/* Explanations of why blocks are there: of one for each of the groups of a report, as far as there is room.
 * scan_why_note is told of every block, when its kind is known; scan_why_write puts the explanations into the ledger. */
bool scan_why_init(struct scan *scan);
void scan_why_done(struct scan *scan);
void scan_why_note(struct scan *scan, uint32_t number, const struct ledger_record *record);
void scan_why_write(struct scan *scan);

/* ---- scan_keys.c ---- */

/* LEDGER_TEXT ref of the name under which the pointer at `offset` in block `holder` is held: a key, "[index]" or ".attribute"; 0:
 * none is known. scan->parents are. */
uint32_t scan_key_name(struct scan *scan, uint32_t holder, uint64_t offset);

/* ---- scan_modules.c ---- */

/* Fills scan->data, loader, interpreter and library. `interpreter`: an address in its module. */
void scan_modules(struct scan *scan, uintptr_t interpreter);

/* Whether `address` lies in code. */
bool scan_is_code(const struct scan *scan, uintptr_t address);

#endif
