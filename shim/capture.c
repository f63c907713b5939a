/* SPDX-License-Identifier: MIT */
#include "capture.h"

#include "event.h"
#include "fault.h"
#include "guarded.h"
#include "misuse.h"
#include "pages.h"
#include "plain.h"
#include "resize.h"

/* The hook further out for which malloc was asked for `size` bytes, or NULL. */
static inline const struct origin *origin_of(size_t size)
{
    const struct origin *origin = thread_local_state.origin;

    return likely(!origin) || size - origin->size > origin->slack ? NULL : origin;
}

/* The domain and frame for a block that malloc was asked for: those of the hook further out, if there is one. *ret_stated
 * (may be NULL): the size to record, without what debug hooks of the interpreter add. */
static inline enum block_domain origin_domain(size_t size, void *const **frame, size_t *ret_stated)
{
    const struct origin *origin = origin_of(size);

    if (likely(!origin))
        return DOMAIN_MALLOC;
    *frame = origin->frame;
    if (ret_stated && origin->domain == DOMAIN_RAW && !guard_active)
        *ret_stated = origin->size;
    return origin->domain;
}

static _cold_ enum block_domain asked_domain(size_t size)
{
    const struct origin *origin = origin_of(size);

    return origin ? origin->domain : DOMAIN_MALLOC;
}

static _always_inline_ uint64_t plain_ref(enum block_domain domain, void *const *frame)
{
    uint64_t by_interpreter =
        domain == DOMAIN_MALLOC && unlikely(event_from_interpreter(frame)) ? EVENT_BY_INTERPRETER : 0;
    return block_template | (uint64_t)domain << BLOCK_DOMAIN_SHIFT | by_interpreter << BLOCK_ALLOCATOR_SHIFT;
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

/* Looks after the interpreter's hooks at some events only. */
static _always_inline_ void watch_sometimes(struct thread *thread)
{
    if (likely(++thread->ticks & 15))
        return;
    uint8_t busy = thread_local_state.busy;
    thread_local_state.busy = BUSY_NESTED;
    pymem_watch();
    thread_local_state.busy = busy;
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
    if (unlikely(pymem_watching == PYMEM_WATCH_EACH))
        pymem_watch();
    else if (pymem_watching)
        watch_sometimes(thread);
    return thread;
}

/* A block against an inaccessible page, if this one is to be such a block and can be: with the guard closed. */
static _always_inline_ void *on_pages(struct thread *thread, size_t size, size_t alignment, uint64_t ref, bool zeroed,
                                      void *const *frame)
{
    return pages_due(thread) ? pages_allocate(thread, &(struct pages_request){size, alignment, ref, zeroed, frame})
                             : NULL;
}

static _cold_ bool real_missing(void)
{
    real_init();
    return !real_ready;
}

static _noinline_ void *malloc_oddly(size_t size, void *const *frame)
{
    if (unlikely(fault_active) && fault_refuses(asked_domain(size), size))
        return NULL;
    size_t stated = size;
    enum block_domain domain = origin_domain(size, &frame, &stated);
    struct thread *thread = begin(domain, size);

    if (unlikely(!thread))
        return unlikely(!real_ready) && real_missing() ? real_early_alloc(size) : real.malloc(size);
    void *p = stated == size ? on_pages(thread, size, 16, plain_ref(domain, frame), false, frame) : NULL;
    if (unlikely(p != NULL))
        return p;
    size_t padding = block_distance;
    uint8_t *base = real.malloc(size + padding + block_trailer);
    return event_finish(thread, base, stated, padding, plain_ref(domain, frame), false, frame);
}

static _noinline_ void *malloc_guarded(size_t size, void *const *frame)
{
    struct thread *thread = plain_enter(BUSY_SHIM);

    if (unlikely(!thread))
        return malloc_oddly(size, frame);
    if (pymem_watching)
        watch_sometimes(thread);
    return capture_guarded_malloc(thread, size, plain_ref(DOMAIN_MALLOC, frame), frame);
}

/* Most requests end here with sampling. */
static _noinline_ void *malloc_when_odd(size_t size, void *const *frame)
{
    if (thread_local_state.busy && (event_samples || (event_guards && thread_local_state.busy == BUSY_NESTED)))
        return real.malloc(size);
    if (plain_passes(size)) {
        void *p = real.malloc(size);
        thread_local_state.busy = 0;
        return p;
    }
    return event_guards ? malloc_guarded(size, frame) : malloc_oddly(size, frame);
}

void *capture_malloc(size_t size, void *const *frame)
{
    if (unlikely(size > PLAIN_SIZE_MAX || thread_local_state.origin || pymem_watching == PYMEM_WATCH_EACH))
        return malloc_oddly(size, frame);
    if (unlikely(event_odd))
        return malloc_when_odd(size, frame);
    struct thread *thread = plain_enter(BUSY_SHIM);
    if (unlikely(!thread))
        return malloc_oddly(size, frame);
    if (pymem_watching)
        watch_sometimes(thread);
    struct ledger_tally *tally = plain_tally_first(thread, frame);
    uint8_t *base = real.malloc(size + BLOCK_PREFIX);
    return plain_finish(thread, base, size, plain_ref(DOMAIN_MALLOC, frame), tally);
}

void *capture_calloc(size_t count, size_t size, void *const *frame)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (unlikely(fault_active) && fault_refuses(asked_domain(bytes), bytes))
        return NULL;
    size_t stated = bytes;
    enum block_domain domain = origin_domain(bytes, &frame, &stated);
    struct thread *thread = begin(domain, bytes);
    if (unlikely(!thread))
        return unlikely(!real_ready) && real_missing() ? real_early_alloc(bytes) : real.calloc(count, size);
    void *p = stated == bytes ? on_pages(thread, bytes, 16, plain_ref(domain, frame), true, frame) : NULL;
    if (unlikely(p != NULL))
        return p;
    size_t padding = block_distance;
    uint8_t *base = real.calloc(1, bytes + padding + block_trailer);
    return event_finish(thread, base, stated, padding, plain_ref(domain, frame), true, frame);
}

