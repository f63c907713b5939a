/* SPDX-License-Identifier: MIT
 *
 * Numbers for things: each distinct string of bytes gets the next index, from 0. For formats whose tables are referred to by
 * index. Not thread-safe. */
#ifndef ANALYZER_INTERN_H
#define ANALYZER_INTERN_H

#include "chunks.h"

#include <stddef.h>
#include <stdint.h>

struct intern_entry {
    const void *key; /* a copy, aligned to 8, with a NUL behind it */
    size_t size;
    uint64_t hash;
    uint64_t value; /* the caller's own, 0 at first */
};

/* Zeroed is empty. */
struct intern {
    struct intern_entry *entries; /* by index; moves when another is added */
    size_t count, room;
    uint32_t *slots; /* hash table of index + 1, 0 = free; at most half are used */
    size_t slot_count;
    struct chunks keys;
};

/* Looks up `size` bytes and adds them if they are new. Returns 1 if they are, 0 if not, -ENOMEM; *ret_index is untouched on
 * failure. */
int intern_add(struct intern *intern, const void *key, size_t size, uint32_t *ret_index);

/* Frees everything; `intern` is empty and usable again. */
void intern_clear(struct intern *intern);

#endif
