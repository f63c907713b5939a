/* SPDX-License-Identifier: MIT
 *
 * Both tables (nodes and traces) are the same structure: an open-addressing index of entry ids over ledger entries whose
 * first 16 bytes are their key. Insertion is a compare-and-swap of an empty slot. A table that fills up is copied into one
 * of twice the size by whoever comes first; insertions into the old one meanwhile are lost from the index and only cost a
 * second id later. Old tables stay mapped, because others may be reading them (all together they are smaller than the
 * current one). */
#include "stacks.h"

#include "arena.h"
#include "compiler.h"
#include "ledger.h"
#include "lock.h"

#include <stdbool.h>
#include <string.h>

#define CAPACITY_MIN (1u << 16)

struct key {
    uint64_t words[2];
};

struct index {
    uint32_t capacity; /* slots, a power of two */
    uint32_t slots[];  /* entry ids, 0 = empty */
};

struct table {
    enum ledger_kind kind;
    uint32_t count;
    struct index *index;
    struct lock lock; /* of growing */
};

static struct table nodes = {.kind = LEDGER_NODES}, traces = {.kind = LEDGER_TRACES};

static inline uint32_t hash_key(struct key key)
{
    uint64_t hash = (key.words[0] ^ (key.words[1] << 32 | key.words[1] >> 32)) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 29;
    hash *= 0xbf58476d1ce4e5b9ULL;
    return (uint32_t)(hash >> 32);
}

static inline struct key entry_key(enum ledger_kind kind, uint32_t id)
{
    struct key key;
    memcpy(&key, ledger_entry(kind, id), sizeof(key));
    return key;
}

static struct index *index_new(uint32_t capacity)
{
    struct index *index = arena_map_scattered(sizeof(*index) + capacity * sizeof(index->slots[0]));
    if (index)
        index->capacity = capacity;
    return index;
}

static void copy_index(enum ledger_kind kind, const struct index *from, struct index *to)
{
    for (uint32_t i = 0; i < from->capacity; i++) {
        uint32_t id = __atomic_load_n(&from->slots[i], __ATOMIC_ACQUIRE);
        if (!id)
            continue;
        uint32_t at = hash_key(entry_key(kind, id));
        while (to->slots[at & (to->capacity - 1)])
            at++;
        to->slots[at & (to->capacity - 1)] = id;
    }
}

/* The index, grown when it is half full; NULL when there is no memory for one. */
static _cold_ struct index *index_grow(struct table *table)
{
    struct index *old = __atomic_load_n(&table->index, __ATOMIC_ACQUIRE);

    if (!lock_try(&table->lock)) {
        if (old && table->count < old->capacity / 4 * 3)
            return old;
        lock_take(
            &table->lock); /* the first index is being made, or the old one fills up before the new one is there */
    }
    old = table->index;
    if (!old || table->count >= old->capacity / 2) {
        struct index *new = index_new(old ? old->capacity * 2 : CAPACITY_MIN);
        if (new &&old)
            copy_index(table->kind, old, new);
        if (new)
            __atomic_store_n(&table->index, new, __ATOMIC_RELEASE);
    }
    lock_give(&table->lock);
    return table->index;
}

/* A new ledger entry with this key. The second word is stored last: it publishes the entry (`meta` of a node, `used` of a
 * trace lie in it). */
static _cold_ uint32_t make_entry(enum ledger_kind kind, struct key key)
{
    uint32_t id = ledger_take(kind, 1);
    if (!id)
        return 0;
    uint64_t *words = ledger_entry(kind, id);
    words[0] = key.words[0];
    __atomic_store_n(&words[1], key.words[1], __ATOMIC_RELEASE);
    return id;
}

/* `kind` is that of the table; a constant, so that places of entries are found without a division. */
static _always_inline_ uint32_t intern(struct table *table, enum ledger_kind kind, struct key key)
{
    struct index *index = __atomic_load_n(&table->index, __ATOMIC_ACQUIRE);
    uint32_t made = 0;

    if (unlikely(!index || table->count >= index->capacity / 2))
        index = index_grow(table);
    if (unlikely(!index))
        return 0;
    uint32_t mask = index->capacity - 1, at = hash_key(key);
    for (uint32_t probes = 0; probes <= mask; probes++, at++) {
        uint32_t *slot = &index->slots[at & mask];
        uint32_t id = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
        if (!id) {
            if (!made && !(made = make_entry(kind, key)))
                return 0;
            if (__atomic_compare_exchange_n(slot, &id, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
                __atomic_fetch_add(&table->count, 1, __ATOMIC_RELAXED);
                return made;
            }
        }
        struct key other = entry_key(kind, id);
        if (other.words[0] == key.words[0] && other.words[1] == key.words[1])
            return id;
    }
    return 0;
}

uint32_t stacks_node(uint32_t parent, uint64_t key, uint32_t meta)
{
    uint32_t id = intern(&nodes, LEDGER_NODES, (struct key){{key, (uint64_t)meta << 32 | parent}});
    if (unlikely(!id))
        ledger_lacks(LACK_STACKS_FULL);
    return id;
}

uint32_t stacks_python(struct python_stack stack)
{
    if (!stack.frame)
        return (uint32_t)stack.parent;
    uint32_t entry = stack.frame & PYTHON_STACK_ENTRY ? NODE_ENTRY : 0u;
    uint64_t key = stack.frame & ~PYTHON_STACK_ENTRY;
    if ((uint32_t)key > INT32_MAX)
        key |= NODE_NOT_BEGUN;
    return stacks_node((uint32_t)stack.parent, key, NODE_PYTHON | entry);
}

uint32_t stacks_trace(uint32_t native, uint32_t python)
{
    if (!native && !python)
        return 0;
    uint32_t id = intern(&traces, LEDGER_TRACES, (struct key){{(uint64_t)python << 32 | native, 1}});
    if (unlikely(!id))
        ledger_lacks(LACK_STACKS_FULL);
    return id;
}

void stacks_count(uint32_t id, uint64_t allocations, uint64_t bytes)
{
    struct ledger_trace *trace = ledger_entry(LEDGER_TRACES, id);
    __atomic_fetch_add(&trace->allocations, allocations, __ATOMIC_RELAXED);
    __atomic_fetch_add(&trace->bytes, bytes, __ATOMIC_RELAXED);
}

static void table_reset(struct table *table)
{
    if (table->index)
        arena_unmap(table->index, sizeof(*table->index) + table->index->capacity * sizeof(table->index->slots[0]));
    table->index = NULL;
    table->count = 0;
    lock_give(&table->lock);
}

void stacks_reset(void)
{
    table_reset(&nodes);
    table_reset(&traces);
}