void *capture_memalign(size_t alignment, size_t size, void *const *frame)
{
    if (unlikely(fault_active) && fault_refuses(asked_domain(size), size))
        return NULL;
    enum block_domain domain = origin_domain(size, &frame, NULL);
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
    void *p = on_pages(thread, size, alignment, ref, false, frame);
    if (unlikely(p != NULL))
        return p;
    uint8_t *base = real.memalign(padding, size + padding + block_trailer);
    return event_finish(thread, base, size, padding, ref, false, frame);
}

static void *foreign_realloc(void *p, size_t size, void *const *frame)
{
    if (likely(real_ready && !real_early_owns(p))) {
        enum block_domain domain = origin_domain(size, &frame, NULL);
        if (likely(!sample_mean) || !size || size > EVENT_SIZE_LIMIT || !event_is_recorded(domain) ||
            sample_skips(size))
            return real.realloc(p, size);
        return resize_to_recorded(p, plain_ref(domain, frame), size, frame);
    }
    if (size == 0 || real_missing())
        return size ? real_early_alloc(size) : NULL;
    void *moved = real.malloc(size);
    if (moved)
        memcpy(moved, p, MIN(size, real_early_room(p)));
    return moved;
}

/* By what family memory is released: a raw request of the interpreter's comes to libc through its hook. Other origins do not
 * count: what operator new calls may free something, too. */
static inline struct release release_by(enum block_domain by, size_t size, void *const *frame)
{
    const struct origin *origin = thread_local_state.origin;
    struct release release = {.by = by, .size = size, .frame = frame, .caller = frame};

    if (unlikely(origin != NULL) && origin->domain == DOMAIN_RAW) {
        release.by = DOMAIN_RAW;
        release.frame = origin->frame;
    }
    return release;
}

