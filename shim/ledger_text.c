/* SPDX-License-Identifier: MIT
 *
 * Strings of the ledger, each stored once. */
#include "ledger.h"

#include "arena.h"
#include "compiler.h"
#include "ledger_file.h"
#include "lock.h"

#define XXH_INLINE_ALL
#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

#define TABLE_MIN 4096u /* slots, a power of two */

struct slot {
    uint32_t hash;
    uint32_t ref; /* 0 = empty */
};

static struct lock lock;
static struct slot *table;
static uint32_t capacity, used;

static bool equals(uint32_t ref, const char *bytes, size_t length)
{
    while (ref) {
        const struct ledger_text *text = ledger_entry(LEDGER_TEXT, ref);
        size_t piece = text->length_plus_1 - 1;
        if (piece > length || memcmp(text->bytes, bytes, piece) != 0)
            return false;
        bytes += piece;
        length -= piece;
        ref = text->next;
    }
    return length == 0;
}

/* The slot of the text, or the empty slot where it belongs. */
static struct slot *find(uint32_t hash, const char *bytes, size_t length)
{
    for (uint32_t i = hash;; i++) {
        struct slot *slot = &table[i & (capacity - 1)];
        if (!slot->ref || (slot->hash == hash && equals(slot->ref, bytes, length)))
            return slot;
    }
}

static bool make_room(void)
{
    if (table && used < capacity / 2)
        return true;
    uint32_t old_capacity = capacity, new_capacity = capacity ? capacity * 2 : TABLE_MIN;
    struct slot *old = table, *new = arena_map(new_capacity * sizeof(*new));
    if (!new)
        return table && used < capacity - 1;
    table = new;
    capacity = new_capacity;
    for (uint32_t i = 0; i < old_capacity; i++) {
        uint32_t at = old[i].hash;
        while (old[i].ref && table[at & (capacity - 1)].ref)
            at++;
        if (old[i].ref)
            table[at & (capacity - 1)] = old[i];
    }
    arena_unmap(old, old_capacity * sizeof(*old));
    return true;
}

/* Writes the pieces from the last to the first, so that each knows its successor. */
static uint32_t store(const char *bytes, size_t length)
{
    const size_t piece_max = LEDGER_SEGMENT_SIZE / 2;
    uint32_t next = 0;
    size_t start = length ? (length - 1) / piece_max * piece_max : 0;

    for (;; start -= piece_max) {
        size_t piece = MIN(length - start, piece_max);
        uint32_t units = (uint32_t)((sizeof(struct ledger_text) + piece + LEDGER_TEXT_UNIT - 1) / LEDGER_TEXT_UNIT);
        uint32_t ref = ledger_take(LEDGER_TEXT, units);
        if (!ref)
            return 0;
        struct ledger_text *text = ledger_entry(LEDGER_TEXT, ref);
        memcpy(text->bytes, bytes + start, piece);
        text->next = next;
        __atomic_store_n(&text->length_plus_1, (uint32_t)piece + 1, __ATOMIC_RELEASE);
        if (start == 0)
            return ref;
        next = ref;
    }
}

uint32_t ledger_text(const void *bytes, size_t length)
{
    if (!bytes)
        return 0;
    uint32_t hash = (uint32_t)XXH3_64bits(bytes, length), ref = 0;

    lock_take(&lock);
    if (make_room()) {
        struct slot *slot = find(hash, bytes, length);
        if (!slot->ref) {
            slot->ref = store(bytes, length);
            slot->hash = hash;
            used += slot->ref != 0;
        }
        ref = slot->ref;
    }
    lock_give(&lock);
    return ref;
}

void ledger_text_reset(void)
{
    arena_unmap(table, capacity * sizeof(*table));
    table = NULL;
    capacity = used = 0;
    lock_give(&lock);
}
