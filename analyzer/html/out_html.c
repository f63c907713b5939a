/* SPDX-License-Identifier: MIT
 *
 * A report as one HTML file that needs nothing else: page.h has the page around the data (template.html, the styles and the
 * scripts, put together by bundle.mjs), this file writes the data as one JSON document in between. src/data.js reads it; the
 * columns of its rows are named there, too. */
#include "allocations.h"
#include "compiler.h"
#include "emit.h"
#include "explanations.h"
#include "out_machine.h"
#include "out_text.h"
#include "page.h"
#include "suppress.h"
#include "tables.h"
#include "timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

#define LEAKS_MAX \
    50000 /* with a row of their own, unless --top asks for another number: a browser takes a second for them */

struct html {
    struct html_tables tables;
    uint64_t rows; /* of leaks */
};

/* Bits of a leak's flags; src/data.js has the same. */
enum leak_bits {
    LEAK_IS_KNOWN = 1,
    LEAK_IS_STARTUP = 2,
    LEAK_IS_INTERPRETER = 4,
    LEAK_IS_SUPPRESSED = 8,
    LEAK_IS_OVER_REFERENCED = 16,
};

static unsigned int flags_of(const struct leak *leak)
{
    return (leak->known ? LEAK_IS_KNOWN : 0u) | (leak->startup ? LEAK_IS_STARTUP : 0u) |
           (leak->interpreter ? LEAK_IS_INTERPRETER : 0u) | (leak->suppressed ? LEAK_IS_SUPPRESSED : 0u) |
           (leak_is_over_referenced(leak) ? LEAK_IS_OVER_REFERENCED : 0u);
}

static void put_number(FILE *out, const char *key, uint64_t value)
{
    fprintf(out, ",\"%s\":%" PRIu64, key, value);
}

static void put_text(FILE *out, const char *key, const char *text)
{
    fprintf(out, ",\"%s\":", key);
    emit_script(out, text);
}

static void put_list(FILE *out, const char *key, const char **items, size_t count)
{
    fprintf(out, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? "," : "", out);
        emit_script(out, items[i]);
    }
    fputc(']', out);
}

static void put_process(FILE *out, const struct process *process)
{
    const struct totals *totals = &process->totals;
    fprintf(out, "{\"pid\":%d,\"ppid\":%d,\"status\":%d", process->pid, process->ppid, process->status);
    put_text(out, "program", process->program);
    put_list(out, "argv", process->argv, process->argc);
    put_text(out, "python", process->python);
    put_text(out, "started", process->started);
    put_number(out, "microseconds", timestamp_span(process->started, process->ended_at));
    put_text(out, "ended", process->ended ? process->ended : "unknown");
    put_text(out, "options", process->options);
    put_number(out, "forked", process->forked);
    put_number(out, "truncated", process->truncated);
    put_number(out, "snapshot", (uint64_t)process->snapshot);
    put_list(out, "lacks", process->lacks, process->lacks_count);
    put_number(out, "allocations", totals->allocations);
    put_number(out, "frees", totals->frees);
    put_number(out, "live_blocks", totals->live_blocks);
    put_number(out, "live_bytes", totals->live_bytes);
    put_number(out, "peak_bytes", totals->peak_bytes);
    put_number(out, "dropped", totals->dropped);
    put_number(out, "suppressed_errors", process->suppressed_errors);
    put_number(out, "sample", totals->sample);
    put_number(out, "error_bytes", totals->error_bytes);
    fputc('}', out);
}

/* Everything up to the first row. */
static int begin(struct output_job *job, const char *mode)
{
    FILE *out = job->out;
    fputs(html_page_head, out);
    fprintf(out, "{\"mode\":\"%s\",\"version\":\"%s\"", mode, MEMSHIM_VERSION);
    put_text(out, "folder", job->folder);
    fputs(",\n\"processes\":[", out);
    for (size_t i = 0; i < job->model->process_count; i++) {
        fputs(i > 0 ? ",\n" : "\n", out);
        put_process(out, job->model->processes[i]);
    }
    fputs("]", out);
    struct html *html = calloc(1, sizeof(*html));
    job->state = html;
    return html ? html_tables_init(&html->tables, job->model) : -ENOMEM;
}

static void finish(struct output_job *job)
{
    const struct html *html = job->state;
    fputs(",\n", job->out);
    html_tables_put(job->out, &html->tables);
    fputs("}\n", job->out);
    fputs(html_page_tail, job->out);
}

