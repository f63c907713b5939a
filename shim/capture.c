/* SPDX-License-Identifier: MIT */
#include "capture.h"

#include "block.h"
#include "pyframes.h"
#include "pymem.h"
#include "real.h"
#include "records.h"
#include "sample.h"
#include "sampling.h"
#include "stacks.h"
#include "start.h"
#include "thread.h"
#include "unwind.h"

#include <errno.h>
#include <string.h>

#define BALANCE_FLUSH (64 << 10) /* bytes a thread may be ahead of header.live_bytes */
#define SIZE_LIMIT ((size_t)PTRDIFF_MAX - 4096)

static inline bool is_recorded(enum block_domain domain)
{
    return start_options.domains >> domain & 1;
}

static inline bool is_python(enum block_domain domain)
{
    return domain == DOMAIN_MEM || domain == DOMAIN_OBJ;
}

static inline bool is_own(struct block_ref ref)
{
    return ref.process == (uint16_t)*thread_generation;
}

/* ---- counters ---- */

static _cold_ void flush_balance(struct ledger_thread *counters)
{
    int64_t live = __atomic_fetch_add(&ledger_header->live_bytes, counters->balance, __ATOMIC_RELAXED);
    int64_t peak = live + counters->high, seen = __atomic_load_n(&ledger_header->peak_bytes, __ATOMIC_RELAXED);

    while (peak > seen && !__atomic_compare_exchange_n(&ledger_header->peak_bytes, &seen, peak, true, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED))
        ;
    counters->balance = counters->high = 0;
}

static inline void change_balance(struct ledger_thread *counters, int64_t bytes)
{
    counters->balance += bytes;
    if (counters->balance > counters->high)
        counters->high = counters->balance;
    if (unlikely(counters->balance > BALANCE_FLUSH || counters->balance < -BALANCE_FLUSH))
        flush_balance(counters);
}

/* Runs of allocations from one stack are counted in the thread's slot, and added to the trace when the stack changes. */
static _cold_ void flush_pending(struct ledger_thread *counters, uint32_t trace)
{
    if (counters->pending_trace)
        stacks_count(counters->pending_trace, counters->pending_allocations, counters->pending_bytes);
    counters->pending_allocations = counters->pending_bytes = 0;
    counters->pending_trace = trace;
}

/* What a block counts for: itself, or with sampling all those that it stands for. */
struct amount {
    uint64_t blocks, bytes;
};

/* Fractions are carried over to the next one, so that they do not get lost. */
static _cold_ struct amount sampled_amount(struct thread *thread, size_t size)
{
    double weight = sampling_weight(size, sample_mean);

    thread->carry_blocks += weight;
    thread->carry_bytes += weight * (double)size;
    struct amount amount = {(uint64_t)thread->carry_blocks, (uint64_t)thread->carry_bytes};
    thread->carry_blocks -= (double)amount.blocks;
    thread->carry_bytes -= (double)amount.bytes;
    return amount;
}

static inline struct amount amount_of(struct thread *thread, size_t size)
{
    return likely(!sample_mean) ? (struct amount){1, size} : sampled_amount(thread, size);
}

static inline void count_allocation(struct thread *thread, uint32_t trace, size_t size)
{
    struct ledger_thread *counters = thread->counters;
    struct amount amount = amount_of(thread, size);

    counters->allocations += amount.blocks;
    counters->allocated_bytes += amount.bytes;
    if (unlikely(counters->pending_trace != trace))
        flush_pending(counters, trace);
    counters->pending_allocations += amount.blocks;
    counters->pending_bytes += amount.bytes;
    change_balance(counters, (int64_t)amount.bytes);
}

static inline void count_free(struct thread *thread, size_t size)
{
    struct ledger_thread *counters = thread->counters;
    struct amount amount = amount_of(thread, size);

    counters->frees += amount.blocks;
    counters->freed_bytes += amount.bytes;
    change_balance(counters, -(int64_t)amount.bytes);
}

/* An event from a signal handler inside the shim, or without room for the thread's state. */
static void count_dropped(void)
{
    struct thread *thread = thread_local_state.self;

    if (thread && thread_local_state.busy == BUSY_SHIM)
        __atomic_fetch_add(&thread->counters->dropped, 1, __ATOMIC_RELAXED);
}

/* ---- one block ---- */

static inline uint32_t take_trace(struct thread *thread, void *const *frame)
{
    uint32_t native = 0, python = 0;

    if (start_options.native && thread->unwind) {
        struct unwind_start start = unwind_caller(frame);
        native = unwind_capture(thread->unwind, &start);
    }
    if (pymem_present && start_options.python && thread->python) {
        python = pyframes_capture(thread->python);
        if (unlikely(start_phase) && pyframes_program_started())
            start_program_begins();
    }
    if (native != thread->last_native || python != thread->last_python) {
        thread->last_trace = stacks_trace(native, python);
        thread->last_native = native;
        thread->last_python = python;
    }
    return thread->last_trace;
}

