/* SPDX-License-Identifier: MIT
 *
 * Ways from a hook to the last stack that were walked before. A program allocates in turn at a few places above the same
 * frames; each of them is a branch: the words that the steps from its innermost frame up to the trunk read, where they end
 * in the trunk (thread->frames), and the node that comes out. A branch holds while every one of its words, and of the
 * trunk's from there on, has its value: a new walk would read just these words in this order, and find the same frames.
 * So a capture that meets a branch steps nowhere, and neither changes the trunk nor makes nodes.
 *
 * For unwind.c only. */
#ifndef SHIM_UNWIND_BRANCH_H
#define SHIM_UNWIND_BRANCH_H

#include "unwind_rules.h"
#include "unwind_state.h"

#define BRANCHES_SHIFT 9
#define BRANCHES (1u << BRANCHES_SHIFT) /* of one thread */
#define BRANCH_SETS_SHIFT 7
#define BRANCH_WAYS (BRANCHES >> BRANCH_SETS_SHIFT) /* in a set: the same place called in different ways */
#define BRANCH_WORDS 12u                            /* what has more of them is walked each time */

/* In branch.start: the rest of it is an address. */
#define BRANCH_STAMP (1ULL << 48)

struct unwind_branch {
    uint64_t start;     /* thread->stamp for which all this is right, and where it begins: pc */
    uintptr_t sp;       /* likewise */
    uint64_t join_kind; /* frame_kind of the frame of the trunk in which it ends */
    uintptr_t join_sp, join_fp;
    uint32_t join;      /* frames of the trunk that belong to the stack */
    uint32_t join_from; /* bytes from the trunk's first to that in which it ends */
    uint32_t join_node;
    uint32_t low;   /* first word of the trunk that does */
    uint32_t node;  /* of the stack, never 0 */
    uint16_t bytes; /* of words; at least two, an even number: the outermost may be one that is always as it was */
    uint8_t parity; /* of the chain's nodes */
    bool join_fp_used;
    struct unwind_word words[BRANCH_WORDS]; /* in the reverse of the order of reading, as the trunk's */
};

_Static_assert(sizeof(struct unwind_branch) == 256, "whole cache lines");

/* The set of BRANCH_WAYS where a branch is that begins at the caller of the hook with this frame. */
static _always_inline_ struct unwind_branch *branch_set(const struct unwind_thread *thread, void *const *frame)
{
    const struct unwind_start start = unwind_caller(frame);
    uint64_t hash = (start.pc + start.sp * 8) * 0x9e3779b97f4a7c15ULL;

    return &thread->branches[hash >> (64 - BRANCH_SETS_SHIFT) << (BRANCHES_SHIFT - BRANCH_SETS_SHIFT)];
}

static _always_inline_ bool branch_begins(const struct unwind_thread *thread, const struct unwind_branch *branch,
                                          void *const *frame)
{
    const struct unwind_start start = unwind_caller(frame);

    return branch->start == (thread->stamp | start.pc) && branch->sp == start.sp;
}

/* Whether what the steps from its beginning read is as it was. */
reads_stacks static _always_inline_ bool branch_is_same(const struct unwind_branch *branch)
{
    const struct unwind_word *word = (const struct unwind_word *)((uintptr_t)branch->words + branch->bytes);

    do {
        word -= 2;
        if (*word[1].address != word[1].value || *word[0].address != word[0].value)
            return false;
    } while (word > branch->words);
    return true;
}

/* Whether it ends in the trunk, and the trunk is as it was from there on. */
static _always_inline_ bool branch_joins(const struct unwind_thread *thread, const struct unwind_branch *branch)
{
    if (unlikely(branch->join > thread->count))
        return false;
    const struct unwind_frame *frame = (const struct unwind_frame *)((uintptr_t)thread->frames + branch->join_from);
    if (unlikely(frame->sp != branch->join_sp || frame_kind(frame) != branch->join_kind ||
                 frame->node[branch->parity] != branch->join_node ||
                 (branch->join_fp_used && frame->fp != branch->join_fp)))
        return false;
    const struct unwind_word *low = thread->words + branch->low;
    return likely(same_words(thread->words + (uint32_t)branch->join_kind, low) <= low);
}

/* The branch to the stack that begins at the caller of the hook with this frame, or NULL: it has to be walked. */
static _always_inline_ const struct unwind_branch *branch_find(const struct unwind_thread *thread, void *const *frame)
{
    const struct unwind_branch *branch = branch_set(thread, frame), *end = branch + BRANCH_WAYS;

    for (; branch < end; branch++)
        if (branch_begins(thread, branch, frame) && branch_is_same(branch))
            return branch_joins(thread, branch) ? branch : NULL;
    return NULL;
}

/* Keeps the way that was just walked from the hook with this frame to the stack in thread->frames, if it is of the kind that
 * can be found again. */
void branch_keep(struct unwind_thread *thread, void *const *frame, uint32_t node);

/* unwind_capture_at for what is not usual. */
uint32_t unwind_capture_otherwise(struct unwind_thread *thread, void *const *frame);

/* unwind_capture_at, in line. A branch that is met begins at this stack pointer, and was kept when the stack there was that of the
 * capture: thread->memory needs no look. */
static _always_inline_ uint32_t unwind_capture_here(struct unwind_thread *thread, void *const *frame)
{
    const struct unwind_branch *branch = NULL;

    if (likely(thread->era == __atomic_load_n(&rules_era, __ATOMIC_ACQUIRE)))
        branch = branch_find(thread, frame);
    return likely(branch) ? branch->node : unwind_capture_otherwise(thread, frame);
}

#endif
