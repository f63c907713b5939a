/* SPDX-License-Identifier: MIT */
#include "event.h"

uint32_t event_new_trace(struct thread *thread, uint32_t native, uint32_t python)
{
    if (start_phase && pyframes_program_started())
        start_program_begins();
    if (native != thread->last_native || python != thread->last_python) {
        thread->last_trace = stacks_trace(native, python);
        thread->last_native = native;
        thread->last_python = python;
    }
    return thread->last_trace;
}

_cold_ void event_forget_alone(uint64_t ref)
{
    if (!block_record(ref) || !event_is_own(ref) || !thread_local_state.busy)
        return;
    records_give_alone(block_record(ref));
    if (thread_local_state.self)
        __atomic_fetch_add(&thread_local_state.self->counters->frees, 1, __ATOMIC_RELAXED);
}
