/* SPDX-License-Identifier: MIT
 *
 * Containers of the report writer: interned rows with dense numbers from 1, a sparse map from ledger ids to such numbers,
 * and a growing byte buffer. Memory comes from report_use_memory's functions. Single-threaded. A failed allocation
 * leaves a container as it was. */
#ifndef SHIM_REPORT_TABLES_H
#define SHIM_REPORT_TABLES_H

#include "compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *report_malloc(size_t size); /* not zeroed */
void report_free(void *memory);   /* NULL is fine */

/* What makes a row different from the others of its table. Every row begins with it. */
struct row_key {
    uint64_t a, b;
};

/* Rows in the order in which they were added, and a hash index over their keys (linear probing, two slots for
 * each row that fits). */
struct table {
    uint8_t *rows;   /* row n begins at (n - 1) * row_size */
    uint64_t *index; /* lower half of the hash, which says the slot too, << 32 | n; 0 = empty */
    uint32_t count;  /* rows */
    uint32_t room;   /* rows that fit */
    uint32_t slots;  /* of the index: a power of two, or 0 */
    size_t row_size; /* bytes; at least a struct row_key */
};

#define TABLE_OF(type) \
    { \
        .row_size = sizeof(type) \
    }

void table_done(struct table *table);

/* Makes room for one more row. Returns false when memory is out. */
bool table_grow(struct table *table);

/* Row `n`, 1 <= n <= count; valid until the next row is added. */
static inline void *table_row(const struct table *table, uint32_t n)
{
    return table->rows + (size_t)(n - 1) * table->row_size;
}

static inline uint64_t row_hash(struct row_key key)
{
    unsigned __int128 product =
        (unsigned __int128)(key.a ^ 0x9e3779b97f4a7c15ULL) * (key.b ^ 0xd1b54a32d192ed03ULL ^ key.a << 32);

    return ((uint64_t)(product >> 64) ^ (uint64_t)product) * 0x9e3779b97f4a7c15ULL;
}

/* The number of the row with `key`, whose row_hash is `hash`; a new row is zeroed after its key. 0 = no memory. */
static inline uint32_t table_intern_hashed(struct table *table, struct row_key key, uint64_t hash)
{
    struct row_key *row;
    uint32_t slot;

    if (unlikely(table->count >= table->room) && !table_grow(table))
        return 0;
    for (slot = (uint32_t)hash & (table->slots - 1); table->index[slot]; slot = (slot + 1) & (table->slots - 1)) {
        if (table->index[slot] >> 32 != (uint32_t)hash)
            continue;
        row = table_row(table, (uint32_t)table->index[slot]);
        if (row->a == key.a && row->b == key.b)
            return (uint32_t)table->index[slot];
    }
    table->count++;
    table->index[slot] = hash << 32 | table->count;
    row = table_row(table, table->count);
    __builtin_memset(row, 0, table->row_size);
    *row = key;
    return table->count;
}

static inline uint32_t table_intern(struct table *table, struct row_key key)
{
    return table_intern_hashed(table, key, row_hash(key));
}

#define ID_PAGE 1024u

/* Numbers by ledger id, 0 where none was put: pages of them, so that memory follows the ids in use. */
struct id_map {
    uint32_t **pages;
    uint32_t limit; /* ids are below it */
};

/* Prepares an empty map. Returns false when memory is out. */
bool id_map_init(struct id_map *map, uint32_t limit);
void id_map_done(struct id_map *map);

/* The number put for `id`; 0 for one at or above the limit. */
static inline uint32_t id_map_get(const struct id_map *map, uint32_t id)
{
    const uint32_t *page = id < map->limit ? map->pages[id / ID_PAGE] : NULL;

    return page ? page[id % ID_PAGE] : 0;
}

/* Returns false when memory is out. `id` is below the limit. */
bool id_map_put(struct id_map *map, uint32_t id, uint32_t number);

/* A byte buffer. */
struct bytes {
    char *data;
    size_t size; /* allocated */
};

void bytes_done(struct bytes *bytes);

/* Makes `bytes` at least `size` long, keeping what it holds. Returns false when memory is out. */
bool bytes_reserve(struct bytes *bytes, size_t size);

#endif
