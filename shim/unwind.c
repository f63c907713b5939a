/* SPDX-License-Identifier: MIT
 *
 * Captures: state of threads, interning, self-check. How a stack is walked is the business of the architecture's file
 * (walk_stack) and of unwind_slow.c.
 *
 * Chains. The node chain of a stack begins at a frame whose number, counted from the root, is a multiple of the depth, and
 * holds at least `depth` and fewer than twice as many frames. So the stacks of a deep recursion share their outer nodes,
 * which they would not if each were cut exactly `depth` frames from its own innermost frame; readers show the innermost
 * `depth` and add the others to the key of the NODE_CUT node. What is older than the chain is looked at when the frame at
 * which the chain begins is new, not in every capture. */
#include "unwind.h"

#include "arena.h"
#include "ledger.h"
#include "modules.h"
#include "stacks.h"
#include "unwind_branch.h"
#include "unwind_rules.h"
#include "unwind_slow.h"
#include "unwind_state.h"

#include <errno.h>
#include <string.h>

unsigned unwind_depth = 64;
static uint64_t check_every;

int unwind_init(unsigned depth, uint64_t self_check)
{
    unwind_depth = depth ? depth : 1;
    int r = slow_init();
    walk_init();
    branch_init();
    check_every = r < 0 ? 0 : self_check;
    if (r < 0)
        ledger_lacks(LACK_UNWINDER);
    return r;
}

void unwind_fork_prepare(void)
{
    slow_fork_prepare();
}

void unwind_fork_parent(void)
{
    slow_fork_parent();
}

void unwind_fork_child(void)
{
    if (!slow_fork_child())
        ledger_lacks(LACK_UNWINDER);
}

/* ---- state ---- */

static void forget(struct unwind_thread *thread)
{
    thread->count = 0;
    thread->stamp += BRANCH_STAMP;
    if (unlikely(!thread->stamp)) { /* all numbers have been used */
        memset(thread->branches, 0, BRANCHES * sizeof(*thread->branches));
        thread->stamp = BRANCH_STAMP;
    }
}

static size_t room_bytes(uint32_t size)
{
    return (size_t)size *
           (sizeof(struct unwind_frame) + sizeof(struct unwind_fresh) + WORDS_PER_FRAME * sizeof(struct unwind_word));
}

bool state_grow(struct unwind_thread *thread)
{
    uint32_t size = thread->size ? thread->size * 4 : FRAMES_FIRST, old = thread->size;
    void *before = thread->frames;

    if (size > FRAMES_MAX)
        return false;
    uint8_t *room = arena_map(room_bytes(size));
    if (!room)
        return false;
    struct unwind_frame *frames = (void *)room;
    struct unwind_word *words = (void *)(frames + size);
    struct unwind_fresh *fresh = (void *)(words + (size_t)size * WORDS_PER_FRAME);
    if (before) {
        memcpy(frames, thread->frames, old * sizeof(*frames));
        memcpy(words, thread->words, (size_t)old * WORDS_PER_FRAME * sizeof(*words));
        memcpy(fresh, thread->fresh, old * sizeof(*fresh));
    }
    thread->frames = frames;
    thread->words = words;
    thread->fresh = fresh;
    thread->size = size;
    if (before)
        arena_unmap(before, room_bytes(old));
    return true;
}

struct unwind_thread *unwind_thread_new(void)
{
    struct unwind_thread *thread = arena_alloc(sizeof(*thread));

    if (!thread)
        return NULL;
    thread->branches = arena_map(BRANCHES * sizeof(*thread->branches));
    if (!thread->branches || !state_grow(thread))
        return NULL;
    unwind_thread_reset(thread);
    return thread;
}

void unwind_thread_reset(struct unwind_thread *thread)
{
    forget(thread);
    thread->era = 0;
    thread->generation = 0;
    thread->countdown = check_every;
    thread->memory = (struct memory){0};
}

struct slow_frame *state_slow(struct unwind_thread *thread)
{
    if (!thread->slow)
        thread->slow = arena_map(FRAMES_MAX * sizeof(*thread->slow));
    return thread->slow;
}

