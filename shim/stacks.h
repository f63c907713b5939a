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

/* Adds to the counters of a trace (not 0). */
void stacks_count(uint32_t trace, uint64_t allocations, uint64_t bytes);

/* Forgets everything, for the new ledger of a forked child. */
void stacks_reset(void);

#endif
