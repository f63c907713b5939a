/* SPDX-License-Identifier: MIT
 *
 * The stacks of those who allocated, kept in the pool as text that other processes understand. One line for a frame, innermost
 * first, fields separated by tabs:
 *
 *     n PATH BUILD-ID OFFSET       native: module (may be ""), its build id in hex (may be ""), offset of the return address
 *     x PATH BUILD-ID OFFSET       the same, offset of the instruction itself
 *     p FILE FUNCTION LINE         Python
 *     e FILE FUNCTION LINE         Python, called by C */
#ifndef CLIENT_POOL_STACK_H
#define CLIENT_POOL_STACK_H

#include "pool_format.h"

#include <stddef.h>

#define POOL_STACK_MAX 8192 /* bytes of one text */

/* Stores a text, once. Returns its place, or 0 when there is no room. Under the lock. */
uint32_t pool_stack_put(struct pool_view *view, const char *text, size_t length);

/* The text at a place, not terminated; NULL when there is none. */
const char *pool_stack_get(const struct pool_view *view, uint32_t place, size_t *ret_length);

#endif
