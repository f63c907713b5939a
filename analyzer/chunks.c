/* SPDX-License-Identifier: MIT
 *
 * Chunks in a list; a piece larger than a chunk gets one of its own. */
#include "chunks.h"

#include <stdint.h>
#include <stdlib.h>

#define CHUNK_SIZE ((size_t)256 << 10)
#define CHUNK_SHARE (CHUNK_SIZE / 8) /* larger pieces do not use up the current chunk */

struct chunk {
    struct chunk *next;
    uint64_t data[];
};

static struct chunk *chunk_new(struct chunks *chunks, size_t size)
{
    struct chunk *chunk = malloc(sizeof(*chunk) + size);

    if (!chunk)
        return NULL;
    chunk->next = chunks->head;
    chunks->head = chunk;
    return chunk;
}

void *chunks_take(struct chunks *chunks, size_t size)
{
    struct chunk *chunk;
    void *piece;

    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 7 + !size) & ~(size_t)7; /* an empty piece has a place, too */
    if (size > chunks->left) {
        chunk = chunk_new(chunks, size > CHUNK_SHARE ? size : CHUNK_SIZE);
        if (!chunk)
            return NULL;
        if (size > CHUNK_SHARE)
            return chunk->data;
        chunks->next = (char *)chunk->data;
        chunks->left = CHUNK_SIZE;
    }
    piece = chunks->next;
    chunks->next += size;
    chunks->left -= size;
    return piece;
}

void chunks_clear(struct chunks *chunks)
{
    while (chunks->head) {
        struct chunk *chunk = chunks->head;

        chunks->head = chunk->next;
        free(chunk);
    }
    *chunks = (struct chunks){0};
}
