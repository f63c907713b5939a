/* SPDX-License-Identifier: MIT
 *
 * The leak scan: at the end of the process it looks through memory, finds which of the live blocks can still be reached
 * from the program's roots, and writes what each one is (enum block_kind), and the type of the Python object in it, into the
 * records. The order of the work:
 *
 *   scan_index    live records, ordered by address
 *   scan_edges    words of blocks -> pointers to blocks (scan_python: which words count)
 *   scan_roots    the same from modules, stacks and foreign memory (scan_heap, scan_stacks, scan_modules)
 *   scan_graph    pointers -> kinds
 *
 * Memory is read by system calls (scan_memory.h), so that nothing here can fault; other threads may go on meanwhile. Takes no
 * lock that the program could hold, calls no malloc, gives its memory back.
 *
 * In a copy of the process (snapshot.h) the threads are missing: what the scan has to know of them is read before. */
#ifndef SHIM_SCAN_H
#define SHIM_SCAN_H

#include "scan_memory.h"

#include <stdbool.h>

struct pyapi;
struct scan_scope;

/* The threads of the process but for the one that reads this. */
struct scan_threads {
    long caller;                /* thread id of that one */
    struct scan_array pointers; /* uintptr_t: stack pointers, as far as they are known */
    uint32_t registers;         /* words in registers of other threads, which nobody can see */
    uint32_t running;           /* threads that were not waiting in the system */
};

/* Returns false when there is no memory. `waiting`: threads that wait at this address have their registers on their stacks. */
bool scan_threads_read(struct scan_threads *threads, const volatile void *waiting);
void scan_threads_done(struct scan_threads *threads);

/* A thread state that the interpreter frees at its end, having taken it and those behind it out of its list. */
struct scan_drop {
    uintptr_t state, next;
    uintptr_t stack_end; /* of what is on the stack for doing so */
};

struct scan_options {
    const struct pyapi *python; /* NULL: no interpreter */
    bool types;                 /* write the names of Python types */
    bool look;                  /* only remember what is there before the interpreter takes itself down (scan_look.c) */
    bool growth; /* note what only garbage holds (scan_growth.c), in a look or while the interpreter runs */
    const struct scan_drop *drop; /* NULL: the interpreter has not begun to free thread states */
    /* In a copy of the process, else NULL. Of a stack that has lost no more blocks than there are registers unseen, it is then
     * only said that it is possible. */
    const struct scan_threads *threads;
    const struct scan_scope *scope; /* only find out what is a cache's of what was made in it; else NULL */
};

/* At the start of the process, before the program runs: learns how the C library marks chunks that it keeps for later. */
void scan_start(void);

/* Scans, inside the guard of thread.h. Returns 0 or -errno; then the kinds are not known, and LACK_SCAN is noted. */
int scan_run(const struct scan_options *options);

/* Whether there are modules, or threads, for which a look (scan_options.look) is worth its time. */
bool scan_look_wanted(void);
bool scan_states_many(const struct pyapi *api);

/* Whether the recorded block `p` is a thread state of the main interpreter. */
bool scan_states_is_one(const struct pyapi *api, const void *p);

/* `p` is one, and is being freed; `frame`: address of a stack frame below that. */
void scan_states_drop(struct scan_drop *drop, const void *p, uintptr_t frame);

#endif
