/* SPDX-License-Identifier: MIT */
#include "unwind_branch.h"

#include <string.h>

_Static_assert(BRANCH_WORDS % 2 == 0, "words are compared two at a time");

static const uintptr_t constant;

/* Whether the words lie on the stack on which the capture began, which is there whenever a capture begins at this place
 * again; and nothing has to be asked before they are read. */
static bool all_here(const struct unwind_thread *thread, const struct unwind_word *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!memory_in(&thread->memory.here, (uintptr_t)words[i].address))
            return false;
    return true;
}

/* That of the same branch where it ended elsewhere in the trunk, or the next in turn. */
static struct unwind_branch *choose_place(struct unwind_thread *thread, const struct unwind_start *start)
{
    struct unwind_branch *first = branch_first(thread, start);

    for (unsigned way = 0; way < BRANCH_WAYS; way++) {
        struct unwind_branch *branch = branch_way(first, way);
        if (branch->stamp != thread->stamp || (branch_begins(thread, branch, start) && branch_is_same(branch, start)))
            return branch;
    }
    return branch_way(first, thread->turn++ % BRANCH_WAYS);
}

void branch_keep(struct unwind_thread *thread, const struct unwind_start *start, uint32_t node)
{
    uint32_t kept = thread->kept, begin = chain_begin(thread, thread->count);

    if (!node || kept <= begin || thread->dropped || thread->rootless)
        return;
    const struct unwind_frame *join = &thread->frames[kept - 1], *leaf = &thread->frames[thread->count - 1];
    uint32_t count = leaf->words - join->words;
    if (count > BRANCH_WORDS || !all_here(thread, thread->words + join->words, count))
        return;
    uint32_t odd = count & 1;
    struct unwind_branch *branch = choose_place(thread, start);
    *branch = (struct unwind_branch){
        .pc = start->pc,
        .sp = start->sp,
        .fp = start->fp,
        .join_sp = join->sp,
        .join_fp = join->fp,
        .join_lag = join->lag,
        .join = kept,
        .join_node = join->node[thread->chain_parity],
        .begin = begin,
        .node = node,
        .stamp = thread->stamp,
        .parity = thread->chain_parity & 1,
        .count = (uint8_t)(count + odd),
        .fp_used = leaf->fp_used,
    };
    branch->words[0] = (struct unwind_word){&constant, constant};
    memcpy(branch->words + odd, thread->words + join->words, count * sizeof(*branch->words));
}
