/* SPDX-License-Identifier: MIT
 *
 * CPython's MEM and OBJ domains below which CPython's own debug hooks lie (PYTHONMALLOC=debug, -X dev, debug builds). These
 * keep the size of each block and print it, so the blocks stay as the program asked for them, without a prefix, and their
 * records are found by address. With guard=1 the debug hooks' bytes are the guard bytes: what is wrong with them is noted, with
 * the stacks, before the debug hooks look at them and end the process. */
#include "capture.h"

#include "errors.h"
#include "event.h"
#include "fault.h"
#include "guarded.h"
#include "interpreter_lock.h"
#include "pages.h"
#include "side_table.h"

static void enter(struct thread *thread, const void *p, size_t size, enum block_domain domain, void *const *frame)
{
    struct ledger_tally *tally = event_tally(thread, frame);
    uint32_t id = records_take(&thread->records);

    if (id && !side_table_put(&side_blocks, (uintptr_t)p, id)) {
        records_give(&thread->records, id);
        id = 0;
    }
    if (id)
        event_fill_record(records_get(id), thread, p, size, (uint64_t)domain << BLOCK_DOMAIN_SHIFT, tally->trace,
                          event_flags());
    else
        thread->counters->dropped++;
    event_count_allocation(thread, tally, domain, size);
}

static void leave(struct thread *thread, uint32_t id)
{
    const struct ledger_record *record = records_get(id);
    enum block_domain domain = ledger_owner_domain(record->owner);
    size_t size = record->size;

    records_give(&thread->records, id);
    event_count_free(thread, domain, size);
}

/* ---- guard=1 ---- */

#define DEBUG_BYTES_SINCE 0x03080000u /* before that the debug hooks had other ones */

static void note(struct thread *thread, uint32_t id, const struct release *release, enum error_kind kind,
                 const char *detail)
{
    const struct ledger_record *record = records_get(id);

    errors_note(&(struct error_note){
        .kind = kind,
        .domain = ledger_owner_domain(record->owner),
        .address = ledger_owner_address(record->owner),
        .size = record->size,
        .trace = event_trace(thread, release->frame),
        .alloc_trace = record->trace,
        .detail = detail,
    });
}

_cold_ static void check(struct thread *thread, const void *p, uint32_t id, const struct release *release)
{
    const struct ledger_record *record = records_get(id);
    enum block_domain made = ledger_owner_domain(record->owner);
    struct guard_sides sides;
    char detail[224];

    if (interpreter_lock_missing() && !interpreter_lock_excused(thread, release->frame))
        interpreter_lock_note(thread, p, record->size, made, misuse_releaser(release), release->frame);
    if (made != release->by) {
        snprintf(detail, sizeof(detail), "a block of %s is released by %s", misuse_maker(made),
                 misuse_releaser(release));
        note(thread, id, release, ERROR_DOMAIN_MISMATCH, detail);
    }
    if (pymem_api()->hex < DEBUG_BYTES_SINCE)
        return;
    memcpy(sides.before, (const uint8_t *)p - GUARD_SIDE, GUARD_SIDE);
    memcpy(sides.after, (const uint8_t *)p + record->size, GUARD_SIDE / 2);
    struct guard_damage damage = guard_examine_debug(&sides, record->size, made);
    if (!damage.kind)
        return;
    guarded_describe(detail, sizeof(detail), &damage, record->size, made);
    note(thread, id, release, damage.kind, detail);
}

static void check_release(struct thread *thread, const void *p, uint32_t id, enum block_domain by, bool is_realloc,
                          void *const *frame)
{
    struct release release = {by, SIZE_MAX, is_realloc, frame, frame};

    if (unlikely(guard_active) && id)
        check(thread, p, id, &release);
}

/* ---- blocks ---- */

static struct thread *begin(const struct python_origin *origin, size_t size, void *const *frame)
{
    if (unlikely(guard_active))
        interpreter_lock_origin(origin, size, frame);
    if (!event_is_recorded(origin->domain) || sample_skips(size))
        return NULL;
    struct thread *thread = thread_enter();
    if (thread)
        thread_local_state.busy = BUSY_NESTED;
    return thread;
}

static void *finish(struct thread *thread, void *p, size_t size, enum block_domain domain, void *const *frame)
{
    thread_local_state.busy = BUSY_SHIM;
    if (p)
        enter(thread, p, size, domain, frame);
    thread_leave();
    return p;
}

void *capture_aside_malloc(const struct python_origin *origin, size_t size, void *const *frame)
{
    if (unlikely(fault_active) && fault_refuses(origin->domain, size))
        return NULL;
    const struct py_allocator *allocator = origin->allocator;
    struct thread *thread = begin(origin, size, frame);
    void *p = allocator->malloc(allocator->context, size);

    return thread ? finish(thread, p, size, origin->domain, frame) : p;
}

void *capture_aside_calloc(const struct python_origin *origin, size_t count, size_t size, void *const *frame)
{
    if (unlikely(fault_active) && fault_refuses(origin->domain, count * size))
        return NULL;
    const struct py_allocator *allocator = origin->allocator;
    struct thread *thread = begin(origin, count * size, frame);
    void *p = allocator->calloc(allocator->context, count, size);

    return thread ? finish(thread, p, count * size, origin->domain, frame) : p;
}

static _cold_ bool is_refused(enum block_domain domain, const void *p, size_t size)
{
    struct thread *thread = thread_enter();
    size_t old_size = 0;

    if (!thread)
        return false;
    uint32_t id = side_table_take(&side_blocks, (uintptr_t)p);
    if (id) {
        old_size = records_get(id)->size;
        side_table_put(&side_blocks, (uintptr_t)p, id);
    }
    thread_leave();
    return fault_refuses_growth(domain, size, old_size);
}

/* The old entry goes before another thread can get the address. */
void *capture_aside_realloc(const struct python_origin *origin, void *p, size_t size, void *const *frame)
{
    const struct py_allocator *allocator = origin->allocator;

    if (!p)
        return capture_aside_malloc(origin, size, frame);
    if (pages_owns(p) || block_find(p)) /* from before the debug hooks */
        return capture_python_realloc(origin, p, size, frame);
    if (unlikely(fault_active) && is_refused(origin->domain, p, size))
        return NULL;
    struct thread *thread = thread_enter();
    if (!thread)
        return allocator->realloc(allocator->context, p, size);
    uint32_t id = side_table_take(&side_blocks, (uintptr_t)p);
    check_release(thread, p, id, origin->domain, true, frame);
    thread_local_state.busy = BUSY_NESTED;
    void *moved = allocator->realloc(allocator->context, p, size);
    thread_local_state.busy = BUSY_SHIM;
    if (id && moved) {
        leave(thread, id);
        enter(thread, moved, size, origin->domain, frame);
    } else if (id) {
        side_table_put(&side_blocks, (uintptr_t)p, id);
    }
    thread_leave();
    return moved;
}

void capture_aside_forget(const struct python_origin *origin, const void *p, void *const *frame)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return;
    uint32_t id = side_table_take(&side_blocks, (uintptr_t)p);
    check_release(thread, p, id, origin->domain, false, frame);
    if (id)
        leave(thread, id);
    thread_leave();
}

void capture_aside_free(const struct python_origin *origin, void *p, void *const *frame)
{
    if (!p)
        return;
    if (pages_owns(p) || block_find(p)) {
        capture_python_free(origin, p, frame);
        return;
    }
    capture_aside_forget(origin, p, frame);
    origin->allocator->free(origin->allocator->context, p);
}
