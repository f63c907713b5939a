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
static struct unwind_branch *choose_place(struct unwind_thread *thread, void *const *frame)
{
    struct unwind_branch *set = branch_set(thread, frame);

    for (struct unwind_branch *branch = set; branch < set + BRANCH_WAYS; branch++) {
        bool is_void = (branch->start & ~(BRANCH_STAMP - 1)) != thread->stamp;
        if (is_void || (branch_begins(thread, branch, frame) && branch_is_same(branch)))
            return branch;
    }
    return set + thread->turn++ % BRANCH_WAYS;
}

/* The words from the trunk to the innermost frame, and the frame pointer with which the hook was called, where that leads to
 * older frames: *ret_count of them. False: they are not of the kind. */
static bool gather(const struct unwind_thread *thread, void *const *frame, struct unwind_word *words,
                   uint32_t *ret_count)
{
    const struct unwind_frame *join = &thread->frames[thread->kept - 1], *leaf = &thread->frames[thread->count - 1];
    uint32_t count = leaf->words - join->words, total = count + leaf->fp_used, odd = total & 1;
    const uintptr_t *fp = unwind_saved_fp(frame);

    if (total > BRANCH_WORDS || (leaf->fp_used && !fp) || !all_here(thread, thread->words + join->words, count))
        return false;
    words[0] = (struct unwind_word){&constant, constant};
    memcpy(words + odd, thread->words + join->words, count * sizeof(*words));
    if (leaf->fp_used)
        words[odd + count] = (struct unwind_word){fp, leaf->fp};
    *ret_count = total + odd;
    return *ret_count;
}

void branch_keep(struct unwind_thread *thread, void *const *frame, uint32_t node)
{
    const struct unwind_start start = unwind_caller(frame);
    uint32_t kept = thread->kept, begin = chain_begin(thread, thread->count), count;
    struct unwind_word words[BRANCH_WORDS];

    if (!node || kept <= begin || thread->dropped || thread->rootless || start.pc >= BRANCH_STAMP ||
        !gather(thread, frame, words, &count))
        return;
    const struct unwind_frame *join = &thread->frames[kept - 1];
    struct unwind_branch *branch = choose_place(thread, frame);
    *branch = (struct unwind_branch){
        .start = thread->stamp | start.pc,
        .sp = start.sp,
        .join_kind = frame_kind(join),
        .join_sp = join->sp,
        .join_fp = join->fp,
        .join_fp_used = join->fp_used,
        .join = kept,
        .join_from = (kept - 1) * (uint32_t)sizeof(*join),
        .join_node = join->node[thread->chain_parity],
        .low = first_word(thread, begin),
        .node = node,
        .parity = thread->chain_parity & 1,
        .bytes = (uint16_t)(count * sizeof(*words)),
    };
    memcpy(branch->words, words, count * sizeof(*words));
}
