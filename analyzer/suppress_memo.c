/* SPDX-License-Identifier: MIT
 *
 * Which patterns match which frames. A million stacks share a few thousand frames, so that each frame is looked at once, and a
 * stack is the sum of its frames; most stacks have none that any pattern matches, which their nodes tell. See suppress.h. */
#include "suppress.h"

#include "compiler.h"
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_LEAST 1024 /* of the table, a power of two */

struct pattern {
    const char *text;
    bool python_only;
};

struct pattern_memo {
    struct pattern *patterns;
    size_t count, words; /* 64 patterns a word */
    struct known {
        const struct frame *frame; /* NULL: free */
        uint64_t *bits;            /* of the patterns that match it */
    } * known;
    size_t known_count, capacity; /* at most half are used */
    uint64_t *sum;                /* of the stack asked for */
};

/* The place of the frame, or the free one where it would be. */
static struct known *place_of(struct known *known, size_t capacity, const struct frame *frame)
{
    size_t at = ((uintptr_t)frame >> 3) * 0x9e3779b97f4a7c15u >> 32 & (capacity - 1);

    while (known[at].frame && known[at].frame != frame)
        at = (at + 1) & (capacity - 1);
    return &known[at];
}

static int grow(struct pattern_memo *memo)
{
    size_t capacity = 2 * memo->capacity;
    struct known *larger = calloc(capacity, sizeof(*larger));

    if (!larger)
        return -ENOMEM;
    for (size_t i = 0; i < memo->capacity; i++)
        if (memo->known[i].frame)
            *place_of(larger, capacity, memo->known[i].frame) = memo->known[i];
    free(memo->known);
    memo->known = larger;
    memo->capacity = capacity;
    return 0;
}

/* The bits of a frame; NULL without memory. */
static const uint64_t *bits_of(struct pattern_memo *memo, const struct frame *frame)
{
    struct known *known = place_of(memo->known, memo->capacity, frame);

    if (known->frame)
        return known->bits;
    if (2 * memo->known_count >= memo->capacity) {
        if (grow(memo) < 0)
            return NULL;
        known = place_of(memo->known, memo->capacity, frame);
    }
    known->bits = calloc(memo->words, sizeof(*known->bits));
    if (!known->bits)
        return NULL;
    known->frame = frame;
    memo->known_count++;
    for (size_t i = 0; i < memo->count; i++)
        if (suppress_frame_matches(frame, memo->patterns[i].text, memo->patterns[i].python_only))
            known->bits[i / 64] |= (uint64_t)1 << i % 64;
    return known->bits;
}

static int frame_has_bits(const struct frame *frame, void *context)
{
    struct pattern_memo *memo = context;
    const uint64_t *bits = memo->words ? bits_of(memo, frame) : NULL;

    if (memo->words && !bits)
        return -ENOMEM;
    for (size_t word = 0; word < memo->words; word++)
        if (bits[word])
            return 1;
    return 0;
}

static int choose_stacks(struct pattern_memo *memo, const struct leaks *leaks)
{
    int r = 0;

    for (struct stack_source *source = leaks->sources; r == 0 && source; source = source->next)
        r = frame_table_choose(source->table, frame_has_bits, memo);
    return r;
}

struct pattern_memo *pattern_memo_new(struct suppressions *suppressions, const struct leaks *leaks)
{
    struct pattern_memo *memo = calloc(1, sizeof(*memo));

    if (!memo)
        return NULL;
    memo->patterns = calloc(2 * suppressions->count + 1, sizeof(*memo->patterns));
    for (size_t i = 0; memo->patterns && i < suppressions->count; i++) {
        struct suppression *rule = &suppressions->items[i];
        rule->leak_pattern = rule->py_pattern = 0;
        if (rule->words[SUPPRESS_LEAK]) {
            memo->patterns[memo->count] = (struct pattern){rule->words[SUPPRESS_LEAK], false};
            rule->leak_pattern = ++memo->count;
        }
        if (rule->words[SUPPRESS_PY]) {
            memo->patterns[memo->count] = (struct pattern){rule->words[SUPPRESS_PY], true};
            rule->py_pattern = ++memo->count;
        }
    }
    memo->words = (memo->count + 63) / 64;
    memo->capacity = FRAMES_LEAST;
    memo->known = calloc(memo->capacity, sizeof(*memo->known));
    memo->sum = calloc(memo->words + 1, sizeof(*memo->sum));
    if (memo->patterns && memo->known && memo->sum && choose_stacks(memo, leaks) == 0)
        return memo;
    pattern_memo_free(memo);
    return NULL;
}

void pattern_memo_free(struct pattern_memo *memo)
{
    if (!memo)
        return;
    for (size_t i = 0; memo->known && i < memo->capacity; i++)
        free(memo->known[i].bits);
    free(memo->known);
    free(memo->patterns);
    free(memo->sum);
    free(memo);
}

int pattern_memo_take(struct pattern_memo *memo, const struct leak *leak)
{
    const struct stack *stack;

    memset(memo->sum, 0, memo->words * sizeof(*memo->sum));
    if (leak->source && leak->source->table && !frame_table_is_chosen(leak->source->table, leak->trace))
        return 0;
    stack = leak_stack(leak);
    for (size_t i = 0; i < stack->size && memo->words; i++) {
        const uint64_t *bits = bits_of(memo, stack->frames[i]);
        if (!bits)
            return -ENOMEM;
        for (size_t word = 0; word < memo->words; word++)
            memo->sum[word] |= bits[word];
    }
    return 0;
}

bool pattern_memo_has(const struct pattern_memo *memo, size_t pattern)
{
    return memo->sum[(pattern - 1) / 64] >> (pattern - 1) % 64 & 1;
}