bool state_replace(struct unwind_thread *thread, const struct slow_frame *frames, unsigned count)
{
    thread->count = 0;
    while (thread->size < count)
        if (!state_grow(thread))
            return false;
    for (unsigned i = 0; i < count; i++)
        thread->frames[i] = (struct unwind_frame){.pc = frames[count - 1 - i].pc, .exact = frames[count - 1 - i].exact};
    thread->dropped = 0;
    thread->rootless = count == FRAMES_MAX;
    thread->count = count;
    return true;
}

/* ---- nodes ---- */

static uint32_t frame_node(uint32_t parent, const struct unwind_frame *frame, uint32_t epoch)
{
    uint32_t meta = NODE_NATIVE | (frame->exact ? NODE_EXACT : 0) | epoch << NODE_EPOCH_SHIFT;

    return stacks_node(parent, frame->pc, meta);
}

/* Makes the nodes from the frame `first` to the innermost. The chain begins at the frame `begin`. */
static _cold_ uint32_t chain_extend(struct unwind_thread *thread, uint32_t begin, uint32_t first, unsigned parity)
{
    struct unwind_frame *frames = thread->frames;
    uint32_t node = first > begin ? frames[first - 1].node[parity] : 0;

    if (first == begin && (begin + thread->dropped || thread->rootless)) {
        node = stacks_node(0, thread->rootless ? 0 : begin + thread->dropped, NODE_CUT);
        if (!node)
            return 0;
    }
    for (uint32_t i = first; i < thread->count; i++) {
        node = frame_node(node, &frames[i], thread->epoch);
        frames[i].node[parity] = node;
        if (!node)
            return 0;
    }
    return node;
}

_cold_ void chain_locate(struct unwind_thread *thread, uint32_t total)
{
    uint32_t depth = unwind_depth, unit = total / depth;

    thread->chain_first = unit < 2 ? 0 : (unit - 1) * depth;
    thread->chain_low = unit < 2 ? 0 : unit * depth;
    thread->chain_span = unit < 2 ? 2 * depth : depth;
    thread->chain_parity = unit < 2 ? 0 : (unit - 1) & 1;
}

uint32_t chain_node(struct unwind_thread *thread)
{
    uint32_t begin = chain_begin(thread, thread->dropped + thread->count);
    unsigned parity = thread->chain_parity;
    uint32_t first = thread->count;

    while (first > begin && !thread->frames[first - 1].node[parity])
        first--;
    if (likely(first == thread->count))
        return thread->frames[first - 1].node[parity];
    return chain_extend(thread, begin, first, parity);
}

/* ---- captures ---- */

/* Forgets what may not be right any more. */
static void begin_capture(struct unwind_thread *thread, uintptr_t sp)
{
    uint32_t era = __atomic_load_n(&rules_era, __ATOMIC_ACQUIRE);
    uint32_t generation = __atomic_load_n(&rules_generation, __ATOMIC_ACQUIRE);
    uint32_t epoch = __atomic_load_n(&modules_epoch, __ATOMIC_RELAXED) & 0xffffff;

    if (unlikely(thread->generation != generation || thread->epoch != epoch)) {
        forget(thread);
        thread->generation = generation;
        thread->epoch = epoch;
    }
    thread->era = check_every ? 0 : era;
    if (unlikely(!memory_enter(&thread->memory, sp)))
        forget(thread);
}

static _cold_ uint32_t capture_slow(struct unwind_thread *thread, const struct unwind_start *start)
{
    struct slow_frame *frames = state_slow(thread), alone = {start->pc, false};
    unsigned count = frames ? slow_walk(start, frames, FRAMES_MAX) : 1;
    uint32_t node = 0;

    if (state_replace(thread, frames ? frames : &alone, count))
        node = chain_node(thread);
    thread->count = 0;
    return node;
}

static bool same_frames(struct unwind_thread *thread, const struct slow_frame *frames, unsigned count)
{
    uint32_t total = thread->count, begin = chain_begin(thread, thread->dropped + total);

    for (uint32_t i = begin; i < total; i++) {
        const struct unwind_frame *frame = &thread->frames[i];
        const struct slow_frame *other = &frames[total - 1 - i];
        if (total - i > count || frame->pc != other->pc || frame->exact != other->exact)
            return false;
    }
    return begin || thread->dropped || thread->rootless || total == count;
}

