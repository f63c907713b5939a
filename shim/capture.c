/* SPDX-License-Identifier: MIT */
#include "capture.h"

#include "event.h"
#include "resize.h"

/* The domain and frame for a block that malloc was asked for: those of the hook further out, if there is one. */
static inline enum block_domain origin_domain(void *const **frame)
{
    const struct origin *origin = thread_local_state.origin;

    if (likely(!origin))
        return DOMAIN_MALLOC;
    *frame = origin->frame;
    return origin->domain;
}

static inline uint64_t plain_ref(enum block_domain domain)
{
    return block_template | (uint64_t)domain << BLOCK_DOMAIN_SHIFT;
}

static _cold_ void watch_only(void)
{
    if (!thread_enter())
        return;
    thread_local_state.busy = BUSY_NESTED;
    pymem_watch();
    thread_leave();
}

static _cold_ bool skip_sample(size_t size)
{
    bool skips = sample_skips(size);

    if (skips && pymem_watching == PYMEM_WATCH_EACH)
        watch_only();
    return skips;
}

/* Opens the guard for a new block; NULL: it is not to be recorded. */
static _always_inline_ struct thread *begin(enum block_domain domain, size_t size)
{
    if (unlikely(!event_is_recorded(domain) || size > EVENT_SIZE_LIMIT))
        return NULL;
    if (unlikely(sample_mean) && skip_sample(size))
        return NULL;
    struct thread *thread = thread_enter();
    if (unlikely(!thread)) {
        count_dropped();
        return NULL;
    }
    thread_local_state.busy = BUSY_NESTED;
    if (unlikely(pymem_watching) && (pymem_watching == PYMEM_WATCH_EACH || (++thread->ticks & 15) == 0))
        pymem_watch();
    return thread;
}

static _cold_ bool real_missing(void)
{
    real_init();
    return !real_ready;
}

void *capture_malloc(size_t size, void *const *frame)
{
    enum block_domain domain = origin_domain(&frame);
    struct thread *thread = begin(domain, size);

    if (unlikely(!thread))
        return unlikely(!real_ready) && real_missing() ? real_early_alloc(size) : real.malloc(size);
    size_t padding = block_distance;
    return event_finish(thread, real.malloc(size + padding), size, padding, plain_ref(domain), frame);
}

void *capture_calloc(size_t count, size_t size, void *const *frame)
{
    enum block_domain domain = origin_domain(&frame);
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    struct thread *thread = begin(domain, bytes);
    if (unlikely(!thread))
        return unlikely(!real_ready) && real_missing() ? real_early_alloc(bytes) : real.calloc(count, size);
    size_t padding = block_distance;
    return event_finish(thread, real.calloc(1, bytes + padding), bytes, padding, plain_ref(domain), frame);
}

void *capture_memalign(size_t alignment, size_t size, void *const *frame)
{
    enum block_domain domain = origin_domain(&frame);
    size_t padding = MAX(alignment, block_distance);
    uint64_t padding_log = (uint64_t)__builtin_ctzll(padding);
    struct thread *thread = NULL;

    if (padding_log <= BLOCK_ALIGNMENT_MAX_LOG)
        thread = begin(domain, size);
    if (unlikely(!thread)) {
        if (unlikely(!real_ready) && real_missing())
            return alignment <= 16 ? real_early_alloc(size) : NULL;
        return real.memalign(alignment, size);
    }
    uint64_t ref = padding_log << BLOCK_PADDING_SHIFT | (uint64_t)domain << BLOCK_DOMAIN_SHIFT;
    return event_finish(thread, real.memalign(padding, size + padding), size, padding, ref, frame);
}

static void *foreign_realloc(void *p, size_t size, void *const *frame)
{
    if (likely(real_ready && !real_early_owns(p))) {
        enum block_domain domain = origin_domain(&frame);
        if (likely(!sample_mean) || !size || size > EVENT_SIZE_LIMIT || !event_is_recorded(domain) ||
            sample_skips(size))
            return real.realloc(p, size);
        return resize_to_recorded(p, plain_ref(domain), size, frame);
    }
    if (size == 0 || real_missing())
        return size ? real_early_alloc(size) : NULL;
    void *moved = real.malloc(size);
    if (moved)
        memcpy(moved, p, MIN(size, real_early_room(p)));
    return moved;
}

void *capture_realloc(void *p, size_t size, void *const *frame)
{
    if (!p)
        return capture_malloc(size, frame);
    uint64_t ref = block_find(p);
    if (!ref)
        return foreign_realloc(p, size, frame);
    if (size == 0) { /* as glibc does */
        capture_free(p, frame);
        return NULL;
    }
    if (size > EVENT_SIZE_LIMIT - block_padding(ref)) {
        errno = ENOMEM;
        return NULL;
    }
    if (!event_is_python(block_domain_of(ref)))
        ref = block_with_domain(ref, origin_domain(&frame));
    int saved = errno;
    void *moved = resize_recorded(p, ref, size, frame);
    if (moved)
        errno = saved;
    return moved;
}

static _cold_ void free_foreign(void *p)
{
    if (likely(real_ready) || !real_missing())
        if (likely(!real_early_owns(p)))
            real.free(p);
}

void capture_free(void *p, void *const *frame)
{
    (void)frame;
    if (!p)
        return;
    uint64_t ref = block_find(p);
    if (likely(ref))
        event_release(p, ref);
    else
        free_foreign(p);
}

void capture_free_sized(void *p, size_t size, void *const *frame)
{
    (void)size;
    capture_free(p, frame);
}

bool capture_delete(void *p, enum block_domain by, size_t size, void *const *frame)
{
    uint64_t ref = block_find(p);

    (void)by, (void)size, (void)frame;
    if (unlikely(!ref))
        return false;
    event_release(p, ref);
    return true;
}

size_t capture_usable_size(void *p)
{
    if (!p)
        return 0;
    uint64_t ref = block_find(p);
    if (ref && !event_is_python(block_domain_of(ref)))
        return real.malloc_usable_size(block_base(p, ref)) - block_padding(ref);
    if (real_early_owns(p))
        return real_early_room(p);
    return real_ready || !real_missing() ? real.malloc_usable_size(p) : 0;
}
