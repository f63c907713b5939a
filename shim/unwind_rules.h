/* SPDX-License-Identifier: MIT
 *
 * The process-wide cache of unwind rules: address -> 64 bits that only the architecture's file understands. Lock-free, in
 * static memory, of which a small program uses the beginning only. An entry is never changed in place: a slot is taken over
 * as a whole, with its key marked busy meanwhile, so that a reader who finds the same key before and after has the rule of
 * that key. */
#ifndef SHIM_UNWIND_RULES_H
#define SHIM_UNWIND_RULES_H

#include "compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define RULES_SHIFT_FIRST 11
#define RULES_SHIFT_MAX 16
#define RULES_PROBES 8u

/* Flag of a key: the frame was interrupted at this address (it is no return address). */
#define RULES_EXACT (1ULL << 47)

struct rules_slot {
    uint64_t key; /* generation << 48 | RULES_EXACT | address; 0 = empty, 1 = busy */
    uint64_t rule;
};

extern _hidden_ struct rules_slot rules_slots[(1u << RULES_SHIFT_MAX) + RULES_PROBES];

/* Places in use are the first 1 << rules_shift. */
extern _hidden_ uint32_t rules_shift;

/* 1 to 65535. A raise outdates all entries. */
extern _hidden_ uint32_t rules_generation;

/* Raised after that, never 0: whoever finds it as it was need not look at anything else that a flush changes. */
extern _hidden_ uint32_t rules_era;

static inline uint64_t rules_key(uintptr_t pc, bool exact, uint32_t generation)
{
    return pc | (exact ? RULES_EXACT : 0) | (uint64_t)generation << 48;
}

static inline uint32_t rules_place(uint64_t key)
{
    return (uint32_t)((key & (RULES_EXACT * 2 - 1)) * 0x9e3779b97f4a7c15ULL >>
                      (64 - __atomic_load_n(&rules_shift, __ATOMIC_RELAXED)));
}

/* The rule of `key`, or 0 when it is not known. */
static inline uint64_t rules_find(uint64_t key)
{
    struct rules_slot *slot = &rules_slots[rules_place(key)];

    for (unsigned i = 0; i < RULES_PROBES; i++, slot++) {
        if (__atomic_load_n(&slot->key, __ATOMIC_ACQUIRE) != key)
            continue;
        uint64_t rule = __atomic_load_n(&slot->rule, __ATOMIC_ACQUIRE);
        return likely(__atomic_load_n(&slot->key, __ATOMIC_RELAXED) == key) ? rule : 0;
    }
    return 0;
}

/* Enters a rule (not 0), where there is a place; replaces an older one if need be. */
void rules_enter(uint64_t key, uint64_t rule);

/* Outdates all entries: code was unloaded, or loaded at used addresses. */
void rules_flush(void);

#endif