static _cold_ void *resize_on_pages(void *p, size_t size, void *const *frame)
{
    struct release release = release_by(DOMAIN_MALLOC, SIZE_MAX, frame);

    release.is_realloc = size != 0;
    if (size)
        return pages_realloc(NULL, p, size, &release);
    pages_free(p, &release); /* as glibc does */
    return NULL;
}

static void *resize(void *p, uint64_t ref, size_t size, void *const *frame)
{
    struct release release = release_by(DOMAIN_MALLOC, SIZE_MAX, frame);
    release.is_realloc = true;
    if (guard_active)
        return guarded_realloc(NULL, p, ref, size, &release);
    if (unlikely(block_domain_of(ref) != release.by))
        misuse_check_alone(p, ref, &release);
    if (!event_is_python(block_domain_of(ref))) {
        enum block_domain domain = origin_domain(size, &frame, NULL);
        ref = (ref & ~(63ULL << BLOCK_ALLOCATOR_SHIFT | 15ULL << BLOCK_DOMAIN_SHIFT)) |
              (plain_ref(domain, release.caller) & (63ULL << BLOCK_ALLOCATOR_SHIFT | 15ULL << BLOCK_DOMAIN_SHIFT));
    }
    return resize_recorded(p, ref, size, frame);
}

static _cold_ bool is_invalid(const void *p, bool is_realloc, void *const *frame)
{
    struct release release = release_by(DOMAIN_MALLOC, SIZE_MAX, frame);

    release.is_realloc = is_realloc;
    return real_ready && !real_early_owns(p) && guarded_is_invalid(p, &release);
}

static _always_inline_ void *realloc_block(void *p, size_t size, void *const *frame)
{
    if (pages_owns(p))
        return resize_on_pages(p, size, frame);
    uint64_t ref = block_find(p);
    if (!ref) {
        if (!guard_active || !is_invalid(p, true, frame))
            return foreign_realloc(p, size, frame);
        errno = ENOMEM;
        return size ? guarded_realloc_invalid(NULL, p, size, frame) : NULL;
    }
    if (size == 0) { /* as glibc does */
        capture_free(p, frame);
        return NULL;
    }
    if (size > EVENT_SIZE_LIMIT - block_padding(ref)) {
        errno = ENOMEM;
        return NULL;
    }
    int saved = errno;
    void *moved = resize(p, ref, size, frame);
    if (moved)
        errno = saved;
    return moved;
}

static _cold_ void *realloc_judged(void *p, size_t size, void *const *frame)
{
    if (fault_refuses_resize(asked_domain(size), p, size))
        return NULL;
    void *moved = realloc_block(p, size, frame);
    fault_resized();
    return moved;
}

void *capture_realloc(void *p, size_t size, void *const *frame)
{
    if (!p)
        return capture_malloc(size, frame);
    if (event_samples && size && plain_is_foreign(p) && !real_early_owns(p)) {
        if (thread_local_state.busy)
            return real.realloc(p, size);
        if (plain_passes(size)) {
            void *moved = real.realloc(p, size);
            thread_local_state.busy = 0;
            return moved;
        }
    }
    return unlikely(fault_active) && size ? realloc_judged(p, size, frame) : realloc_block(p, size, frame);
}

static _cold_ void free_on_pages(void *p, size_t size, void *const *frame)
{
    struct release release = release_by(DOMAIN_MALLOC, size, frame);

    pages_free(p, &release);
}

/* What leaves the quarantine comes by here when its allocator has it from libc. There is no need to ask whether it is a block. */
static inline bool is_given_back(const void *p)
{
    return thread_local_state.busy == BUSY_NESTED && block_base_is_unmarked(p);
}

