/* SPDX-License-Identifier: MIT */
#include "pages_fault.h"

#include "errors.h"
#include "event.h"
#include "machine.h"
#include "misuse.h"
#include "own_stack.h"
#include "pages.h"
#include "signals.h"

static uint32_t trace_of(struct thread *thread, const ucontext_t *context)
{
    struct unwind_start start = machine_interrupted(context);
    struct python_stack python = {0, 0};
    uint32_t native = 0;

    if (start_options.native && thread->unwind && start.pc)
        native = unwind_capture(thread->unwind, &start);
    if (pymem_present && start_options.python && thread->python)
        python = pyframes_capture(thread->python);
    return tally_find(&thread->tallies, native, python)->trace;
}

static enum error_kind kind_of(const struct pages_place *place, uintptr_t address, enum machine_access access)
{
    bool write = access == ACCESS_WRITE;

    if (place->freed)
        return write ? ERROR_USE_AFTER_FREE : ERROR_USE_AFTER_FREE_READ;
    if (address < place->block)
        return write ? ERROR_UNDERFLOW : ERROR_UNDERFLOW_READ;
    return write ? ERROR_OVERFLOW : ERROR_OVERFLOW_READ;
}

static void report(const siginfo_t *info, const ucontext_t *context)
{
    static const char *const accesses[] = {"access", "read", "write"};
    struct thread *thread = thread_enter();
    uintptr_t address = (uintptr_t)info->si_addr;
    struct pages_place place;

    if (!thread)
        return;
    if (pages_find(address, &place)) {
        enum machine_access access = machine_access_of(context);
        char detail[160];
        snprintf(detail, sizeof(detail), "%s at offset %lld of a %sblock of %llu bytes (%s)", accesses[access],
                 (long long)(address - place.block), place.freed ? "freed " : "", (unsigned long long)place.size,
                 misuse_maker(block_domain_of(place.ref)));
        errors_note(&(struct error_note){
            .kind = kind_of(&place, address, access),
            .domain = block_domain_of(place.ref),
            .address = place.block,
            .size = place.size,
            .trace = trace_of(thread, context),
            .alloc_trace = place.alloc_trace,
            .free_trace = place.free_trace,
            .detail = detail,
        });
    }
    thread_leave();
}

struct fault {
    const siginfo_t *info;
    const ucontext_t *context;
};

static void report_fault(void *argument)
{
    const struct fault *fault = argument;
    report(fault->info, fault->context);
}

static void look(const siginfo_t *info, const ucontext_t *context)
{
    struct fault fault = {info, context};

    if (pages_owns(info->si_addr))
        own_stack_run(report_fault, &fault);
}

void pages_fault_init(void)
{
    signals_watch(look);
}
