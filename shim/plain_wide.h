/* SPDX-License-Identifier: MIT
 *
 * The capture of CPython 3.11's stacks in line, for hooks that are compiled for AVX2. For the capture files only. */
#ifndef SHIM_PLAIN_WIDE_H
#define SHIM_PLAIN_WIDE_H

#include "plain.h"
#include "pysame.h"

/* plain_tally, for a thread with thread->python, while pymem_captures_wide. */
static _always_inline_ struct ledger_tally *plain_tally_wide(struct thread *thread, void *const *frame)
{
    uint32_t native = likely(thread->unwind) ? unwind_capture_here(thread->unwind, frame) : 0;
    struct python_stack python = pysame_capture(thread->python, SHAPE_311, pysame_otherwise_wide);

    return tally_find(&thread->tallies, native, python);
}

#endif