static int html_begin(struct output_job *job)
{
    int r = begin(job, "report");
    fputs(",\n\"errors\":[", job->out);
    return r;
}

static int put_stack(struct output_job *job, const struct stack *stack)
{
    struct html *html = job->state;
    uint32_t node;
    int r = html_tables_stack(&html->tables, job->options, stack, &node);
    if (r == 0)
        fprintf(job->out, ",%" PRIu32, node);
    return r;
}

/* [process, kind, domain, detail, address, size, count, node, node of the allocation, of the free] */
static int html_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                      const struct error_stacks *stacks)
{
    FILE *out = job->out;
    struct html *html = job->state;
    uint32_t number;
    int r = html_tables_process(&html->tables, process, &number);
    if (r < 0)
        return r;
    fprintf(out, "%s[%" PRIu32 ",", job->errors_written > 1 ? ",\n" : "\n", number);
    emit_script(out, error->kind);
    fputc(',', out);
    emit_script(out, error->domain);
    fputc(',', out);
    emit_script(out, error->detail);
    fprintf(out, ",\"0x%" PRIx64 "\",%" PRIu64 ",%" PRIu64, error->address, error->size, error->count);
    const struct stack *all[] = {&stacks->found, &stacks->allocated, &stacks->freed};
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(all); i++)
        r = put_stack(job, all[i]);
    fputc(']', out);
    return r;
}

/* The errors end where the leaks begin; without leaks, at the end. */
static void begin_leaks(struct output_job *job)
{
    fputs("],\n\"leaks\":[", job->out);
}

static void put_row_start(struct output_job *job)
{
    struct html *html = job->state;
    fputs(html->rows++ > 0 ? ",\n[" : "\n[", job->out);
}

/* What the reference audit says, in the words of the text report; null without a word. */
static int put_references(FILE *out, const struct leak *leak)
{
    struct memo memo;
    if (!leak->references) {
        emit_script(out, NULL);
        return 0;
    }
    FILE *words = memo_open(&memo);
    if (!words)
        return -ENOMEM;
    out_text_references(words, leak);
    _cleanup_free_ char *text = memo_close(&memo);
    if (!text)
        return -ENOMEM;
    emit_script(out, text);
    return 0;
}

/* [.., domain, type, fingerprint, node, the rule that suppresses it, the reference audit, label] */
static int put_leak_tail(struct output_job *job, const struct leak *leak)
{
    FILE *out = job->out;
    fputc(',', out);
    emit_script(out, leak->domain);
    fputc(',', out);
    emit_script(out, leak->type);
    fprintf(out, ",\"%s\"", leak->fingerprint);
    int r = put_stack(job, leak_stack(leak));
    fputc(',', out);
    emit_script(out, leak->suppressed ? leak->suppressed->text : NULL);
    fputc(',', out);
    if (r == 0)
        r = put_references(out, leak);
    fputc(',', out);
    emit_script(out, leak->label);
    fputc(']', out);
    return r;
}

/* [process, kind, flags, stacks, blocks, bytes, standard error, ..] */
static int html_leak(struct output_job *job, const struct leak *leak)
{
    struct html *html = job->state;
    uint32_t process;
    if (job->leaks_written == 1)
        begin_leaks(job);
    int r = html_tables_process(&html->tables, leak->process, &process);
    if (r < 0)
        return r;
    if (job->leaks_written > LEAKS_MAX && job->options->top == OUTPUT_TOP_DEFAULT)
        return html_tables_rest(
            &html->tables,
            &(struct html_rest){.process = process, .kind = (uint16_t)leak->kind, .flags = (uint16_t)flags_of(leak)},
            leak->blocks, leak->bytes);
    put_row_start(job);
    fprintf(job->out, "%" PRIu32 ",\"%s\",%u,1,%" PRIu64 ",%" PRIu64 ",%" PRIu64, process, leak_kind_name(leak->kind),
            flags_of(leak), leak->blocks, leak->bytes, leak_error_bytes(leak));
    return put_leak_tail(job, leak);
}

/* Rows of leaks that have none of their own: as the others, but without a stack. */
static void put_rests(struct output_job *job)
{
    const struct html *html = job->state;
    for (size_t i = 0; i < html->tables.rests.count; i++) {
        const struct html_rest *rest = &html->tables.rest[i];
        put_row_start(job);
        fprintf(job->out, "%" PRIu32 ",\"%s\",%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",0,null,null,null,0,null,null]",
                rest->process, leak_kind_name(rest->kind), (unsigned int)rest->flags, rest->sum.leaks, rest->sum.blocks,
                rest->sum.bytes);
    }
}

