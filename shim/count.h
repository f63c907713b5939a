/* SPDX-License-Identifier: MIT
 *
 * A thread's counters in the ledger: what was allocated and freed, the balance that the process's peak is made of, and what
 * its traces have allocated. Inside the guard of thread.h. */
#ifndef SHIM_COUNT_H
#define SHIM_COUNT_H

#include "compiler.h"
#include "sample.h"
#include "thread.h"

#include <stdbool.h>

#define COUNT_LOOK 512u /* once in so many allocations a thread looks whether something is wanted of it */
#define COUNT_BALANCE_FLUSH (64 << 10) /* bytes a thread may be ahead of header.live_bytes */

/* Adds the balance to the header. */
void count_flush_balance(struct ledger_thread *counters);

/* The same as below, with sampling: a block counts for all those that it stands for. */
void count_sampled_allocation(struct thread *thread, struct ledger_tally *tally, size_t size);
void count_sampled_free(struct thread *thread, size_t size);

/* Notes what thread_leave has to do. */
void count_look(void);

/* An event from a signal handler inside the shim, or without room for the thread's state. */
void count_dropped(void);

static _always_inline_ void count_add(struct ledger_thread *counters, struct ledger_tally *tally, uint32_t blocks,
                                      uint64_t bytes)
{
    int64_t balance = counters->balance + (int64_t)bytes;

    counters->allocations += blocks;
    if (unlikely(counters->allocations % COUNT_LOOK < blocks))
        count_look();
    counters->allocated_bytes += bytes;
    tally_add(tally, blocks, bytes);
    counters->balance = balance;
    if (balance > counters->high) {
        counters->high = balance;
        if (unlikely(balance > COUNT_BALANCE_FLUSH))
            count_flush_balance(counters);
    }
}

/* Whether the balance need not be flushed. It does not exceed COUNT_BALANCE_FLUSH, so that 4 GiB never can be subtracted. */
static _always_inline_ bool count_can_subtract(const struct ledger_thread *counters, uint64_t bytes)
{
    return counters->balance - (int64_t)bytes >= -COUNT_BALANCE_FLUSH;
}

/* Without a look at the balance. */
static _always_inline_ void count_subtract_plainly(struct ledger_thread *counters, uint64_t blocks, uint64_t bytes)
{
    counters->frees += blocks;
    counters->freed_bytes += bytes;
    counters->balance -= (int64_t)bytes;
}

static _always_inline_ void count_subtract(struct ledger_thread *counters, uint64_t blocks, uint64_t bytes)
{
    count_subtract_plainly(counters, blocks, bytes);
    if (unlikely(counters->balance < -COUNT_BALANCE_FLUSH))
        count_flush_balance(counters);
}

static _always_inline_ void count_allocation(struct thread *thread, struct ledger_tally *tally, size_t size)
{
    if (unlikely(sample_mean))
        count_sampled_allocation(thread, tally, size);
    else
        count_add(thread->counters, tally, 1, size);
}

static _always_inline_ void count_free(struct thread *thread, size_t size)
{
    if (unlikely(sample_mean))
        count_sampled_free(thread, size);
    else
        count_subtract(thread->counters, 1, size);
}

#endif