static inline void fill_record(uint32_t id, struct thread *thread, const void *p, size_t size, enum block_domain domain,
                               uint32_t trace)
{
    struct ledger_record *record = records_get(id);

    record->size = size;
    record->trace = trace;
    record->thread = thread->id;
    record->type = 0;
    record->mark = ledger_header->mark;
    __atomic_store_n(&record->owner, ledger_owner((uintptr_t)p, domain, start_phase ? RECORD_STARTUP : 0),
                     __ATOMIC_RELEASE);
}

/* Records the block at `p` and marks it. `ref.record` 0: with a record of its own. */
static inline void enter_block(struct thread *thread, void *p, size_t size, struct block_ref ref, void *const *frame)
{
    uint32_t trace = take_trace(thread, frame);

    if (!ref.record)
        ref.record = records_take(&thread->records);
    ref.process = (uint16_t)thread->generation;
    if (likely(ref.record))
        fill_record(ref.record, thread, p, size, ref.domain, trace);
    else
        thread->counters->dropped++;
    block_mark(p, ref);
    count_allocation(thread, trace, size);
}

static inline void base_free(struct block_ref ref, void *base)
{
    if (is_python(ref.domain)) {
        const struct py_allocator *allocator = pymem_allocator(ref.allocator, ref.domain);
        allocator->free(allocator->context, base);
    } else {
        real.free(base);
    }
}

static inline void *base_realloc(struct block_ref ref, void *base, size_t size)
{
    if (is_python(ref.domain)) {
        const struct py_allocator *allocator = pymem_allocator(ref.allocator, ref.domain);
        return allocator->realloc(allocator->context, base, size);
    }
    return real.realloc(base, size);
}

/* The record of a block that is freed while no guard can be had: by a signal handler inside the shim. */
static _cold_ void forget_alone(struct block_ref ref)
{
    if (!ref.record || !is_own(ref) || !thread_local_state.busy)
        return;
    records_give_alone(ref.record);
    if (thread_local_state.self)
        __atomic_fetch_add(&thread_local_state.self->counters->frees, 1, __ATOMIC_RELAXED);
}

static inline void forget_block(struct thread *thread, const void *p, struct block_ref ref)
{
    bool own = is_own(ref);
    size_t size = 0;

    if (likely(own && ref.record)) {
        size = records_get(ref.record)->size;
        records_give(&thread->records, ref.record);
    }
    if (ref.domain == DOMAIN_OBJ)
        pyframes_block_freed((uintptr_t)p, size);
    if (likely(own))
        count_free(thread, size);
    else
        __atomic_fetch_add(&ledger_header->inherited_frees, 1, __ATOMIC_RELAXED);
}

/* Frees a recorded block the way it was made, whatever function was called for it. */
static inline void release(void *p, struct block_ref ref)
{
    struct thread *thread = thread_enter();

    if (likely(thread)) {
        forget_block(thread, p, ref);
        thread_leave();
    } else {
        forget_alone(ref);
    }
    block_unmark(p);
    base_free(ref, block_base(p, ref));
}

/* A block changed its size, and perhaps its place: a free and an allocation under the same record. */
static void reenter_block(struct thread *thread, void *p, size_t size, struct block_ref ref, void *const *frame)
{
    if (is_own(ref) && ref.record)
        count_free(thread, records_get(ref.record)->size);
    else
        ref.record = 0;
    enter_block(thread, p, size, ref, frame);
}

/* The prefix must not be left behind as valid when the block moves; it is put back when it does not. */
static void *resize(void *p, struct block_ref ref, size_t size, void *const *frame)
{
    size_t padding = block_padding(ref);
    struct thread *thread = thread_enter();

    if (thread)
        thread_local_state.busy = BUSY_NESTED;
    block_unmark(p);
    uint8_t *base = base_realloc(ref, block_base(p, ref), size + padding);
    void *moved = base ? base + padding : p;
    if (base && thread) {
        thread_local_state.busy = BUSY_SHIM;
        reenter_block(thread, moved, size, ref, frame);
    } else {
        if (base && ref.record && is_own(ref)) {
            struct ledger_record *record = records_get(ref.record);
            record->size = size;
            __atomic_store_n(&record->owner, (uintptr_t)moved << 16 | (record->owner & 0xffff), __ATOMIC_RELEASE);
        }
        block_mark(moved, ref);
    }
    if (thread)
        thread_leave();
    return base ? moved : NULL;
}

