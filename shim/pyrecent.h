/* SPDX-License-Identifier: MIT
 *
 * Nodes that a thread made lately (struct recent): what a look at the place of one (recent_of in pyplaces.h) does not settle. Part of
 * pyframes.c. Inside the guard of thread.h. */
#ifndef SHIM_PYRECENT_H
#define SHIM_PYRECENT_H

#include "pyplaces.h"

/* Begins with none, in a thread whose memory is zeroed. */
void recent_begin(struct pyframes_thread *thread);

/* All of them are void from now on. */
void recent_forget(struct pyframes_thread *thread);

/* The one that is asked for, if it lies near its place; else NULL. `code`: that it has to have, 0 = any. */
struct recent *recent_find_near(struct pyframes_thread *thread, uint64_t position, uint32_t parent, uint32_t meta,
                                uintptr_t code);

/* Enters one at its place, and returns it there. */
struct recent *recent_learn(struct pyframes_thread *thread, const struct recent *one);

#endif
