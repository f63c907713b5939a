/* SPDX-License-Identifier: MIT
 *
 * The reports of pools: when a pool is destroyed, and when a process ends that has used one which nobody uses any more, what is
 * still allocated in it is written beside the report of the process. Only under the shim. */
#ifndef CLIENT_POOL_END_H
#define CLIENT_POOL_END_H

#include "pool_use.h"

/* This process uses that pool: it will be looked at when the process ends. */
void pool_end_note(const struct pool_mapping *mapping);

/* The pool is about to go: writes what is left in it. */
void pool_end_destroy(struct pool_mapping *mapping);

#endif
