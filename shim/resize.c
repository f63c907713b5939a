/* SPDX-License-Identifier: MIT */
#include "resize.h"

#include "event.h"
#include "pymem_sampled.h"

static void reenter(struct thread *thread, void *p, size_t size, uint64_t ref, void *const *frame)
{
    if (event_is_own(ref) && block_record(ref))
        event_count_free(thread, block_domain_of(ref), records_get(block_record(ref))->size);
    else
        ref &= ~(uint64_t)UINT32_MAX;
    event_enter(thread, p, size, ref, frame);
}

/* The same where the stack cannot be had. */
static void correct_record(uint64_t ref, const void *moved, size_t size)
{
    if (!block_record(ref) || !event_is_own(ref))
        return;
    struct ledger_record *record = records_get(block_record(ref));
    record->size = size;
    __atomic_store_n(&record->owner, (uintptr_t)moved << 16 | (record->owner & 0xffff), __ATOMIC_RELEASE);
}

/* The prefix must not be left behind as valid when the block moves; it is put back when it does not. */
static void *resize(void *p, uint64_t ref, size_t size, void *const *frame)
{
    size_t padding = block_padding(ref);
    struct thread *thread = thread_enter();

    if (thread)
        thread_local_state.busy = BUSY_NESTED;
    event_unmark(p);
    uint8_t *base = event_base_realloc(ref, block_base(p, ref), size + padding);
    void *moved = base ? base + padding : p;
    if (base && thread) {
        thread_local_state.busy = BUSY_SHIM;
        reenter(thread, moved, size, ref, frame);
    } else {
        if (base)
            correct_record(ref, moved, size);
        event_mark(moved, ref, base ? block_lower(size) : BLOCK_SIZE_UNKNOWN);
    }
    if (thread)
        thread_leave();
    return base ? moved : NULL;
}

/* With sampling, a new size is a new throw of the dice (unless the block is the parent process's, whose size is not known). */
static bool loses_sample(uint64_t ref, size_t size)
{
    return unlikely(sample_mean != 0) && block_record(ref) && event_is_own(ref) && sample_skips(size);
}

/* A recorded block that loses: its bytes move over the prefix. */
static void *resize_to_plain(void *p, uint64_t ref, size_t size)
{
    size_t kept = MIN(records_get(block_record(ref))->size, size);
    void *base = block_base(p, ref);

    uint8_t busy = thread_local_state.busy;

    event_unmark(p);
    memmove(base, p, kept);
    thread_local_state.busy = BUSY_NESTED; /* what pymalloc asks of libc for it must not be recorded in its place */
    void *moved = event_base_realloc(ref, base, size);
    thread_local_state.busy = busy;
    if (!moved) {
        memmove(p, base, kept);
        event_mark(p, ref, BLOCK_SIZE_UNKNOWN);
        return NULL;
    }
    struct thread *thread = thread_enter();
    if (thread) {
        event_forget(thread, p, ref);
        thread_leave();
    } else {
        event_forget_alone(ref);
    }
    return moved;
}

void *resize_recorded(void *p, uint64_t ref, size_t size, void *const *frame)
{
    return loses_sample(ref, size) ? resize_to_plain(p, ref, size) : resize(p, ref, size, frame);
}

/* Its bytes make room for a prefix. */
void *resize_to_recorded(void *p, uint64_t ref, size_t size, void *const *frame)
{
    size_t padding = block_padding(ref), wanted = size + padding + block_trailer;
    bool python = event_is_python(block_domain_of(ref));
    struct thread *thread = thread_enter();

    if (!thread)
        return event_base_realloc(ref, p, size);
    thread_local_state.busy = BUSY_NESTED;
    uint8_t *base = event_base_realloc(ref, p, python ? pymem_sampled_ask(wanted) : wanted);
    bool records = base && (!python || pymem_sampled_accepts(ref, base));
    if (records) {
        memmove(base + padding, base, size);
        thread_local_state.busy = BUSY_SHIM;
        event_enter(thread, base + padding, size, ref, frame);
    } else if (base) {
        thread->counters->dropped++;
    }
    thread_leave();
    return records ? base + padding : base;
}
