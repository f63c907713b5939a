/* SPDX-License-Identifier: MIT */
#include "count.h"

#include "ledger.h"
#include "sampling.h"

_cold_ void count_flush_balance(struct ledger_thread *counters)
{
    int64_t live = __atomic_fetch_add(&ledger_header->live_bytes, counters->balance, __ATOMIC_RELAXED);
    int64_t peak = live + counters->high, seen = __atomic_load_n(&ledger_header->peak_bytes, __ATOMIC_RELAXED);

    while (peak > seen && !__atomic_compare_exchange_n(&ledger_header->peak_bytes, &seen, peak, true, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED))
        ;
    counters->balance = counters->high = 0;
}

struct amount {
    uint32_t blocks;
    uint64_t bytes;
};

/* Fractions are carried over to the next one, so that they do not get lost. */
static struct amount sampled_amount(struct thread *thread, size_t size)
{
    double weight = sampling_weight(size, sample_mean);

    thread->carry_blocks += weight;
    thread->carry_bytes += weight * (double)size;
    struct amount amount = {(uint32_t)MIN(thread->carry_blocks, (double)TALLY_MAX), (uint64_t)thread->carry_bytes};
    thread->carry_blocks -= (double)amount.blocks;
    thread->carry_bytes -= (double)amount.bytes;
    return amount;
}

_cold_ void count_sampled_allocation(struct thread *thread, struct ledger_tally *tally, size_t size)
{
    struct amount amount = sampled_amount(thread, size);
    count_add(thread->counters, tally, amount.blocks, amount.bytes);
}

_cold_ void count_sampled_free(struct thread *thread, size_t size)
{
    struct amount amount = sampled_amount(thread, size);
    count_subtract(thread->counters, amount.blocks, amount.bytes);
}

_cold_ void count_dropped(void)
{
    const struct thread_local_state *state = &thread_local_state;
    uint32_t generation = *thread_generation;

    if (generation == 0 || generation == THREAD_INACTIVE || state->busy == BUSY_NESTED)
        return;
    if (!state->busy || !state->self)
        __atomic_fetch_add(&ledger_header->dropped, 1, __ATOMIC_RELAXED);
    else
        __atomic_fetch_add(&state->self->counters->dropped, 1, __ATOMIC_RELAXED);
}
