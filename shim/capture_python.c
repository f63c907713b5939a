/* SPDX-License-Identifier: MIT
 *
 * CPython's MEM and OBJ domains. A block of no bytes must still own one: with the prefix alone it would fill a size class
 * exactly, and its address would be that of the next block. */
#include "capture.h"

#include "event.h"
#include "fault.h"
#include "guarded.h"
#include "interpreter_lock.h"
#include "misuse.h"
#include "pages.h"
#include "plain.h"
#include "pymem_sampled.h"
#include "resize.h"
#include "side_table.h"

struct python_origin capture_python_origin(const struct py_allocator *allocator, enum block_domain domain,
                                           uint8_t index)
{
    uint64_t ref = block_template | (uint64_t)domain << BLOCK_DOMAIN_SHIFT | (uint64_t)index << BLOCK_ALLOCATOR_SHIFT;
    return (struct python_origin){allocator, ref, domain, false, index};
}

/* The first sample may be long in coming: whether the program's own code has begun is looked at some requests before. */
static _cold_ void look_for_start(void)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return;
    if ((++thread->ticks & 255) == 0 && pymem_captures && thread->python) {
        pyframes_capture(thread->python);
        event_watch_start();
    }
    thread_leave();
}

static _cold_ bool passes_over(size_t size)
{
    bool skips = sample_skips(size);

    if (skips && start_phase)
        look_for_start();
    return skips;
}

static _always_inline_ struct thread *begin_python(const struct python_origin *origin, size_t size)
{
    if (unlikely(!event_is_recorded(origin->domain) || size > EVENT_SIZE_LIMIT))
        return NULL;
    if (unlikely(sample_mean) && passes_over(size))
        return NULL;
    struct thread *thread = thread_enter();
    if (likely(thread))
        thread_local_state.busy = BUSY_NESTED;
    else
        count_dropped();
    return thread;
}

/* A request that is passed over: what it asks of libc must not be recorded in its place. */
#define PASS_OVER(call) \
    ({ \
        uint8_t busy_ = thread_local_state.busy; \
        if (sample_mean) \
            thread_local_state.busy = BUSY_NESTED; \
        void *result_ = (call); \
        thread_local_state.busy = busy_; \
        result_; \
    })

/* A block against an inaccessible page, if this one is to be such a block and can be: with the guard closed. */
static _always_inline_ void *on_pages(struct thread *thread, const struct python_origin *origin, size_t size,
                                      bool zeroed, void *const *frame)
{
    return pages_due(thread) ? pages_allocate(thread, &(struct pages_request){size, 16, origin->ref, zeroed, frame})
                             : NULL;
}

/* Memory that was asked for with a prefix, and can have none. */
static _cold_ void *not_recorded(struct thread *thread, void *base)
{
    thread->counters->dropped++;
    thread_leave();
    return base;
}

static _noinline_ void *malloc_oddly(const struct python_origin *origin, size_t size, void *const *frame)
{
    if (unlikely(fault_active) && fault_refuses(origin->domain, size))
        return NULL;
    if (unlikely(guard_active))
        origin = interpreter_lock_origin(origin, size, frame);
    const struct py_allocator *allocator = origin->allocator;
    struct thread *thread = begin_python(origin, size);

    if (unlikely(!thread))
        return PASS_OVER(allocator->malloc(allocator->context, size));
    void *p = on_pages(thread, origin, size, false, frame);
    if (unlikely(p != NULL))
        return p;
    size_t padding = block_distance;
    uint8_t *base = allocator->malloc(allocator->context, pymem_sampled_ask(MAX(size, 1u) + padding + block_trailer));
    if (unlikely(!pymem_sampled_accepts(origin->ref, base)))
        return not_recorded(thread, base);
    return event_finish(thread, base, size, padding, origin->ref, false, frame);
}

static _always_inline_ bool is_plain(size_t size)
{
    return !event_odd && size - 1 < PLAIN_SIZE_MAX;
}