/* The leaks end where growth begins; without growth, at the end. */
static void begin_growth(struct output_job *job)
{
    if (job->leaks_written == 0)
        begin_leaks(job);
    put_rests(job);
    fputs("]", job->out);
    fprintf(job->out, ",\n\"hidden\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "],\"errors_hidden\":%" PRIu64,
            job->hidden.leaks, job->hidden.blocks, job->hidden.bytes, job->errors_hidden);
    fputs(",\n\"growth\":[", job->out);
}

/* [process, fingerprint, intervals, first blocks, first bytes, last blocks, last bytes, blocks and bytes an interval, bytes a
 * second, confidence, node] */
static int html_growth(struct output_job *job, const struct growth *growth)
{
    FILE *out = job->out;
    struct html *html = job->state;
    uint32_t process;
    int r = html_tables_process(&html->tables, growth->process, &process);
    if (r < 0)
        return r;
    if (job->growing_written == 1)
        begin_growth(job);
    fprintf(out, "%s[%" PRIu32 ",\"%s\",%zu", job->growing_written > 1 ? ",\n" : "\n", process, growth->fingerprint,
            growth->intervals);
    fprintf(out, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, growth->first_blocks, growth->first_bytes,
            growth->last_blocks, growth->last_bytes);
    const double reals[] = {growth->blocks_per_interval, growth->bytes_per_interval, growth->bytes_per_second,
                            growth->confidence};
    for (size_t i = 0; i < ARRAY_SIZE(reals); i++)
        fprintf(out, ",%.6g", isfinite(reals[i]) ? reals[i] : 0);
    r = put_stack(job, &growth->stack);
    fputc(']', out);
    return r;
}

static int html_end(struct output_job *job)
{
    struct html *html = job->state;
    if (job->growing_written == 0)
        begin_growth(job);
    fputs("]", job->out);
    int r = html_allocations_put(job, &html->tables);
    if (r == 0)
        r = html_explanations_put(job, &html->tables);
    if (r == 0)
        finish(job);
    return r;
}

static void html_done(struct output_job *job)
{
    struct html *html = job->state;
    if (!html)
        return;
    html_tables_clear(&html->tables);
    free(html);
    job->state = NULL;
}

/* [change, kind, flags, old blocks, old bytes, new blocks, new bytes, ..] */
static int put_change(struct output_job *job, const struct diff_item *item)
{
    put_row_start(job);
    fprintf(job->out, "\"%s\",\"%s\",%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, diff_change_name(item->change),
            leak_kind_name(item->leak->kind), flags_of(item->leak), item->old_blocks, item->old_bytes, item->new_blocks,
            item->new_bytes);
    return put_leak_tail(job, item->leak);
}

static void put_diff_sums(FILE *out, const struct diff *diff, size_t written)
{
    fputs("],\n\"sums\":{\"hidden\":", out);
    fprintf(out, "%zu", diff->count - written);
    put_number(out, "old_blocks", diff->old_blocks);
    put_number(out, "old_bytes", diff->old_bytes);
    put_number(out, "new_blocks", diff->new_blocks);
    put_number(out, "new_bytes", diff->new_bytes);
    put_number(out, "old_errors", diff->old_errors);
    put_number(out, "new_errors", diff->new_errors);
    for (size_t i = 0; i < DIFF_CHANGE_COUNT; i++)
        put_number(out, diff_change_name((enum diff_change)i), diff->changes[i]);
    fputc('}', out);
}

static int html_diff(struct output_job *job, const struct diff *diff)
{
    size_t rows = job->options->top == OUTPUT_TOP_DEFAULT ? LEAKS_MAX : job->top;
    rows = MIN(rows, diff->count);
    int r = begin(job, "diff");
    fputs(",\n\"changes\":[", job->out);
    for (size_t i = 0; r == 0 && i < rows; i++)
        r = put_change(job, &diff->items[i]);
    put_diff_sums(job->out, diff, rows);
    if (r == 0)
        finish(job);
    html_done(job);
    return r;
}

const struct output out_html = {
    .name = "html",
    .extension = ".html",
    .help = "page for a browser: tables and flame graphs, one file",
    .top = 0,
    .show = SHOW_STARTUP | SHOW_INTERPRETER | SHOW_REACHABLE | SHOW_SUPPRESSED,
    .begin = html_begin,
    .error = html_error,
    .leak = html_leak,
    .growth = html_growth,
    .end = html_end,
    .done = html_done,
    .diff = html_diff,
};
