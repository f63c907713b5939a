/* SPDX-License-Identifier: MIT
 *
 * What a thread keeps between captures: its last stack, root first, with the words of memory that prove it.
 *
 * A stack is the same as the last one from some frame outwards if that frame has the same address, stack pointer and (where
 * older frames depend on it) frame pointer, and every word that led from it to the root still has its value. The words are
 * looked at in the order in which a new walk would read them, up to the first that differs, so that nothing is read that
 * a new walk would not read. */
#ifndef SHIM_UNWIND_STATE_H
#define SHIM_UNWIND_STATE_H

#include "compiler.h"
#include "unwind.h"
#include "unwind_memory.h"

#include <string.h>

/* Frames kept of one stack at most; beyond it the outer half is given up (and the number of frames cut is unknown). */
#define FRAMES_MAX 65536u
#define FRAMES_FIRST 256u

/* A step reads at most three words: return address, saved frame pointer, saved CFA. */
#define WORDS_PER_FRAME 3u

struct unwind_frame {
    uintptr_t pc;
    uintptr_t sp;
    uintptr_t fp;
    /* Node of the stack whose innermost frame this is, 0 = not known yet. Two, because the frame can belong to chains that
     * begin at two different places (chain_node): [0] for even ones, [1] for odd ones. */
    uint32_t node[2];
    uint32_t words; /* words that the steps of this and all older frames read */
    bool exact;     /* interrupted at pc */
    bool fp_used;   /* fp takes part in finding older frames */
    uint16_t lag;   /* unwind_fresh.lag */
};

/* The last four of these at one stroke. */
static inline uint64_t frame_kind(const struct unwind_frame *frame)
{
    uint64_t kind;

    memcpy(&kind, &frame->words, sizeof(kind));
    return kind;
}

struct unwind_word {
    const uintptr_t *address;
    uintptr_t value;
};

/* A frame met in a new walk, innermost first, and where the step to its caller reads; 0 = nothing. */
struct unwind_fresh {
    uintptr_t pc, sp, fp;
    uintptr_t pc_slot, fp_slot, sp_slot; /* of the caller's pc, fp and sp */
    bool exact;
    bool fp_used; /* the step itself takes fp */
    bool fp_kept; /* the caller's fp is this frame's */
    uint16_t lag; /* bytes by which sp exceeds what libunwind measures by (unwind_guess.h) */
};

/* A frame of a walk. */
struct cursor {
    uintptr_t pc, sp, fp;
    bool exact;
    uint16_t lag; /* unwind_fresh.lag */
};

struct unwind_thread {
    /* What a capture looks at that meets a branch: in one line of the processor's cache. */
    struct unwind_frame *frames;    /* root first */
    struct unwind_word *words;      /* root first; of one frame: in the reverse of the order of reading */
    struct unwind_branch *branches; /* unwind_branch.h */
    uint64_t stamp;                 /* of the branches that are right: a multiple of BRANCH_STAMP, never 0 */
    uint32_t era;                   /* rules_era for which all this is right; 0: the next capture has to look */
    uint32_t count;                 /* frames of the last stack, 0 = nothing known */

    struct unwind_fresh *fresh;
    uint32_t size;    /* room in frames and fresh; WORDS_PER_FRAME times as many words */
    uint32_t dropped; /* frames older than frames[0] that were given up */
    bool rootless;    /* there are more frames, nobody knows how many */
    /* Where the chain of a stack of chain_low to chain_low + chain_span - 1 frames begins (chain_begin). Frame numbers count
     * from the root, `dropped` ones included. */
    uint32_t chain_first, chain_low, chain_span, chain_parity;
    uint32_t generation;     /* of the rules */
    uint32_t epoch;          /* module epoch of the nodes */
    uint64_t countdown;      /* captures until the next self-check */
    struct slow_frame *slow; /* room for FRAMES_MAX, or NULL */
    uint32_t kept;           /* by the last walk_stack: frames that were there before it */
    struct memory memory;
};

/* Frames kept of a stack: the depth given to unwind_init. */
extern _hidden_ unsigned unwind_depth;

/* Room for more frames, four times as many as before. Returns false when there is none or FRAMES_MAX is reached. */
bool state_grow(struct unwind_thread *thread);

/* The slow part of chain_begin. */
void chain_locate(struct unwind_thread *thread, uint32_t total);

/* The index in thread->frames of the frame at which the chain of a stack of `total` frames (dropped ones included) begins. */
static inline uint32_t chain_begin(struct unwind_thread *thread, uint32_t total)
{
    if (unlikely(total - thread->chain_low >= thread->chain_span))
        chain_locate(thread, total);
    return thread->chain_first > thread->dropped ? thread->chain_first - thread->dropped : 0;
}

/* Stacks of other functions, which the sanitizer may have poisoned. */
#define reads_stacks __attribute__((no_sanitize("address", "undefined")))

/* Compares words from before `word` down to `end` with memory. Returns the one behind the first that differs, or `end`, or
 * less. */
reads_stacks static _always_inline_ const struct unwind_word *same_words(const struct unwind_word *word,
                                                                         const struct unwind_word *end)
{
    for (end += 3; word > end; word -= 4)
        if (unlikely(*word[-1].address != word[-1].value) || unlikely(*word[-2].address != word[-2].value) ||
            unlikely(*word[-3].address != word[-3].value) || unlikely(*word[-4].address != word[-4].value))
            break;
    for (end -= 3; word > end && likely(*word[-1].address == word[-1].value);)
        word--;
    return word;
}

/* The lowest word that a chain has to do with that begins at the frame `begin`. */
static inline uint32_t first_word(const struct unwind_thread *thread, uint32_t begin)
{
    return begin ? thread->frames[begin].words : 0;
}

/* Looks whether all words from the frame `from` out to the frame `begin` are as they were. Returns from + 1 if they are,
 * else the number of frames older than the step that reads otherwise. */
reads_stacks static inline uint32_t verify(const struct unwind_thread *thread, uint32_t from, uint32_t begin)
{
    const struct unwind_word *end = thread->words + first_word(thread, begin);
    const struct unwind_word *word = same_words(thread->words + thread->frames[from].words, end);

    if (likely(word <= end))
        return from + 1;
    uint32_t differs = (uint32_t)(word - thread->words) - 1;
    while (from > 0 && thread->frames[from - 1].words > differs)
        from--;
    return from;
}

/* The node of the stack in thread->frames, or 0. */
uint32_t chain_node(struct unwind_thread *thread);

/* Puts a stack found by libunwind (innermost first) in place of the last one. It can be given to chain_node, but the next
 * capture must not build upon it. */
bool state_replace(struct unwind_thread *thread, const struct slow_frame *frames, unsigned count);

/* Room for FRAMES_MAX frames found by libunwind, or NULL. */
struct slow_frame *state_slow(struct unwind_thread *thread);

/* The architecture's way: brings thread->frames up to date with the stack that begins at `start`. Returns false when the
 * stack cannot be told this way: then libunwind's result has to be taken. */
bool walk_stack(struct unwind_thread *thread, const struct unwind_start *start);

/* Prepares walk_stack. After slow_init. */
void walk_init(void);

#endif