static _always_inline_ void *malloc_entered(struct thread *thread, const struct python_origin *origin, size_t size,
                                            void *const *frame)
{
    struct ledger_tally *tally = plain_tally_first(thread, frame);
    const struct py_allocator *allocator = origin->allocator;
    uint8_t *base = allocator->malloc(allocator->context, size + BLOCK_PREFIX);
    return plain_finish(thread, base, size, origin->ref, tally);
}

static _noinline_ void *malloc_plainly(const struct python_origin *origin, size_t size, void *const *frame)
{
    struct thread *thread = plain_enter(BUSY_SHIM);

    return likely(thread) ? malloc_entered(thread, origin, size, frame) : malloc_oddly(origin, size, frame);
}

/* With sampling most requests end here. */
static _noinline_ void *pass_over(const struct python_origin *origin, size_t size)
{
    void *p = origin->allocator->malloc(origin->allocator->context, size);

    thread_local_state.busy = 0;
    return p;
}

/* Nothing in line that would have to save registers: with sampling that would be most of the cost. */
void *capture_python_malloc(const struct python_origin *origin, size_t size, void *const *frame)
{
    if (likely(is_plain(size)))
        return malloc_plainly(origin, size, frame);
    return plain_passes(size) ? pass_over(origin, size) : malloc_oddly(origin, size, frame);
}

void *capture_python_hook_malloc(void *context, size_t size)
{
    struct thread *thread = likely(is_plain(size)) ? plain_enter(BUSY_SHIM) : NULL;

    return likely(thread) ? malloc_entered(thread, context, size, UNWIND_HERE)
                          : capture_python_malloc(context, size, UNWIND_HERE);
}

void *capture_python_calloc(const struct python_origin *origin, size_t count, size_t size, void *const *frame)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) || (unlikely(fault_active) && fault_refuses(origin->domain, bytes)))
        return NULL;
    if (unlikely(guard_active))
        origin = interpreter_lock_origin(origin, bytes, frame);
    const struct py_allocator *allocator = origin->allocator;
    struct thread *thread = begin_python(origin, bytes);
    if (unlikely(!thread))
        return PASS_OVER(allocator->calloc(allocator->context, count, size));
    void *p = on_pages(thread, origin, bytes, true, frame);
    if (unlikely(p != NULL))
        return p;
    size_t padding = block_distance;
    uint8_t *base =
        allocator->calloc(allocator->context, 1, pymem_sampled_ask(MAX(bytes, 1u) + padding + block_trailer));
    if (unlikely(!pymem_sampled_accepts(origin->ref, base)))
        return not_recorded(thread, base);
    return event_finish(thread, base, bytes, padding, origin->ref, true, frame);
}

/* A plain block of CPython's that is to grow or shrink. */
static _cold_ void *foreign_realloc(const struct python_origin *origin, void *p, size_t size, void *const *frame)
{
    const struct py_allocator *allocator = origin->allocator;

    if (likely(!sample_mean) || size > EVENT_SIZE_LIMIT || !event_is_recorded(origin->domain) || sample_skips(size))
        return PASS_OVER(allocator->realloc(allocator->context, p, size));
    return resize_to_recorded(p, origin->ref, MAX(size, 1u), frame);
}

static struct release release_by(const struct python_origin *origin, bool is_realloc, void *const *frame)
{
    return (struct release){origin->domain, SIZE_MAX, is_realloc, frame, frame};
}

static _always_inline_ void *realloc_block(const struct python_origin *origin, void *p, size_t size, void *const *frame)
{
    struct release release = release_by(origin, true, frame);

    if (pages_owns(p))
        return pages_realloc(origin, p, size, &release);
    uint64_t ref = block_find(p);
    if (!ref)
        return guard_active && guarded_is_invalid(p, &release) ? guarded_realloc_invalid(origin, p, size, frame)
                                                               : foreign_realloc(origin, p, size, frame);
    if (size > EVENT_SIZE_LIMIT - block_padding(ref))
        return NULL;
    if (guard_active)
        return guarded_realloc(origin, p, ref, size, &release);
    if (unlikely(block_domain_of(ref) != origin->domain))
        misuse_check_alone(p, ref, &release);
    return resize_recorded(p, ref, MAX(size, 1u), frame);
}