static _cold_ void free_foreign(void *p, void *const *frame)
{
    if (unlikely(!real_ready) && real_missing())
        return;
    if (unlikely(real_early_owns(p)) || (guard_active && !is_given_back(p) && is_invalid(p, false, frame)))
        return;
    real.free(p);
}

/* With guard bytes, or in another way than the block was made, or so that it has to be looked at. */
static void free_carefully(void *p, uint64_t ref, const struct release *release)
{
    if (guard_active) {
        guarded_free(p, ref, release);
    } else {
        misuse_check_alone(p, ref, release);
        event_release(p, ref);
    }
}

static _noinline_ void free_oddly(void *p, void *const *frame)
{
    if (!p)
        return;
    if (pages_owns(p)) {
        free_on_pages(p, CAPTURE_SIZE_UNKNOWN, frame);
        return;
    }
    uint64_t ref = block_find(p);
    if (unlikely(!ref)) {
        free_foreign(p, frame);
        return;
    }
    struct release release = release_by(DOMAIN_MALLOC, SIZE_MAX, frame);
    if (unlikely(block_domain_of(ref) != release.by || guard_active)) {
        free_carefully(p, ref, &release);
        return;
    }
    event_leave(p, ref);
    real.free(block_base(p, ref));
}

static _noinline_ void free_and_look(void *base)
{
    thread_leave_slow();
    real.free(base);
}

static _noinline_ void free_when_odd(void *p, void *const *frame)
{
    if (plain_is_foreign(p) && !real_early_owns(p)) {
        real.free(p);
        return;
    }
    if (event_guards && !thread_local_state.origin && capture_guarded_free(p, frame))
        return;
    free_oddly(p, frame);
}

/* Blocks of malloc differ in EVENT_BY_INTERPRETER, which is of no account here. */
void capture_free(void *p, void *const *frame)
{
    if (unlikely(event_odd || thread_local_state.origin)) {
        free_when_odd(p, frame);
        return;
    }
    enum plain_left left = plain_leave(p, block_template, EVENT_BY_INTERPRETER);
    if (unlikely(left == PLAIN_NOT_LEFT))
        free_oddly(p, frame);
    else if (unlikely(left == PLAIN_LEFT_WITH_MORE))
        free_and_look((uint8_t *)p - BLOCK_PREFIX);
    else
        real.free((uint8_t *)p - BLOCK_PREFIX);
}

void capture_free_sized(void *p, size_t size, void *const *frame)
{
    if (pages_owns(p)) {
        free_on_pages(p, size, frame);
        return;
    }
    uint64_t ref = p ? block_find(p) : 0;
    if (!ref) {
        capture_free(p, frame);
        return;
    }
    struct release release = release_by(DOMAIN_MALLOC, size, frame);
    free_carefully(p, ref, &release);
}

bool capture_delete(void *p, enum block_domain by, size_t size, void *const *frame)
{
    struct release release = {.by = by, .size = size, .frame = frame, .caller = frame};

    if (pages_owns(p)) {
        pages_free(p, &release);
        return true;
    }
    uint64_t ref = block_find(p);
    if (unlikely(!ref))
        return guard_active && real_ready && !real_early_owns(p) && guarded_is_invalid(p, &release);
    if (unlikely(block_domain_of(ref) != by || guard_active || size != CAPTURE_SIZE_UNKNOWN))
        free_carefully(p, ref, &release);
    else
        event_release(p, ref);
    return true;
}

size_t capture_usable_size(void *p)
{
    if (!p)
        return 0;
    if (pages_owns(p))
        return pages_size(p);
    uint64_t ref = block_find(p);
    if (ref && guard_active) /* what the program may use is what it asked for: the guard bytes come next */
        return guard_stated_size(p);
    if (ref && !event_is_python(block_domain_of(ref)))
        return real.malloc_usable_size(block_base(p, ref)) - block_padding(ref);
    if (real_early_owns(p))
        return real_early_room(p);
    return real_ready || !real_missing() ? real.malloc_usable_size(p) : 0;
}
