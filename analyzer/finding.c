/* SPDX-License-Identifier: MIT
 *
 * Leaks and errors in the words of the text report. See finding.h. */
#include "finding.h"

#include "compiler.h"
#include "emit.h"
#include "fingerprint.h"
#include "out_text.h"
#include "rounded.h"
#include "stackname.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Writes "(obj, list, label "loading")". */
static void put_owner(FILE *out, const char *domain, const char *type, const char *label)
{
    fputc('(', out);
    text_escape(out, domain);
    if (type) {
        fputs(", ", out);
        text_escape(out, type);
    }
    out_text_label(out, label);
    fputc(')', out);
}

static void put_leak(FILE *out, const struct leak *leak)
{
    out_text_amount(out, leak->bytes, leak->blocks);
    if (leak->variance > 0) {
        char error[TEXT_NUMBER_SIZE];
        fprintf(out, " (estimated, standard error %s bytes)", text_number(error, leak_error_bytes(leak)));
    }
    fprintf(out, " %s ", out_text_kind(leak->kind, leak->known));
    put_owner(out, leak->domain, leak->type, leak->label);
}

static void put_error(FILE *out, const struct memory_error *error)
{
    char number[TEXT_NUMBER_SIZE];
    text_escape(out, error->kind);
    fprintf(out, ": block of %s byte%s ", text_number(number, error->size), text_plural(error->size));
    put_owner(out, error->domain, NULL, NULL);
    if (error->detail && *error->detail) {
        fputs(": ", out);
        text_escape(out, error->detail);
    }
    if (error->count > 1)
        fprintf(out, ", %s times", text_number(number, error->count));
}

static void put_growth(FILE *out, const struct growth *growth)
{
    char a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE], c[TEXT_NUMBER_SIZE];
    fprintf(out, "growing by %s bytes in %s blocks an interval (%s bytes a second) over %zu intervals",
            text_number(a, rounded(growth->bytes_per_interval)), text_number(b, rounded(growth->blocks_per_interval)),
            text_number(c, rounded(growth->bytes_per_second)), growth->intervals);
}

/* Says what the finding is: malloc'ed, or NULL without memory. */
static char *describe(const struct finding *finding)
{
    struct memo memo;
    FILE *out = memo_open(&memo);
    if (!out)
        return NULL;
    if (finding->leak)
        put_leak(out, finding->leak);
    else if (finding->growth)
        put_growth(out, finding->growth);
    else
        put_error(out, finding->error);
    return memo_close(&memo);
}

/* Names the function: malloc'ed, or NULL without memory. */
static char *name_function(const struct finding *finding)
{
    const struct stack *stack = finding->stack;
    const struct frame *frame = finding->place.frame;
    for (size_t i = 0; i < stack->size && !frame; i++) {
        if (!stack->frames[i]->runtime && stack->frames[i]->language != FRAME_CUT)
            frame = stack->frames[i];
    }
    return frame ? stackname_of(frame) : strdup("??");
}

/* What is said about the finding in words. */
struct words {
    char *what, *function;
};

static void words_clear(const struct words *words)
{
    free(words->what);
    free(words->function);
}

/* Finds the place and the words. Returns 0 or -ENOMEM. */
static int complete(const struct output_job *job, struct finding *finding, struct words *words)
{
    place_find(job, finding->stack, &finding->place);
    finding->what = words->what = describe(finding);
    finding->function = words->function = name_function(finding);
    return finding->what && finding->function ? 0 : -ENOMEM;
}

static struct finding of_leak(const struct leak *leak)
{
    return (struct finding){
        .process = leak->process,
        .leak = leak,
        .stack = leak_stack(leak),
        .rule = rule_of_leak(leak->kind, leak->known),
        .fingerprint = leak->fingerprint,
    };
}

int finding_from_leak(struct output_job *job, const struct leak *leak, finding_take take)
{
    struct words words;
    struct finding finding = of_leak(leak);
    int r = complete(job, &finding, &words);
    if (r == 0)
        r = take(job, &finding);
    words_clear(&words);
    return r;
}

int finding_from_growth(struct output_job *job, const struct growth *growth, finding_take take)
{
    struct words words;
    struct finding finding = {
        .process = growth->process,
        .growth = growth,
        .stack = &growth->stack,
        .rule = rule_of_growth(),
        .fingerprint = growth->fingerprint,
    };
    int r = complete(job, &finding, &words);
    if (r == 0)
        r = take(job, &finding);
    words_clear(&words);
    return r;
}

int finding_from_diff(struct output_job *job, const struct diff_item *item, finding_take_diff take)
{
    struct words words;
    struct leak now = *item->leak;
    now.blocks = item->new_blocks;
    now.bytes = item->new_bytes;
    struct finding finding = of_leak(&now);
    int r = complete(job, &finding, &words);
    if (r == 0)
        r = take(job, &finding, item);
    words_clear(&words);
    return r;
}

