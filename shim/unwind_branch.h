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

#include "unwind_state.h"

#define BRANCHES_SHIFT 9
#define BRANCHES (1u << BRANCHES_SHIFT) /* of one thread */
#define BRANCH_WAYS 4u                  /* in a set: the same place called in different ways; a power of two */
#define BRANCH_WORDS 12u                /* what has more of them is walked each time */

struct unwind_branch {
    uintptr_t pc, sp, fp; /* where it begins; fp only where fp_used */
    uintptr_t join_sp, join_fp;
    uint32_t join; /* frames of the trunk that belong to the stack */
    uint32_t join_node;
    uint32_t begin; /* of the chain (chain_begin), in the trunk */
    uint32_t node;
    uint32_t stamp; /* thread->stamp for which all this is right, never 0 */
    uint16_t join_lag;
    uint8_t count;      /* of words, an even number: the outermost may be one that is always as it was */
    uint8_t parity : 1; /* of the chain's nodes */
    bool fp_used : 1;
    struct unwind_word words[BRANCH_WORDS]; /* in the reverse of the order of reading, as the trunk's */
};

_Static_assert(sizeof(struct unwind_branch) == 256, "whole cache lines");

/* Where a branch that begins at `start` is looked for first.. */
static _always_inline_ struct unwind_branch *branch_first(const struct unwind_thread *thread,
                                                          const struct unwind_start *start)
{
    return &thread->branches[(start->pc + start->sp * 8) * 0x9e3779b97f4a7c15ULL >> (64 - BRANCHES_SHIFT)];
}

/* ..and then: in the same set, whose branches begin at different places of it. */
static _always_inline_ struct unwind_branch *branch_way(struct unwind_branch *first, unsigned way)
{
    return (struct unwind_branch *)((uintptr_t)first ^ way * sizeof(*first));
}

static _always_inline_ bool branch_begins(const struct unwind_thread *thread, const struct unwind_branch *branch,
                                          const struct unwind_start *start)
{
    return branch->pc == start->pc && branch->sp == start->sp && branch->stamp == thread->stamp;
}

/* Whether what the steps from its beginning read is as it was. */
reads_stacks static _always_inline_ bool branch_is_same(const struct unwind_branch *branch,
                                                        const struct unwind_start *start)
{
    const struct unwind_word *word = branch->words + branch->count;

    if (unlikely(branch->fp_used && branch->fp != start->fp))
        return false;
    for (; word > branch->words; word -= 2)
        if (*word[-1].address != word[-1].value || *word[-2].address != word[-2].value)
            return false;
    return true;
}

/* Whether it ends in the trunk, and the trunk is as it was from there on. */
static _always_inline_ bool branch_joins(const struct unwind_thread *thread, const struct unwind_branch *branch)
{
    if (unlikely(branch->join > thread->count))
        return false;
    const struct unwind_frame *frame = &thread->frames[branch->join - 1];
    if (unlikely(frame->sp != branch->join_sp || frame->lag != branch->join_lag ||
                 frame->node[branch->parity] != branch->join_node || (frame->fp_used && frame->fp != branch->join_fp)))
        return false;
    return likely(verify(thread, branch->join - 1, branch->begin) == branch->join);
}

/* The node of the stack that begins at `start`, or 0: it has to be walked. */
static _always_inline_ uint32_t branch_find(struct unwind_thread *thread, const struct unwind_start *start)
{
    struct unwind_branch *first = branch_first(thread, start);

    for (unsigned way = 0; way < BRANCH_WAYS; way++) {
        const struct unwind_branch *branch = branch_way(first, way);
        if (branch_begins(thread, branch, start) && branch_is_same(branch, start))
            return branch_joins(thread, branch) ? branch->node : 0;
    }
    return 0;
}

/* Keeps the way that was just walked to the stack in thread->frames, if it is of the kind that can be found again. */
void branch_keep(struct unwind_thread *thread, const struct unwind_start *start, uint32_t node);

#endif
