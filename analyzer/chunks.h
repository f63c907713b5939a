/* SPDX-License-Identifier: MIT
 *
 * Memory that is freed all at once: pieces cut from large chunks. For the many small things that live as long as a
 * model, its symbols or its leaks. Not thread-safe. */
#ifndef ANALYZER_CHUNKS_H
#define ANALYZER_CHUNKS_H

#include <stddef.h>

struct chunk;

/* Zeroed is empty. */
struct chunks {
    struct chunk *head;
    char *next;
    size_t left; /* bytes from `next` on */
};

/* `size` bytes, aligned to 8, not initialised; NULL when memory is out. */
void *chunks_take(struct chunks *chunks, size_t size);

/* Frees everything; `chunks` is empty and usable again. */
void chunks_clear(struct chunks *chunks);

#endif