/* With sampling, a new size is a new throw of the dice (unless the block is the parent process's, whose size is not known). */
static bool loses_sample(struct block_ref ref, size_t size)
{
    return unlikely(sample_mean != 0) && ref.record && is_own(ref) && sample_skips(size);
}

/* A recorded block that loses: its bytes move over the prefix. */
static void *resize_to_plain(void *p, struct block_ref ref, size_t size)
{
    size_t kept = MIN(records_get(ref.record)->size, size);
    void *base = block_base(p, ref);

    block_unmark(p);
    memmove(base, p, kept);
    void *moved = base_realloc(ref, base, size);
    if (!moved) {
        memmove(p, base, kept);
        block_mark(p, ref);
        return NULL;
    }
    struct thread *thread = thread_enter();
    if (thread) {
        forget_block(thread, p, ref);
        thread_leave();
    } else {
        forget_alone(ref);
    }
    return moved;
}

/* A plain block that wins: its bytes make room for a prefix. */
static void *resize_to_recorded(void *p, struct block_ref ref, size_t size, void *const *frame)
{
    struct thread *thread = thread_enter();
    if (!thread)
        return base_realloc(ref, p, size);
    thread_local_state.busy = BUSY_NESTED;
    uint8_t *base = base_realloc(ref, p, size + BLOCK_PREFIX);
    if (base) {
        memmove(base + BLOCK_PREFIX, base, size);
        thread_local_state.busy = BUSY_SHIM;
        enter_block(thread, base + BLOCK_PREFIX, size, ref, frame);
    }
    thread_leave();
    return base ? base + BLOCK_PREFIX : NULL;
}

/* ---- the C library's family ---- */

/* The domain and frame for a block that malloc was asked for: those of the hook further out, if there is one. */
static inline enum block_domain origin_domain(void *const **frame)
{
    const struct origin *origin = thread_local_state.origin;

    if (!origin)
        return DOMAIN_MALLOC;
    *frame = origin->frame;
    return origin->domain;
}

static _cold_ void watch_only(void)
{
    if (!thread_enter())
        return;
    thread_local_state.busy = BUSY_NESTED;
    pymem_watch();
    thread_leave();
}

