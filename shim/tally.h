/* SPDX-License-Identifier: MIT
 *
 * A thread's latest traces: found by their two nodes without a look at the shared table, and counted where no other thread
 * counts. The tallies lie in the ledger, so that counts survive whatever ends the process. One that has to make room is
 * added to its trace. Inside the guard of thread.h. */
#ifndef SHIM_TALLY_H
#define SHIM_TALLY_H

#include "compiler.h"
#include "ledger_format.h"

/* Makes `tally` that of the trace (native, python). */
void tally_replace(struct ledger_tally *tally, uint32_t native, uint32_t python);

/* The tally of the trace (native, python) among the thread's LEDGER_TALLIES_THREAD. Where there was no room for the trace,
 * it has number 0. */
static _always_inline_ struct ledger_tally *tally_find(struct ledger_tally *tallies, uint32_t native, uint32_t python)
{
    struct ledger_tally *tally = &tallies[(native * 0x9e3779b1u + python * 0x85ebca6bu) >> (32 - LEDGER_TALLIES_SHIFT)];

    if (unlikely(tally->native != native || tally->python != python))
        tally_replace(tally, native, python);
    return tally;
}

#endif