static _cold_ void *realloc_judged(const struct python_origin *origin, void *p, size_t size, void *const *frame)
{
    if (fault_refuses_resize(origin->domain, p, size))
        return NULL;
    void *moved = realloc_block(origin, p, size, frame);
    fault_resized();
    return moved;
}

void *capture_python_realloc(const struct python_origin *origin, void *p, size_t size, void *const *frame)
{
    if (!p)
        return capture_python_malloc(origin, size, frame);
    struct thread *thread = likely(is_plain(MAX(size, 1u))) ? plain_enter_with(p, origin->ref) : NULL;
    if (likely(thread))
        return plain_resize(thread, origin->allocator, p, MAX(size, 1u), plain_tally_first(thread, frame));
    return unlikely(fault_active) ? realloc_judged(origin, p, size, frame) : realloc_block(origin, p, size, frame);
}

/* Everything else than a block without guard bytes that this very allocator made: of another domain, or from before the
 * interpreter replaced its allocators, or not recorded. */
static _cold_ void free_other(const struct python_origin *origin, void *p, uint64_t ref, void *const *frame)
{
    struct release release = release_by(origin, false, frame);

    if (!ref) {
        if (side_blocks.count)
            capture_aside_forget(origin, p, frame);
        if (!guard_active || !guarded_is_invalid(p, &release))
            origin->allocator->free(origin->allocator->context, p);
    } else if (guard_active) {
        guarded_free(p, ref, &release);
    } else {
        if (block_domain_of(ref) != origin->domain)
            misuse_check_alone(p, ref, &release);
        event_release(p, ref);
    }
}

static _cold_ void free_on_pages(const struct python_origin *origin, void *p, void *const *frame)
{
    struct release release = release_by(origin, false, frame);

    pages_free(p, &release);
}

static _noinline_ void free_oddly(const struct python_origin *origin, void *p, void *const *frame)
{
    if (!p)
        return;
    if (pages_owns(p)) {
        free_on_pages(origin, p, frame);
        return;
    }
    uint64_t ref = block_find(p);
    if (unlikely((ref ^ origin->ref) >> BLOCK_ALLOCATOR_SHIFT || guard_active)) {
        free_other(origin, p, ref, frame);
        return;
    }
    event_leave(p, ref);
    const struct py_allocator *allocator = origin->allocator;
    allocator->free(allocator->context, (uint8_t *)p - block_distance);
}

static _noinline_ void free_and_look(const struct py_allocator *allocator, void *base)
{
    thread_leave_slow();
    allocator->free(allocator->context, base);
}

/* Out of line, so that the hook has no registers to save. */
_noinline_ void capture_python_free(const struct python_origin *origin, void *p, void *const *frame)
{
    if (plain_is_foreign(p))
        origin->allocator->free(origin->allocator->context, p);
    else
        free_oddly(origin, p, frame);
}

void capture_python_hook_free(void *context, void *p)
{
    const struct python_origin *origin = context;
    enum plain_left left = likely(!event_odd) ? plain_leave(p, origin->ref, 0) : PLAIN_NOT_LEFT;

    if (unlikely(left == PLAIN_NOT_LEFT)) {
        capture_python_free(origin, p, UNWIND_HERE);
        return;
    }
    if (unlikely(left == PLAIN_LEFT_WITH_MORE)) {
        free_and_look(origin->allocator, (uint8_t *)p - BLOCK_PREFIX);
        return;
    }
    const struct py_allocator *allocator = origin->allocator;
    allocator->free(allocator->context, (uint8_t *)p - BLOCK_PREFIX);
}
