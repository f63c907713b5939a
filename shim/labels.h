/* SPDX-License-Identifier: MIT
 *
 * What a thread says of its own work (memshim/memshim.h): a label for the blocks that it makes, and whether they are leaks and errors
 * are to be told. Label and ignored blocks are part of a stack: the trace of such a block has, in the place of its
 * innermost Python frame, a node NODE_LABEL whose parent that frame is. So nothing is kept for a block, and where no
 * thread has a label nothing is looked at (event_odd). */
#ifndef SHIM_LABELS_H
#define SHIM_LABELS_H

#include "compiler.h"
#include "ledger_format.h"

#include <stdbool.h>
#include <stdint.h>

/* Some thread has one. */
extern _hidden_ bool labels_used;

/* The calling thread's Python node (0 = none) with its label. `generation`: of the ledger. Inside the guard of thread.h. */
uint32_t labels_apply(uint32_t python, uint32_t generation);

/* Whether the calling thread does not want to hear of errors. */
bool labels_quiet(void);

/* `settle` is called when labels_used changes, with the lock held. */
void labels_init(void (*settle)(void));

/* The calling thread ends. */
void labels_end_thread(void);

/* In a forked child: the calling thread alone goes on. */
void labels_fork_child(void);

/* Changes of the calling thread's scopes, inside the guard. 0 or -errno: -EINVAL no such scope is open, or no label, -ENOMEM. */
enum labels_scope { LABELS_QUIET, LABELS_IGNORED, LABELS_SCOPE_COUNT };
int labels_push(const char *what);
int labels_pop(void);
int labels_enter(enum labels_scope scope);
int labels_leave(enum labels_scope scope);

#endif
