/* SPDX-License-Identifier: MIT
 *
 * The parts that the capture files share: opening the guard for a new block, its stack, its record, its prefix, and the way
 * back. Inline, because this is the hot path; what is rare is in event.c. */
#ifndef SHIM_EVENT_H
#define SHIM_EVENT_H

#include "block.h"
#include "compiler.h"
#include "count.h"
#include "fault.h"
#include "guard.h"
#include "labels.h"
#include "ledger.h"
#include "marked_pages.h"
#include "pyframes.h"
#include "pymem.h"
#include "real.h"
#include "records.h"
#include "sample.h"
#include "start.h"
#include "tally.h"
#include "thread.h"
#include "unwind.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define EVENT_SIZE_LIMIT ((size_t)PTRDIFF_MAX - 4096)

/* False: all events are plain ones (plain.h). */
extern _hidden_ bool event_odd;

/* True: they would be plain but for sampling. */
extern _hidden_ bool event_samples;

/* What the shortest way of a request that is passed over compares with: all it asks is in one number. Where not all that is
 * odd is sampling, 0, so that nothing goes that way. */
#define EVENT_PYMALLOC_MAX 512u
extern _hidden_ uint64_t event_passed_max; /* largest request that may go it: EVENT_PYMALLOC_MAX */
extern _hidden_ bool event_tells_by_page;  /* what marked_pages.h says of a pointer is all there is to it */

/* True: records of some blocks may have to be found by address (side_table.h). Followed by event_settle. */
extern _hidden_ bool event_looks_aside;

/* True: they would be plain but for guard bytes. */
extern _hidden_ bool event_guards;

/* Counts up at each edge of a scope (scope.c); records have the value at which they were made. */
extern _hidden_ uint32_t event_interval;

/* Looks again whether they are: after the options were read, and when the startup phase ends. */
void event_settle(void);

/* Flags of a record that is made now. */
static inline uint32_t event_flags(void)
{
    return start_phase ? RECORD_STARTUP : 0;
}

static inline bool event_is_recorded(enum block_domain domain)
{
    return start_options.domains >> domain & 1;
}

static inline bool event_is_python(enum block_domain domain)
{
    return domain == DOMAIN_MEM || domain == DOMAIN_OBJ;
}

/* False: the block is from before a fork, and its record is in the parent's ledger. */
static inline bool event_is_own(uint64_t ref)
{
    return block_process(ref) == (uint16_t)thread_current_generation();
}

/* Whether the function of the hook with `frame` was called by the interpreter's own code. */
static _always_inline_ bool event_from_interpreter(void *const *frame)
{
    return unwind_return_address(frame) - pymem_code_start < pymem_code_size;
}

/* In the allocator's place of a reference of DOMAIN_MALLOC: event_from_interpreter was true. */
#define EVENT_BY_INTERPRETER 1u

/* ---- the stack ---- */

/* Looks whether the program's own code has begun. */
void event_watch_start(void);

/* The trace of the stack that begins at the hook with `frame`, with what the thread has counted for it. */
static _always_inline_ struct ledger_tally *event_tally(struct thread *thread, void *const *frame)
{
    struct python_stack python = {0, 0};
    uint32_t native = 0;

    if (start_options.native && thread->unwind)
        native = unwind_capture_at(thread->unwind, frame);
    if (pymem_captures && thread->python)
        python = pyframes_capture(thread->python);
    if (unlikely(labels_used))
        python = (struct python_stack){0, labels_apply(stacks_python(python), thread->generation)};
    if (unlikely(start_phase))
        event_watch_start();
    return tally_find(&thread->tallies, native, python);
}

/* Its LEDGER_TRACES id. */
static inline uint32_t event_trace(struct thread *thread, void *const *frame)
{
    return event_tally(thread, frame)->trace;
}

/* ---- counting ---- */

static _always_inline_ void event_count_allocation(struct thread *thread, struct ledger_tally *tally,
                                                   enum block_domain domain, size_t size)
{
    count_allocation(thread, tally, size);
    if (unlikely(fault_by_domain))
        fault_balance(domain, (int64_t)size);
}

static _always_inline_ void event_count_free(struct thread *thread, enum block_domain domain, size_t size)
{
    count_free(thread, size);
    if (unlikely(fault_by_domain))
        fault_balance(domain, -(int64_t)size);
}

/* ---- entering a block ---- */

static _always_inline_ void event_fill_record(struct ledger_record *record, const struct thread *thread, const void *p,
                                              size_t size, uint64_t ref, uint32_t trace, uint32_t flags)
{
    record->size = size;
    record->trace = trace;
    record->thread = thread->id;
    record->type = 0;
    record->mark = event_interval;
    __atomic_store_n(&record->owner, ledger_owner((uintptr_t)p, block_domain_of(ref), flags), __ATOMIC_RELEASE);
}

