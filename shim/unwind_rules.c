/* SPDX-License-Identifier: MIT */
#include "unwind_rules.h"

#define BUSY 1u

#define GROWTH 2 /* log2 of how many times larger the table becomes */

struct rules_slot rules_slots[(1u << RULES_SHIFT_MAX) + RULES_PROBES];
uint32_t rules_generation = 1;
_hot_data_ uint32_t rules_era = 1;
uint32_t rules_shift = RULES_SHIFT_FIRST;

static uint32_t entered; /* since the table has its size, more or less: replaced ones count again */

static bool slot_usable(uint64_t found, uint64_t key)
{
    return found != BUSY && (found == 0 || found >> 48 != key >> 48);
}

static bool slot_fill(struct rules_slot *slot, uint64_t found, uint64_t key, uint64_t rule)
{
    if (!__atomic_compare_exchange_n(&slot->key, &found, BUSY, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    __atomic_store_n(&slot->rule, rule, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->key, key, __ATOMIC_RELEASE);
    return true;
}

static void enter(uint64_t key, uint64_t rule)
{
    struct rules_slot *first = &rules_slots[rules_place(key)];

    for (unsigned i = 0; i < RULES_PROBES; i++) {
        uint64_t found = __atomic_load_n(&first[i].key, __ATOMIC_RELAXED);
        if (found == key && __atomic_load_n(&first[i].rule, __ATOMIC_RELAXED) == rule)
            return;
        if ((found == key || slot_usable(found, key)) && slot_fill(&first[i], found, key, rule))
            return;
    }
    /* All taken: one of them makes room, which one depends on the key so that they do not all fight for the first. */
    struct rules_slot *slot = &first[key % RULES_PROBES];
    uint64_t found = __atomic_load_n(&slot->key, __ATOMIC_RELAXED);
    if (found != BUSY)
        slot_fill(slot, found, key, rule);
}

/* Takes what the slot holds to where it is looked for now. Whoever looks meanwhile does not find it, and learns it again. */
static void move(struct rules_slot *slot)
{
    uint64_t key = __atomic_load_n(&slot->key, __ATOMIC_ACQUIRE);

    if (key <= BUSY || !__atomic_compare_exchange_n(&slot->key, &key, BUSY, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return;
    uint64_t rule = __atomic_load_n(&slot->rule, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->key, 0, __ATOMIC_RELEASE);
    enter(key, rule);
}

static _cold_ void grow(uint32_t shift)
{
    uint32_t larger = MIN(shift + GROWTH, (uint32_t)RULES_SHIFT_MAX), slots = (1u << shift) + RULES_PROBES;

    if (!__atomic_compare_exchange_n(&rules_shift, &shift, larger, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&entered, 0, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < slots; i++)
        move(&rules_slots[i]);
}

void rules_enter(uint64_t key, uint64_t rule)
{
    uint32_t shift = __atomic_load_n(&rules_shift, __ATOMIC_RELAXED);

    if (__atomic_fetch_add(&entered, 1, __ATOMIC_RELAXED) >= 1u << (shift - 1) && shift < RULES_SHIFT_MAX)
        grow(shift);
    enter(key, rule);
}

void rules_flush(void)
{
    uint32_t generation = __atomic_load_n(&rules_generation, __ATOMIC_RELAXED), next;

    do {
        next = generation % UINT16_MAX + 1;
        /* Once in 65535 flushes the numbers begin anew: no entry of the last round may remain. */
        for (uint32_t i = 0; next == 1 && i < ARRAY_SIZE(rules_slots); i++)
            __atomic_store_n(&rules_slots[i].key, 0, __ATOMIC_RELAXED);
    } while (
        !__atomic_compare_exchange_n(&rules_generation, &generation, next, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    if (unlikely(!__atomic_add_fetch(&rules_era, 1, __ATOMIC_RELEASE))) /* all numbers have been used */
        __atomic_add_fetch(&rules_era, 1, __ATOMIC_RELEASE);
}
