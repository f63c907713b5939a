/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include "stacks.h"

/* A reader of a process that was killed in here may miss the counts of one trace, or see them twice. */
void tally_replace(struct ledger_tally *tally, uint32_t native, uint32_t python)
{
    if (tally->trace && tally->allocations)
        stacks_count(tally->trace, tally->allocations, tally->bytes);
    tally->allocations = tally->bytes = 0;
    __atomic_store_n(&tally->trace, stacks_trace(native, python), __ATOMIC_RELEASE);
    tally->native = native;
    tally->python = python;
}
