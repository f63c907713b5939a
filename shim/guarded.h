/* SPDX-License-Identifier: MIT
 *
 * Releasing and resizing with guard=1: blocks are checked, filled and kept back (guard.h, quarantine.h), bad pointers are
 * dropped, and all of it is noted (errors.h). Only what is recorded can be checked. errno is kept. */
#ifndef SHIM_GUARDED_H
#define SHIM_GUARDED_H

#include "capture.h"
#include "guard.h"
#include "misuse.h"

/* Frees the recorded block `p`. */
void guarded_free(void *p, uint64_t ref, const struct release *release);

/* Resizes it: to a new block, so that a use of the old one is found, except where that would copy much. `origin` NULL: for the C
 * library's family. `size` > 0. */
void *guarded_realloc(const struct python_origin *origin, void *p, uint64_t ref, size_t size,
                      const struct release *release);

/* `p` is not a recorded block. True: it is none at all (which has been noted), and must not reach the real function. */
bool guarded_is_invalid(const void *p, const struct release *release);

/* Says in words what was changed. */
void guarded_describe(char *text, size_t room, const struct guard_damage *damage, uint64_t size,
                      enum block_domain domain);

/* The damage of a block whose prefix (block.h) was written over: that of the guard bytes behind it if they are not intact. */
struct guard_damage guarded_prefix_damage(const uint64_t *prefix, const struct guard_sides *sides, uint64_t size,
                                          enum block_domain domain);

/* Checks all blocks, live and kept back. Returns the number of new errors. Without the guard of thread.h. */
unsigned guarded_check_all(void *const *frame);

#endif
