/* SPDX-License-Identifier: MIT
 *
 * CPython's MEM and OBJ domains below which CPython's own debug hooks lie (PYTHONMALLOC=debug, -X dev, debug builds). These
 * keep the size of each block and print it, so the blocks stay as the program asked for them, without a prefix, and their
 * records are found by address. */
#include "capture.h"

#include "event.h"
#include "pages.h"
#include "side_table.h"

static void enter(struct thread *thread, const void *p, size_t size, enum block_domain domain, void *const *frame)
{
    uint32_t trace = event_trace(thread, frame), id = records_take(&thread->records);

    if (id && !side_table_put((uintptr_t)p, id)) {
        records_give(&thread->records, id);
        id = 0;
    }
    if (id)
        event_fill_record(records_get(id), thread, p, size, (uint64_t)domain << BLOCK_DOMAIN_SHIFT, trace);
    else
        thread->counters->dropped++;
    count_allocation(thread, trace, size);
}

static void leave(struct thread *thread, uint32_t id)
{
    size_t size = records_get(id)->size;

    records_give(&thread->records, id);
    count_free(thread, size);
}

static struct thread *begin(const struct python_origin *origin, size_t size)
{
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
    const struct py_allocator *allocator = origin->allocator;
    struct thread *thread = begin(origin, size);
    void *p = allocator->malloc(allocator->context, size);

    return thread ? finish(thread, p, size, origin->domain, frame) : p;
}

void *capture_aside_calloc(const struct python_origin *origin, size_t count, size_t size, void *const *frame)
{
    const struct py_allocator *allocator = origin->allocator;
    struct thread *thread = begin(origin, count * size);
    void *p = allocator->calloc(allocator->context, count, size);

    return thread ? finish(thread, p, count * size, origin->domain, frame) : p;
}

/* The old entry goes before another thread can get the address. */
void *capture_aside_realloc(const struct python_origin *origin, void *p, size_t size, void *const *frame)
{
    const struct py_allocator *allocator = origin->allocator;

    if (!p)
        return capture_aside_malloc(origin, size, frame);
    if (pages_owns(p) || block_find(p)) /* from before the debug hooks */
        return capture_python_realloc(origin, p, size, frame);
    struct thread *thread = thread_enter();
    if (!thread)
        return allocator->realloc(allocator->context, p, size);
    thread_local_state.busy = BUSY_NESTED;
    uint32_t id = side_table_take((uintptr_t)p);
    void *moved = allocator->realloc(allocator->context, p, size);
    thread_local_state.busy = BUSY_SHIM;
    if (id && moved) {
        leave(thread, id);
        enter(thread, moved, size, origin->domain, frame);
    } else if (id) {
        side_table_put((uintptr_t)p, id);
    }
    thread_leave();
    return moved;
}

void capture_aside_forget(const void *p)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return;
    uint32_t id = side_table_take((uintptr_t)p);
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
    capture_aside_forget(p);
    origin->allocator->free(origin->allocator->context, p);
}
