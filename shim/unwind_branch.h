/* SPDX-License-Identifier: MIT
 *
 * Ways from a hook that were walked before. A program allocates in turn at a few places above the same frames; each of
 * them is a branch: the words that the steps from its innermost frame read, up to the root, and the node that comes out. Where
 * these are too many, up to a frame of the last stack, the trunk (thread->frames), where the branch ends. A branch holds while
 * every one of its words, and of the trunk's from there on, has its value: a new walk would read just these words in this
 * order, and find the same frames. So a capture that meets a branch steps nowhere, and neither changes the trunk nor makes
 * nodes.
 *
 * The words are compared four at a time, which lie on one page: where the first can be read, so can the others.
 *
 * For unwind.c and the hot path (plain.h). */
#ifndef SHIM_UNWIND_BRANCH_H
#define SHIM_UNWIND_BRANCH_H

#include "unwind_rules.h"
#include "unwind_state.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define BRANCHES_SHIFT 9
#define BRANCHES (1u << BRANCHES_SHIFT) /* of one thread */
#define BRANCH_SETS_SHIFT 7
#define BRANCH_WAYS (BRANCHES >> BRANCH_SETS_SHIFT) /* in a set: the same place called in different ways */
#define BRANCH_GROUP 4u
#define BRANCH_WORDS 28u /* what has more of them is walked each time */
#define BRANCH_WORDS_WIDE 36u

/* In branch.start: the rest of it is an address. */
#define BRANCH_STAMP (1ULL << 48)

struct unwind_branch {
    uint64_t start;     /* thread->stamp for which all this is right, and where it begins: pc */
    uintptr_t sp;       /* likewise */
    uint64_t join_kind; /* frame_kind of the frame of the trunk in which it ends */
    uintptr_t join_sp, join_fp;
    uint32_t join;      /* frames of the trunk that belong to the stack, 0: it is not looked at */
    uint32_t join_from; /* bytes from the trunk's first to that in which it ends */
    uint32_t join_node;
    uint32_t low;   /* first word of the trunk that does */
    uint32_t node;  /* of the stack, never 0 */
    uint16_t count; /* of words, in the order of reading: whole groups, at least one, some words twice */
    uint8_t parity; /* of the chain's nodes */
    bool join_fp_used;
    union {
        struct unwind_word words[BRANCH_WORDS];
        struct {
            uint64_t values[BRANCH_WORDS_WIDE];
            int32_t places[BRANCH_WORDS_WIDE]; /* bytes from sp */
        } wide;                                /* if branch_wide */
    };
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct unwind_branch, words) == 64, "whole cache lines");
_Static_assert(sizeof(struct unwind_branch) == 512, "a power of two");

/* Whether the words of branches are compared in the way of the processors that have a good one (branch_is_same_wide). */
extern _hidden_ bool branch_wide;

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

reads_stacks static _always_inline_ bool branch_is_same_plainly(const struct unwind_branch *branch)
{
    const struct unwind_word *word = branch->words, *end = word + branch->count;

    do {
        for (unsigned i = 0; i < BRANCH_GROUP; i++)
            if (*word[i].address != word[i].value)
                return false;
        word += BRANCH_GROUP;
    } while (word < end);
    return true;
}

#ifdef __x86_64__
#define BRANCH_WIDE __attribute__((target("avx2")))

/* The same, with the words of a group collected by one instruction. */
BRANCH_WIDE static _always_inline_ bool branch_is_same_here_wide(const struct unwind_branch *branch)
{
    const int32_t *place = branch->wide.places, *end = place + branch->count;
    const uint64_t *value = branch->wide.values;
    const void *sp = (const void *)branch->sp;
    const __m256i none = _mm256_setzero_si256();
    __m256i all = _mm256_set1_epi64x(-1);

    /* If the compiler knew it, it would make each of these instructions wait for the one before. */
    __asm__("" : "+x"(all));
    do {
        __m256i found = _mm256_mask_i32gather_epi64(none, sp, _mm_loadu_si128((const void *)place), all, 1);
        __m256i other = _mm256_xor_si256(found, _mm256_load_si256((const void *)value));
        if (!_mm256_testz_si256(other, other))
            return false;
        value += BRANCH_GROUP;
        place += BRANCH_GROUP;
    } while (place < end);
    return true;
}
#endif

/* Only if branch_wide. */
bool branch_is_same_wide(const struct unwind_branch *branch);

/* Whether what the steps from its beginning read is as it was. */
static _always_inline_ bool branch_is_same(const struct unwind_branch *branch)
{
#ifdef __AVX2__
    return likely(branch_wide) ? branch_is_same_here_wide(branch) : branch_is_same_plainly(branch);
#else
    return likely(branch_wide) ? branch_is_same_wide(branch) : branch_is_same_plainly(branch);
#endif
}

/* Whether it ends in the trunk, and the trunk is as it was from there on. */
static _always_inline_ bool branch_joins(const struct unwind_thread *thread, const struct unwind_branch *branch)
{
    if (likely(!branch->join))
        return true;
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

/* Looks what the processor is good at. Once, from the constructor. */
void branch_init(void);

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