/* Opens the guard for a new block; NULL: it is not to be recorded. */
static inline struct thread *begin(enum block_domain domain, size_t size)
{
    if (unlikely(!is_recorded(domain) || size > SIZE_LIMIT))
        return NULL;
    if (sample_skips(size)) {
        if (unlikely(pymem_watching == PYMEM_WATCH_EACH))
            watch_only();
        return NULL;
    }
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

/* Records what the real function gave, and closes the guard. */
static inline void *finish(struct thread *thread, uint8_t *base, size_t size, struct block_ref ref, void *const *frame)
{
    void *p = NULL;

    if (likely(base)) {
        int saved = errno;
        p = base + block_padding(ref);
        thread_local_state.busy = BUSY_SHIM;
        enter_block(thread, p, size, ref, frame);
        errno = saved;
    }
    thread_leave();
    return p;
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
    struct block_ref ref = {.domain = domain, .padding_log = BLOCK_PADDING_LOG_MIN};
    return finish(thread, real.malloc(size + BLOCK_PREFIX), size, ref, frame);
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
    struct block_ref ref = {.domain = domain, .padding_log = BLOCK_PADDING_LOG_MIN};
    return finish(thread, real.calloc(1, bytes + BLOCK_PREFIX), bytes, ref, frame);
}

void *capture_memalign(size_t alignment, size_t size, void *const *frame)
{
    enum block_domain domain = origin_domain(&frame);
    size_t padding = MAX(alignment, BLOCK_PREFIX);
    unsigned padding_log = (unsigned)__builtin_ctzll(padding);
    struct thread *thread = NULL;

    if (padding_log <= BLOCK_ALIGNMENT_MAX_LOG)
        thread = begin(domain, size);
    if (unlikely(!thread)) {
        if (unlikely(!real_ready) && real_missing())
            return alignment <= 16 ? real_early_alloc(size) : NULL;
        return real.memalign(alignment, size);
    }
    struct block_ref ref = {.domain = domain, .padding_log = (uint8_t)padding_log};
    return finish(thread, real.memalign(padding, size + padding), size, ref, frame);
}

static void *foreign_realloc(void *p, size_t size, void *const *frame)
{
    if (likely(real_ready && !real_early_owns(p))) {
        struct block_ref ref = {.padding_log = BLOCK_PADDING_LOG_MIN};
        enum block_domain domain = origin_domain(&frame);
        if (likely(!sample_mean) || !size || size > SIZE_LIMIT || !is_recorded(domain) || sample_skips(size))
            return real.realloc(p, size);
        ref.domain = domain & 15;
        return resize_to_recorded(p, ref, size, frame);
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
    struct block_ref ref;

    if (!p)
        return capture_malloc(size, frame);
    if (!block_find(p, &ref))
        return foreign_realloc(p, size, frame);
    if (size == 0) { /* as glibc does */
        capture_free(p);
        return NULL;
    }
    if (size > SIZE_LIMIT - block_padding(ref)) {
        errno = ENOMEM;
        return NULL;
    }
    if (!is_python(ref.domain))
        ref.domain = origin_domain(&frame) & 15;
    int saved = errno;
    void *moved = loses_sample(ref, size) ? resize_to_plain(p, ref, size) : resize(p, ref, size, frame);
    if (moved)
        errno = saved;
    return moved;
}

void capture_free(void *p)
{
    struct block_ref ref;

    if (!p)
        return;
    if (likely(block_find(p, &ref))) {
        int saved = errno;
        release(p, ref);
        errno = saved;
    } else if (likely(real_ready) || !real_missing()) {
        if (likely(!real_early_owns(p)))
            real.free(p);
    }
}

size_t capture_usable_size(void *p)
{
    struct block_ref ref;

    if (!p)
        return 0;
    if (block_find(p, &ref) && !is_python(ref.domain))
        return real.malloc_usable_size(block_base(p, ref)) - block_padding(ref);
    if (real_early_owns(p))
        return real_early_room(p);
    return real_ready || !real_missing() ? real.malloc_usable_size(p) : 0;
}

/* ---- CPython's MEM and OBJ domains ---- */

/* A block of no bytes must still own one: with the prefix alone it would fill a size class exactly, and its address would be
 * that of the next block. */
static inline struct block_ref python_ref(const struct python_origin *origin)
{
    return (struct block_ref){
        .domain = origin->domain & 15, .allocator = origin->index & 63, .padding_log = BLOCK_PADDING_LOG_MIN};
}

static inline struct thread *begin_python(const struct python_origin *origin, size_t size)
{
    if (unlikely(!is_recorded(origin->domain) || size > SIZE_LIMIT) || sample_skips(size))
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

void *capture_python_malloc(const struct python_origin *origin, size_t size, void *const *frame)
{
    const struct py_allocator *allocator = origin->allocator;
    struct thread *thread = begin_python(origin, size);

    if (unlikely(!thread))
        return PASS_OVER(allocator->malloc(allocator->context, size));
    uint8_t *base = allocator->malloc(allocator->context, MAX(size, 1u) + BLOCK_PREFIX);
    return finish(thread, base, size, python_ref(origin), frame);
}

void *capture_python_calloc(const struct python_origin *origin, size_t count, size_t size, void *const *frame)
{
    const struct py_allocator *allocator = origin->allocator;
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    struct thread *thread = begin_python(origin, bytes);
    if (unlikely(!thread))
        return PASS_OVER(allocator->calloc(allocator->context, count, size));
    uint8_t *base = allocator->calloc(allocator->context, 1, MAX(bytes, 1u) + BLOCK_PREFIX);
    return finish(thread, base, bytes, python_ref(origin), frame);
}

/* A plain block of CPython's that is to grow or shrink. */
static void *foreign_python_realloc(const struct python_origin *origin, void *p, size_t size, void *const *frame)
{
    const struct py_allocator *allocator = origin->allocator;

    if (likely(!sample_mean) || size > SIZE_LIMIT || !is_recorded(origin->domain) || sample_skips(size))
        return PASS_OVER(allocator->realloc(allocator->context, p, size));
    return resize_to_recorded(p, python_ref(origin), MAX(size, 1u), frame);
}

void *capture_python_realloc(const struct python_origin *origin, void *p, size_t size, void *const *frame)
{
    struct block_ref ref;

    if (!p)
        return capture_python_malloc(origin, size, frame);
    if (!block_find(p, &ref))
        return foreign_python_realloc(origin, p, size, frame);
    if (size > SIZE_LIMIT - block_padding(ref))
        return NULL;
    if (loses_sample(ref, size))
        return resize_to_plain(p, ref, MAX(size, 1u));
    return resize(p, ref, MAX(size, 1u), frame);
}

void capture_python_free(const struct python_origin *origin, void *p)
{
    struct block_ref ref;

    if (!p)
        return;
    if (likely(block_find(p, &ref)))
        release(p, ref);
    else
        origin->allocator->free(origin->allocator->context, p);
}
