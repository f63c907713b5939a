/* SPDX-License-Identifier: MIT
 *
 * The texts of one process, each kept once, so that equal texts are equal pointers. Not thread-safe. */
#ifndef ANALYZER_TEXT_POOL_H
#define ANALYZER_TEXT_POOL_H

#include <stddef.h>

struct text_pool;

/* NULL when memory is out. */
struct text_pool *text_pool_new(void);
void text_pool_free(struct text_pool *pool);

/* The pool's own NUL-terminated copy of `length` bytes; NULL when memory is out. */
const char *text_pool_add(struct text_pool *pool, const char *text, size_t length);

/* `size` bytes that live as long as the pool, aligned to 8, not initialised; NULL when memory is out. */
void *text_pool_take(struct text_pool *pool, size_t size);

#endif