/* The next serial number that no thread has taken: those in guard bytes are smaller. */
extern _hidden_ uint64_t event_serials;

/* Takes more of them for the thread. */
void event_take_serials(struct thread *thread);

/* Guard bytes of a new block, before its record is published. */
static _always_inline_ void event_dress(struct thread *thread, void *p, size_t size, enum block_domain domain)
{
    if (unlikely(thread->serial == thread->serial_end))
        event_take_serials(thread);
    guard_dress(p, size, domain, thread->serial++);
}

/* block_mark and block_unmark, without guard bytes. */
static _always_inline_ void event_mark(void *p, uint64_t ref, uint32_t lower)
{
    if (unlikely(sample_mean))
        marked_pages_add(p);
    block_mark(p, ref, lower);
}

static _always_inline_ void event_unmark(void *p)
{
    block_unmark(p);
    if (unlikely(sample_mean))
        marked_pages_remove(p);
}

/* Records the block at `p` and marks it. A `ref` without a record gets one of its own. */
static _always_inline_ void event_enter(struct thread *thread, void *p, size_t size, uint64_t ref, void *const *frame)
{
    struct ledger_tally *tally = event_tally(thread, frame);
    uint32_t id = block_record(ref);

    if (unlikely(guard_active))
        event_dress(thread, p, size, block_domain_of(ref));
    if (likely(!id))
        id = records_take(&thread->records);
    ref = (ref & ~0ULL << BLOCK_ALLOCATOR_SHIFT) | (uint64_t)(uint16_t)thread->generation << BLOCK_PROCESS_SHIFT | id;
    if (likely(id))
        event_fill_record(records_get(id), thread, p, size, ref, tally->trace, event_flags());
    else
        thread->counters->dropped++;
    event_mark(p, ref, unlikely(guard_active) ? tally->trace : block_lower(size));
    event_count_allocation(thread, tally, block_domain_of(ref), size);
}

/* Records what the real function gave (or not), and closes the guard. `zeroed`: not to be filled. Returns the program's pointer. */
static _always_inline_ void *event_finish(struct thread *thread, uint8_t *base, size_t size, size_t padding,
                                          uint64_t ref, bool zeroed, void *const *frame)
{
    void *p = NULL;

    if (likely(base)) {
        int saved = errno;
        p = base + padding;
        if (!zeroed)
            guard_fill(p, GUARD_CLEAN, size);
        thread_local_state.busy = BUSY_SHIM;
        event_enter(thread, p, size, ref, frame);
        errno = saved;
    }
    thread_leave();
    return p;
}

/* ---- leaving ---- */

/* The record of a block that is freed while no guard can be had: by a signal handler inside the shim. */
void event_forget_alone(uint64_t ref);

static _always_inline_ void event_forget(struct thread *thread, const void *p, uint64_t ref)
{
    uint32_t id = block_record(ref);
    size_t size = 0;

    if (unlikely(block_process(ref) != (uint16_t)thread->generation)) {
        __atomic_fetch_add(&ledger_header->inherited_frees, 1, __ATOMIC_RELAXED);
        return;
    }
    if (likely(id)) {
        size = records_get(id)->size;
        records_give(&thread->records, id);
    }
    if (block_domain_of(ref) == DOMAIN_OBJ)
        pyframes_block_freed((uintptr_t)p, size);
    event_count_free(thread, block_domain_of(ref), size);
}

/* ---- the allocator that made a block ---- */

static _always_inline_ void event_base_free(uint64_t ref, void *base)
{
    if (event_is_python(block_domain_of(ref))) {
        const struct py_allocator *allocator = pymem_allocator(block_allocator(ref), block_domain_of(ref));
        allocator->free(allocator->context, base);
    } else {
        real.free(base);
    }
}

static inline void *event_base_realloc(uint64_t ref, void *base, size_t size)
{
    if (event_is_python(block_domain_of(ref))) {
        const struct py_allocator *allocator = pymem_allocator(block_allocator(ref), block_domain_of(ref));
        return allocator->realloc(allocator->context, base, size);
    }
    return real.realloc(base, size);
}

/* The steps of a free up to the point where the memory may be given back. */
static _always_inline_ void event_leave(void *p, uint64_t ref)
{
    struct thread *thread = thread_enter();

    if (likely(thread)) {
        event_forget(thread, p, ref);
        thread_leave();
    } else {
        event_forget_alone(ref);
    }
    event_unmark(p);
}

/* Frees a recorded block the way it was made, whatever function was called for it. */
static inline void event_release(void *p, uint64_t ref)
{
    event_leave(p, ref);
    event_base_free(ref, block_base(p, ref));
}

#endif
