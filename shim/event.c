/* SPDX-License-Identifier: MIT */
#include "event.h"

#include "fault.h"

_hot_data_ uint32_t event_interval;
_hot_data_ bool event_odd = true;
bool event_samples, event_guards, event_looks_aside;
_hot_data_ uint64_t event_passed_max;
_hot_data_ bool event_tells_by_page;

void event_settle(void)
{
    const uint64_t libc = 1u << DOMAIN_MALLOC | 1u << DOMAIN_NEW | 1u << DOMAIN_NEW_ARRAY;
    const uint64_t python = 1u << DOMAIN_RAW | 1u << DOMAIN_MEM | 1u << DOMAIN_OBJ;
    uint64_t domains = start_options.domains & (libc | python);

    /* Without any of the interpreter's domains none of its hooks is installed. */
    bool odd = start_phase || fault_active || start_options.guard_pages || !start_options.native || labels_used ||
               (domains != (libc | python) && domains != libc);
    event_odd = odd || guard_active || sample_mean;
    event_samples = !odd && !guard_active && sample_mean;
    event_passed_max = event_samples ? EVENT_PYMALLOC_MAX : 0;
    event_tells_by_page = event_samples && !event_looks_aside;
    event_guards = !odd && guard_active && !sample_mean;
}

_cold_ void event_watch_start(void)
{
    if (pyframes_program_started())
        start_program_begins();
}

#define SERIALS_BATCH 256u

uint64_t event_serials = 1;

_cold_ void event_take_serials(struct thread *thread)
{
    thread->serial = __atomic_fetch_add(&event_serials, SERIALS_BATCH, __ATOMIC_RELAXED);
    thread->serial_end = thread->serial + SERIALS_BATCH;
}

_cold_ void event_forget_alone(uint64_t ref)
{
    if (!block_record(ref) || !event_is_own(ref) || !thread_local_state.busy)
        return;
    records_give_alone(block_record(ref));
    if (thread_local_state.self)
        __atomic_fetch_add(&thread_local_state.self->counters->frees, 1, __ATOMIC_RELAXED);
}
