/* SPDX-License-Identifier: MIT
 *
 * Interned stacks: frames as nodes linked to their callers, whole stacks as traces. Equal input gives equal ids (two
 * threads that intern the same new thing at the same instant, or a table that just grows, may give two ids for one thing:
 * readers merge by content). Lock-free, never calls malloc; call it only inside the guard of thread.h. */
#ifndef SHIM_STACKS_H
#define SHIM_STACKS_H

#include "ledger_format.h"

/* The id of the node (parent, key, meta), see struct ledger_node; `parent` 0 makes a root. Returns 0 when there is no more
 * room (LACK_STACKS_FULL is then noted). */
uint32_t stacks_node(uint32_t parent, uint64_t key, uint32_t meta);

/* The id of the trace (native node, Python node); 0 for (0, 0) and when there is no more room. */
uint32_t stacks_trace(uint32_t native, uint32_t python);

/* A Python stack, the innermost frame of which may have no node: most of them are met again before they are asked for. */
struct python_stack {
    uint64_t
        frame; /* key of its NODE_PYTHON, in which all offsets above INT32_MAX are NODE_NOT_BEGUN, with PYTHON_STACK_ENTRY;
                        0: there is none, the stack is that of `parent` */
    uint64_t parent; /* LEDGER_NODES id of the rest, 0 = nothing; in 64 bits for a cheap return */
};

#define PYTHON_STACK_ENTRY (1ULL << 63) /* it is a NODE_ENTRY: in a bit that ids of code do not reach */

/* The node of the innermost frame; 0 for an empty stack and when there is no more room. */
uint32_t stacks_python(struct python_stack stack);

/* Adds to the counters of a trace (not 0). */
void stacks_count(uint32_t trace, uint64_t allocations, uint64_t bytes);

/* Forgets everything, for the new ledger of a forked child. */
void stacks_reset(void);

#endif
