/* SPDX-License-Identifier: MIT
 *
 * The hot path with guard bytes: as plain.h, when guard bytes are all that is odd (event_guards). For the capture files only. */
#ifndef SHIM_PLAIN_GUARDED_H
#define SHIM_PLAIN_GUARDED_H

#include "guarded.h"
#include "interpreter_lock.h"
#include "plain.h"

#define PLAIN_GUARDED (BLOCK_PREFIX + GUARD_SIDE) /* p - base */

/* plain_finish. */
static _always_inline_ void *plain_finish_guarded(struct thread *thread, uint8_t *base, size_t size, uint64_t ref,
                                                  struct ledger_tally *tally)
{
    if (unlikely(!base)) {
        thread_leave();
        return NULL;
    }
    uint8_t *p = base + PLAIN_GUARDED;
    thread_local_state.busy = BUSY_SHIM;
    guard_fill(p, GUARD_CLEAN, size);
    event_dress(thread, p, size, block_domain_of(ref));
    const struct records_free record = records_take_both(&thread->records);
    plain_record(thread, p, (uint64_t *)base, size, ref, tally, &record);
    thread_leave();
    return p;
}

/* Keeps back a block that has been claimed, if that takes no more than a few stores. */
static _always_inline_ bool plain_keeps_back(struct thread *thread, void *p, uint64_t ref, enum quarantine_pool pool,
                                             const struct quarantine_entry *entry)
{
    struct quarantine_entry *kept = pool == QUARANTINE_PYTHON && unlikely(!pymem_in_main_interpreter())
                                        ? NULL
                                        : quarantine_adds(&thread->quarantine, thread->generation, pool, entry->size);

    if (unlikely(!kept))
        return false;
    guard_fill(p, GUARD_DEAD, entry->size);
    block_keep(p, ref, entry->alloc_trace, entry->free_trace);
    kept->place = entry->place; /* field by field: they come from registers */
    kept->size = entry->size;
    kept->alloc_trace = entry->alloc_trace;
    kept->free_trace = entry->free_trace;
    quarantine_added(&thread->quarantine, pool);
    return true;
}

/* Frees `p` if it was made in this process, its reference but for record, process and bits of the allocator's number is `of`,
 * and nothing is wrong. False: nothing has been done.
 *
 * Of two threads that free a block of Python's, both of which hold the interpreter's lock, one comes first without further ado. */
static _always_inline_ bool plain_free_guarded(void *p, uint64_t of, uint64_t allocator_bits, enum quarantine_pool pool,
                                               void *const *frame)
{
    struct thread_local_state *state = &thread_local_state;
    const uint64_t *prefix = (const uint64_t *)((uintptr_t)p - PLAIN_GUARDED);
    enum block_domain domain = block_domain_of(of);

    if (unlikely(!plain_has_prefix(p, PLAIN_GUARDED) || !thread_raise(BUSY_SHIM)))
        return false;
    uint32_t generation = *thread_generation, size = (uint32_t)prefix[1];
    struct thread *thread = state->self;
    if (unlikely(!plain_is_own(prefix, p, of, allocator_bits, generation) || size == BLOCK_SIZE_UNKNOWN ||
                 state->generation != generation || records_is_full(&thread->records)) ||
        unlikely(!guard_intact(p, size, domain, guarded_serial_limit()))) {
        state->busy = 0;
        return false;
    }
    uint64_t ref = prefix[0];
    const struct records_free record = {records_get(block_record(ref)), block_record(ref)};
    __builtin_prefetch(record.record, 1); /* it may be in no cache */
    uint32_t trace = plain_tally(thread, frame)->trace;
    bool holds_lock = pool == QUARANTINE_PYTHON && interpreter_lock_held_after(thread);
    if (unlikely(!holds_lock) && ((pool == QUARANTINE_PYTHON && interpreter_lock_missing()) || !guarded_claim(p))) {
        state->busy = 0;
        return false;
    }
    const struct quarantine_entry entry = {quarantine_place(p, domain), size, record.record->trace, trace};
    records_give_known(&thread->records, &record);
    count_subtract(thread->counters, 1, size);
    if (unlikely(!plain_keeps_back(thread, p, ref, pool, &entry)))
        guarded_keep_back(thread, p, ref, &entry, true, frame);
    thread_leave();
    return true;
}

#endif