/* Compares the stack just found with libunwind's, and in case of a difference takes libunwind's. */
static _cold_ uint32_t capture_checked(struct unwind_thread *thread, const struct unwind_start *start, uint32_t node)
{
    struct slow_frame *frames = state_slow(thread);

    thread->countdown = check_every;
    if (!frames)
        return node;
    unsigned count = slow_walk(start, frames, FRAMES_MAX);
    __atomic_fetch_add(&ledger_header->self_checks, 1, __ATOMIC_RELAXED);
    if (same_frames(thread, frames, count)) {
        if (thread->dropped || thread->rootless || thread->count == count)
            return node;
        /* What is older than the chain has changed, and so has the number of frames cut. */
        thread->count = 0;
        return walk_stack(thread, start) ? chain_node(thread) : capture_slow(thread, start);
    }
    __atomic_fetch_add(&ledger_header->self_check_differences, 1, __ATOMIC_RELAXED);
    if (state_replace(thread, frames, count))
        node = chain_node(thread);
    thread->count = 0;
    return node;
}

/* `frame` (or NULL): the hook's, where the stack begins. */
static uint32_t capture_walk(struct unwind_thread *thread, const struct unwind_start *start, void *const *frame)
{
    if (unlikely(!walk_stack(thread, start)))
        return capture_slow(thread, start);
    uint32_t node = chain_node(thread);
    if (unlikely(check_every) && unlikely(thread->countdown-- <= 1))
        node = capture_checked(thread, start, node);
    if (likely(thread->count) && frame) /* no count: there was a difference */
        branch_keep(thread, frame, node);
    return node;
}

/* Compares what a branch says with a walk of the whole stack by the rules, and that with libunwind's. */
static _cold_ uint32_t check_branch(struct unwind_thread *thread, const struct unwind_start *start, uint32_t node)
{
    if (thread->countdown-- > 1)
        return node;
    thread->count = 0;
    if (!walk_stack(thread, start))
        return capture_slow(thread, start);
    uint32_t walked = chain_node(thread);
    /* Of a chain that does not reach the root, the number of frames cut may have changed. */
    if (walked != node && !chain_begin(thread, thread->dropped + thread->count))
        __atomic_fetch_add(&ledger_header->self_check_differences, 1, __ATOMIC_RELAXED);
    return capture_checked(thread, start, walked);
}

uint32_t unwind_capture(struct unwind_thread *thread, const struct unwind_start *start)
{
    int saved = errno;

    begin_capture(thread, start->sp);
    uint32_t node = capture_walk(thread, start, NULL);
    errno = saved;
    return node;
}

/* No branch led to a node. */
static uint32_t capture_unmet(struct unwind_thread *thread, void *const *frame)
{
    const struct unwind_start start = unwind_caller(frame);
    int saved = errno;

    begin_capture(thread, start.sp);
    uint32_t node = capture_walk(thread, &start, frame);
    errno = saved;
    return node;
}

/* There may be something to forget or to check. */
static uint32_t capture_anew(struct unwind_thread *thread, void *const *frame)
{
    const struct unwind_start start = unwind_caller(frame);
    int saved = errno;

    begin_capture(thread, start.sp);
    const struct unwind_branch *branch = branch_find(thread, frame);
    if (!branch)
        return capture_unmet(thread, frame);
    uint32_t node = unlikely(check_every) ? check_branch(thread, &start, branch->node) : branch->node;
    errno = saved;
    return node;
}

uint32_t unwind_capture_otherwise(struct unwind_thread *thread, void *const *frame)
{
    if (unlikely(thread->era != __atomic_load_n(&rules_era, __ATOMIC_ACQUIRE)))
        return capture_anew(thread, frame);
    return capture_unmet(thread, frame);
}

uint32_t unwind_capture_at(struct unwind_thread *thread, void *const *frame)
{
    return unwind_capture_here(thread, frame);
}
