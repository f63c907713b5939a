/* SPDX-License-Identifier: MIT
 *
 * Open addressing with linear probing; a removed entry is filled by moving later ones back, so that there are no graves. */
#include "side_table.h"

#include "arena.h"
#include "compiler.h"
#include "lock.h"

#include <string.h>

#define CAPACITY_MIN 4096u

struct side_entry {
    uint64_t key; /* 0 = empty */
    uint32_t record;
};

struct side_table side_blocks;

static uint32_t home_of(const struct side_table *table, uint64_t key)
{
    return (uint32_t)((key >> 4) * 0x9e3779b97f4a7c15ULL >> 32) & (table->capacity - 1);
}

/* The entry of `key`, or the empty one where it would be. The table has room. */
static uint32_t place_of(const struct side_table *table, uint64_t key)
{
    uint32_t at = home_of(table, key);

    while (table->entries[at].key && table->entries[at].key != key)
        at = (at + 1) & (table->capacity - 1);
    return at;
}

static void insert(struct side_table *table, uint64_t key, uint32_t record)
{
    uint32_t at = place_of(table, key);

    table->count += table->entries[at].key == 0;
    table->entries[at] = (struct side_entry){key, record};
}

static bool make_room(struct side_table *table)
{
    if (table->count < table->capacity / 2)
        return true;
    uint32_t old_capacity = table->capacity, new_capacity = old_capacity ? old_capacity * 2 : CAPACITY_MIN;
    struct side_entry *old = table->entries, *new = arena_map(new_capacity * sizeof(*new));
    if (!new)
        return table->count + 1 < old_capacity;
    table->entries = new;
    table->capacity = new_capacity;
    table->count = 0;
    for (uint32_t i = 0; i < old_capacity; i++)
        if (old[i].key)
            insert(table, old[i].key, old[i].record);
    arena_unmap(old, old_capacity * sizeof(*old));
    return true;
}

bool side_table_put(struct side_table *table, uint64_t key, uint32_t record)
{
    lock_take(&table->lock);
    bool room = make_room(table);
    if (room)
        insert(table, key, record);
    lock_give(&table->lock);
    return room;
}

/* Entry `at` is free: an entry behind it that may stand there, because its home is not between the two, moves up. */
static void close_gap(struct side_table *table, uint32_t at)
{
    struct side_entry *entries = table->entries;
    uint32_t mask = table->capacity - 1;

    for (uint32_t next = (at + 1) & mask; entries[next].key; next = (next + 1) & mask) {
        uint32_t home = home_of(table, entries[next].key);
        if (((next - home) & mask) < ((next - at) & mask))
            continue;
        entries[at] = entries[next];
        at = next;
    }
    entries[at] = (struct side_entry){0};
}

uint32_t side_table_find(struct side_table *table, uint64_t key)
{
    uint32_t record = 0;

    lock_take(&table->lock);
    if (table->capacity)
        record = table->entries[place_of(table, key)].record;
    lock_give(&table->lock);
    return record;
}

uint32_t side_table_take(struct side_table *table, uint64_t key)
{
    uint32_t record = 0;

    lock_take(&table->lock);
    if (table->capacity) {
        uint32_t at = place_of(table, key);
        if (table->entries[at].key) {
            record = table->entries[at].record;
            close_gap(table, at);
            table->count--;
        }
    }
    lock_give(&table->lock);
    return record;
}

void side_table_fork_child(struct side_table *table)
{
    if (table->capacity)
        memset(table->entries, 0, table->capacity * sizeof(*table->entries));
    table->count = 0;
    lock_give(&table->lock);
}
