/* SPDX-License-Identifier: MIT
 *
 * Open addressing with linear probing; a removed entry is filled by moving later ones back, so that there are no graves. */
#include "side_table.h"

#include "arena.h"
#include "compiler.h"
#include "lock.h"

#include <string.h>

#define CAPACITY_MIN 4096u

struct entry {
    uintptr_t address; /* 0 = empty */
    uint32_t record;
};

uint32_t side_table_count;

static struct lock lock;
static struct entry *entries;
static uint32_t capacity; /* a power of two */

static uint32_t home_of(uintptr_t address)
{
    return (uint32_t)((address >> 4) * 0x9e3779b97f4a7c15ULL >> 32) & (capacity - 1);
}

static void insert(uintptr_t address, uint32_t record)
{
    uint32_t at = home_of(address);

    while (entries[at].address && entries[at].address != address)
        at = (at + 1) & (capacity - 1);
    side_table_count += entries[at].address == 0;
    entries[at] = (struct entry){address, record};
}

static bool make_room(void)
{
    if (side_table_count < capacity / 2)
        return true;
    uint32_t old_capacity = capacity, new_capacity = capacity ? capacity * 2 : CAPACITY_MIN;
    struct entry *old = entries, *new = arena_map(new_capacity * sizeof(*new));
    if (!new)
        return side_table_count + 1 < capacity;
    entries = new;
    capacity = new_capacity;
    side_table_count = 0;
    for (uint32_t i = 0; i < old_capacity; i++)
        if (old[i].address)
            insert(old[i].address, old[i].record);
    arena_unmap(old, old_capacity * sizeof(*old));
    return true;
}

bool side_table_put(uintptr_t address, uint32_t record)
{
    lock_take(&lock);
    bool room = make_room();
    if (room)
        insert(address, record);
    lock_give(&lock);
    return room;
}

/* Entry `at` is free: an entry behind it that may stand there, because its home is not between the two, moves up. */
static void close_gap(uint32_t at)
{
    for (uint32_t next = (at + 1) & (capacity - 1); entries[next].address; next = (next + 1) & (capacity - 1)) {
        uint32_t home = home_of(entries[next].address);
        if (((next - home) & (capacity - 1)) < ((next - at) & (capacity - 1)))
            continue;
        entries[at] = entries[next];
        at = next;
    }
    entries[at] = (struct entry){0};
}

uint32_t side_table_take(uintptr_t address)
{
    uint32_t record = 0;

    lock_take(&lock);
    if (capacity) {
        uint32_t at = home_of(address);
        while (entries[at].address && entries[at].address != address)
            at = (at + 1) & (capacity - 1);
        if (entries[at].address) {
            record = entries[at].record;
            close_gap(at);
            side_table_count--;
        }
    }
    lock_give(&lock);
    return record;
}

void side_table_fork_child(void)
{
    if (capacity)
        memset(entries, 0, capacity * sizeof(*entries));
    side_table_count = 0;
    lock_give(&lock);
}
