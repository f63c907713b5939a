/* SPDX-License-Identifier: MIT
 *
 * Leaks as rules for a suppression file (suppress.h), one a line, in the order of their fingerprints: a baseline that is read
 * in a review and changes no more than the leaks do. What the rule stands for is in the comment, without paths of a machine. */
#include "fingerprint.h"
#include "output.h"
#include "place.h"
#include "suppress.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_FRAMES 3

struct line {
    const struct leak *leak; /* of the kind that counts most */
    uint64_t blocks, bytes;  /* of all with this fingerprint */
};

struct lines {
    struct line *items;
    size_t count, capacity;
};

static int suppressions_begin(struct output_job *job)
{
    job->state = calloc(1, sizeof(struct lines));
    return job->state ? 0 : -ENOMEM;
}

static int suppressions_leak(struct output_job *job, const struct leak *leak)
{
    struct lines *lines = job->state;

    if (lines->count == lines->capacity) {
        size_t capacity = lines->capacity ? 2 * lines->capacity : 64;
        struct line *items = reallocarray(lines->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        lines->items = items;
        lines->capacity = capacity;
    }
    lines->items[lines->count++] = (struct line){leak, leak->blocks, leak->bytes};
    return 0;
}

/* What is lost and what is not are accepted apart: one must not become the other unseen. */
static int compare_rules(const struct line *x, const struct line *y)
{
    int order = strcmp(x->leak->fingerprint, y->leak->fingerprint);

    return order ? order : (int)(x->leak->kind == LEAK_REACHABLE) - (int)(y->leak->kind == LEAK_REACHABLE);
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int order = compare_rules(x, y);

    return order ? order : (int)x->leak->kind - (int)y->leak->kind;
}

/* The innermost frames that are not the runtime's. */
static void put_frames(FILE *out, const struct stack *stack)
{
    size_t named = 0;

    for (size_t i = 0; i < stack->size && named < NAMED_FRAMES; i++) {
        const struct frame *frame = stack->frames[i];
        if (frame->runtime || frame->language == FRAME_CUT)
            continue;
        fputs(named++ ? " < " : ": ", out);
        text_escape(out, frame->function);
        const char *place = frame->file ? frame->file : frame->module;
        if (place) {
            fputs(" (", out);
            text_escape(out, text_base(place));
            fputc(')', out);
        }
    }
}

static void put_line(FILE *out, const struct line *line)
{
    const struct leak *leak = line->leak;

    fprintf(out, "fingerprint:%d:%s%s max-blocks=%" PRIu64 " max-bytes=%" PRIu64 " # %s %s", FINGERPRINT_VERSION,
            leak->fingerprint, leak->kind == LEAK_REACHABLE ? " kind:reachable" : "", line->blocks, line->bytes,
            leak->known ? leak_kind_name(leak->kind) : "allocated", leak->domain);
    if (leak->type) {
        fputc(' ', out);
        text_escape(out, leak->type);
    }
    put_frames(out, leak_stack(leak));
    fputc('\n', out);
}

static int suppressions_end(struct output_job *job)
{
    struct lines *lines = job->state;
    size_t count = 0;

    if (lines->count)
        qsort(lines->items, lines->count, sizeof(*lines->items), compare_lines);
    for (size_t i = 0; i < lines->count; i++) {
        struct line *before = count ? &lines->items[count - 1] : NULL;
        if (before && compare_rules(before, &lines->items[i]) == 0) {
            before->blocks += lines->items[i].blocks;
            before->bytes += lines->items[i].bytes;
        } else {
            lines->items[count++] = lines->items[i];
        }
    }
    fputs("# Leaks that are known and accepted: memshim gate --baseline FILE fails for others, and for these when they "
          "grow.\n",
          job->out);
    for (size_t i = 0; i < count; i++)
        put_line(job->out, &lines->items[i]);
    return 0;
}

static void suppressions_done(struct output_job *job)
{
    struct lines *lines = job->state;

    if (lines)
        free(lines->items);
    free(lines);
    job->state = NULL;
}

const struct output out_suppressions = {
    .name = "suppressions",
    .extension = ".supp",
    .help = "rules that suppress these leaks: a baseline for memshim gate",
    .joined = true,
    .reachable_on_request = true,
    .begin = suppressions_begin,
    .leak = suppressions_leak,
    .end = suppressions_end,
    .done = suppressions_done,
};
