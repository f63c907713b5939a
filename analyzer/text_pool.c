/* SPDX-License-Identifier: MIT
 *
 * An open-addressed table of texts. Each text stands behind its hash and length in one piece of memory. */
#include "text_pool.h"

#include "chunks.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define POOL_SLOTS_MIN 256 /* a power of two */

struct entry {
    uint64_t hash;
    size_t length;
    char text[];
};

struct text_pool {
    struct chunks chunks;
    struct entry **slots; /* NULL = free; at most half are used */
    size_t slot_count;    /* a power of two */
    size_t used;
};

struct text_pool *text_pool_new(void)
{
    struct text_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    pool->slot_count = POOL_SLOTS_MIN;
    pool->slots = calloc(pool->slot_count, sizeof(struct entry *));
    if (!pool->slots) {
        free(pool);
        return NULL;
    }
    return pool;
}

void text_pool_free(struct text_pool *pool)
{
    if (!pool)
        return;
    chunks_clear(&pool->chunks);
    free(pool->slots);
    free(pool);
}

static int pool_grow(struct text_pool *pool)
{
    size_t count = pool->slot_count * 2;
    struct entry **slots = calloc(count, sizeof(struct entry *));

    if (!slots)
        return -1;
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct entry *entry = pool->slots[i];
        size_t at;

        if (!entry)
            continue;
        at = entry->hash & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = entry;
    }
    free(pool->slots);
    pool->slots = slots;
    pool->slot_count = count;
    return 0;
}

const char *text_pool_add(struct text_pool *pool, const char *text, size_t length)
{
    uint64_t hash = XXH3_64bits(text, length);
    struct entry *entry;
    size_t at;

    if (pool->used >= pool->slot_count / 2 && pool_grow(pool) < 0)
        return NULL;
    at = hash & (pool->slot_count - 1);
    while ((entry = pool->slots[at])) {
        if (entry->hash == hash && entry->length == length && memcmp(entry->text, text, length) == 0)
            return entry->text;
        at = (at + 1) & (pool->slot_count - 1);
    }
    if (length > SIZE_MAX / 4)
        return NULL;
    entry = chunks_take(&pool->chunks, sizeof(*entry) + length + 1);
    if (!entry)
        return NULL;
    entry->hash = hash;
    entry->length = length;
    memcpy(entry->text, text, length);
    entry->text[length] = '\0';
    pool->slots[at] = entry;
    pool->used++;
    return entry->text;
}

void *text_pool_take(struct text_pool *pool, size_t size)
{
    return chunks_take(&pool->chunks, size);
}