int finding_from_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                       const struct error_stacks *stacks, finding_take take)
{
    char fingerprint[FINGERPRINT_SIZE];
    struct words words;
    struct finding finding = {
        .process = process,
        .error = error,
        .stacks = stacks,
        .stack = stacks->found.size > 0 ? &stacks->found : &stacks->allocated,
        .rule = rule_of_error(error->kind),
        .fingerprint = fingerprint,
    };
    fingerprint_stack(&(struct fingerprint_of){error->kind, error->domain, NULL}, finding.stack->frames,
                      finding.stack->size, fingerprint);
    int r = complete(job, &finding, &words);
    if (r == 0)
        r = take(job, &finding);
    words_clear(&words);
    return r;
}

static void put_stacks(FILE *out, const struct output_job *job, const struct finding *finding)
{
    struct output_options options = *job->options;
    struct output_job plain = *job;
    options.color = false;
    plain.options = &options;
    plain.out = out;
    if (finding->leak)
        out_text_references(out, finding->leak);
    out_text_stack(&plain, finding->stack);
    if (!finding->error)
        return;
    if (finding->error->alloc_trace && finding->stack != &finding->stacks->allocated) {
        fputs("  allocated by\n", out);
        out_text_stack(&plain, &finding->stacks->allocated);
    }
    if (finding->error->free_trace) {
        fputs("  freed by\n", out);
        out_text_stack(&plain, &finding->stacks->freed);
    }
}

char *finding_stacks(const struct output_job *job, const struct finding *finding)
{
    struct memo memo;
    FILE *out = memo_open(&memo);
    if (!out)
        return NULL;
    put_stacks(out, job, finding);
    return memo_close(&memo);
}

const char *finding_limit_name(enum gate_rule rule)
{
    static const char *const names[GATE_RULE_COUNT] = {[GATE_BYTES] = "max-bytes",
                                                       [GATE_BLOCKS] = "max-blocks",
                                                       [GATE_ERRORS] = "max-errors",
                                                       [GATE_GROWTH] = "fail-on"};
    return names[rule];
}

static void put_limit(FILE *out, const struct gate_reason *reason)
{
    if (reason->by_kind) {
        fprintf(out, " --fail-on %s",
                reason->rule == GATE_ERRORS   ? "errors"
                : reason->rule == GATE_GROWTH ? "growth"
                                              : gate_scope_name(reason->scope));
        return;
    }
    const char *scope = reason->rule == GATE_ERRORS ? "" : gate_scope_name(reason->scope);
    fprintf(out, " --%s %s%s%" PRIu64 "%s", finding_limit_name(reason->rule), scope, *scope ? "=" : "", reason->limit,
            reason->by_default ? " (the default)" : "");
}

static void put_reason(FILE *out, const struct gate_verdict *verdict, const struct gate_reason *reason)
{
    char number[TEXT_NUMBER_SIZE];
    const struct gate_counts *counts = &verdict->counts;
    bool one = false;
    if (reason->rule == GATE_ERRORS) {
        one = counts->errors == 1;
        fprintf(out, "%s memory error%s", text_number(number, counts->errors), text_plural(counts->errors));
    } else if (reason->rule == GATE_GROWTH) {
        fprintf(out, "%s growing stack%s", text_number(number, counts->growing), text_plural(counts->growing));
    } else if (reason->scope == GATE_REFERENCED) {
        uint64_t objects = counts->blocks[GATE_REFERENCED];
        fprintf(out, "%s over-referenced object%s", text_number(number, objects), text_plural(objects));
    } else if (reason->scope == GATE_STACK) {
        bool bytes = reason->rule == GATE_BYTES;
        uint64_t found = bytes ? counts->bytes[GATE_STACK] : counts->blocks[GATE_STACK];
        fprintf(out, "%s %s%s of one leak", text_number(number, found), bytes ? "byte" : "block", text_plural(found));
    } else {
        out_text_amount(out, counts->bytes[reason->scope], counts->blocks[reason->scope]);
        fprintf(out, " %s",
                reason->scope == GATE_TOTAL ? "still allocated"
                                            : out_text_kind((enum leak_kind)reason->scope, counts->known));
    }
    fputs(reason->by_kind ? ":" : one ? " exceeds" : " exceed", out);
    put_limit(out, reason);
}

char *finding_reason(const struct gate_verdict *verdict, const struct gate_reason *reason)
{
    struct memo memo;
    FILE *out = memo_open(&memo);
    if (!out)
        return NULL;
    put_reason(out, verdict, reason);
    return memo_close(&memo);
}
