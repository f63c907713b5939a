/* SPDX-License-Identifier: MIT
 *
 * The hot part of frame reuse: meeting the last stack in a new walk, proving that it is unchanged, and putting the new
 * frames on top of it. For the architecture's file only, into whose loop it is inlined. */
#ifndef SHIM_UNWIND_LAST_H
#define SHIM_UNWIND_LAST_H

#include "unwind_state.h"

#include <string.h>

static inline void push_word(struct unwind_word **top, uintptr_t address, uintptr_t value)
{
    *(*top)++ = (struct unwind_word){(const uintptr_t *)address, value};
}

/* Puts `count` new frames (thread->fresh) on top of the first `kept` ones; `last` is where the outermost step led. */
static void push_fresh(struct unwind_thread *thread, uint32_t kept, uint32_t count, const struct cursor *last)
{
    struct unwind_frame *frame = &thread->frames[kept];
    struct unwind_word *top = thread->words + (kept ? frame[-1].words : 0);
    uintptr_t pc = last->pc, sp = last->sp, fp = last->fp;
    bool fp_used = kept ? frame[-1].fp_used : false; /* by the caller of the frame at hand, or older ones */

    for (uint32_t i = count; i-- > 0; frame++) {
        const struct unwind_fresh *fresh = &thread->fresh[i];
        /* In the reverse of the order in which they were read: a later one's address may come from an earlier one. */
        if (fresh->fp_slot && fp_used)
            push_word(&top, fresh->fp_slot, fp);
        if (fresh->pc_slot)
            push_word(&top, fresh->pc_slot, pc);
        if (fresh->sp_slot)
            push_word(&top, fresh->sp_slot, sp);
        fp_used = fresh->fp_used || (fresh->fp_kept && fp_used);
        pc = fresh->pc;
        sp = fresh->sp;
        fp = fresh->fp;
        *frame = (struct unwind_frame){
            pc, sp, fp, {0, 0}, (uint32_t)(top - thread->words), fresh->exact, fp_used, fresh->lag,
        };
    }
    thread->count = kept + count;
}

/* Gives up the outer half of the last stack, to make room. */
static _cold_ void drop_outer(struct unwind_thread *thread, uint32_t *kept)
{
    uint32_t half = *kept / 2;
    uint32_t words = thread->frames[half - 1].words;

    memmove(thread->words, thread->words + words, (thread->frames[*kept - 1].words - words) * sizeof(*thread->words));
    memmove(thread->frames, thread->frames + half, (*kept - half) * sizeof(*thread->frames));
    *kept -= half;
    for (uint32_t i = 0; i < *kept; i++)
        thread->frames[i].words -= words;
    thread->dropped += half;
}

/* Looks for the frame at the cursor in the last stack, of which *kept frames are still candidates and `fresh` new ones
 * lie below it. Returns whether it and all that is older is unchanged; *kept then counts up to it. */
static inline bool meet(struct unwind_thread *thread, const struct cursor *cursor, uint32_t *kept, uint32_t fresh)
{
    const struct unwind_frame *frames = thread->frames;
    uint32_t k = *kept;

    while (k && frames[k - 1].sp < cursor->sp)
        k--;
    *kept = k;
    if (!k || frames[k - 1].sp != cursor->sp || frames[k - 1].pc != cursor->pc ||
        frames[k - 1].exact != cursor->exact || frames[k - 1].lag != cursor->lag ||
        (frames[k - 1].fp_used && frames[k - 1].fp != cursor->fp))
        return false;
    uint32_t begin = chain_begin(thread, thread->dropped + k + fresh);
    if (unlikely(thread->chain_first < thread->dropped || (thread->rootless && k + fresh < unwind_depth))) {
        *kept = 0; /* needs frames that were given up */
        return false;
    }
    uint32_t same = begin < k ? verify(thread, k - 1, begin) : k;
    *kept = same;
    return same == k;
}

#endif
