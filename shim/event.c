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

#define SERIALS_BATCH 256u

uint64_t event_serials = 1;

void event_dress(struct thread *thread, void *p, size_t size, enum block_domain domain)
{
    if (thread->serial == thread->serial_end) {
        thread->serial = __atomic_fetch_add(&event_serials, SERIALS_BATCH, __ATOMIC_RELAXED);
        thread->serial_end = thread->serial + SERIALS_BATCH;
    }
    guard_dress(p, size, domain, thread->serial++);
}

_cold_ void event_forget_alone(uint64_t ref)
{
    if (!block_record(ref) || !event_is_own(ref) || !thread_local_state.busy)
        return;
    records_give_alone(block_record(ref));
    if (thread_local_state.self)
        __atomic_fetch_add(&thread_local_state.self->counters->frees, 1, __ATOMIC_RELAXED);
}
