/* SPDX-License-Identifier: MIT
 *
 * Markdown for $GITHUB_STEP_SUMMARY and notes of merge requests: a table of sums, then one folded section for each finding.
 * A summary may have 1 MiB, so stacks are cut. */
#include "compiler.h"
#include "emit.h"
#include "finding.h"
#include "out_machine.h"
#include "out_table.h"
#include "out_text.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TOP 20
#define STACK_LINES_MAX 40
#define STACK_LINE_MAX 300 /* bytes */

/* Inside of HTML elements and of tables: no markup, no end of the cell. */
static void put_plain(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '\n':
        case '\r':
            fputc(' ', out);
            break;
        case '|':
        case '`':
        case '*':
        case '_':
        case '[':
        case ']':
        case '\\':
        case '~':
        case '#':
        case '@':
            fprintf(out, "&#%d;", *text);
            break;
        default:
            fputc(*text, out);
        }
    }
}

/* The length of at most `max` bytes of `text` that does not cut a character in two. */
static size_t cut_length(const char *text, size_t max)
{
    size_t length = strlen(text);
    if (length <= max)
        return length;
    length = max;
    while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

/* Every line begins with a space, so none can end the block. */
static void put_lines(FILE *out, char *text)
{
    size_t count = 0;
    fputs("```\n", out);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        if (++count > STACK_LINES_MAX)
            continue;
        size_t length = cut_length(line, STACK_LINE_MAX);
        fwrite(line, 1, length, out);
        fputs(line[length] ? "...\n" : "\n", out);
    }
    if (count > STACK_LINES_MAX)
        fprintf(out, "    ... %zu more lines\n", count - STACK_LINES_MAX);
    fputs("```\n", out);
}

static int put_stacks(FILE *out, const struct output_job *job, const struct finding *finding)
{
    _cleanup_free_ char *text = finding_stacks(job, finding);
    if (!text)
        return -ENOMEM;
    put_lines(out, text);
    return 0;
}

/* Escaped for terminals and then for markdown. */
static int put_text(FILE *out, const char *text)
{
    struct memo memo;
    FILE *visible = memo_open(&memo);
    if (!visible)
        return -ENOMEM;
    text_escape(visible, text);
    _cleanup_free_ char *plain = memo_close(&memo);
    if (!plain)
        return -ENOMEM;
    put_plain(out, plain);
    return 0;
}

static int put_place(FILE *out, const struct finding *finding)
{
    fputs(" in <code>", out);
    int r = put_text(out, finding->function);
    fputs("</code>", out);
    if (r < 0 || !finding->place.file)
        return r;
    fputs(" at <code>", out);
    r = put_text(out, finding->place.file);
    fprintf(out, ":%d</code>", finding->place.line);
    return r;
}

static int put_finding(struct output_job *job, const struct finding *finding)
{
    FILE *out = job->out;
    fprintf(out, "<details><summary>%s", finding->rule->level == LEVEL_ERROR ? "<b>" : "");
    put_plain(out, finding->what);
    fputs(finding->rule->level == LEVEL_ERROR ? "</b>" : "", out);
    int r = put_place(out, finding);
    fputs("</summary>\n\n", out);
    if (r == 0)
        r = put_stacks(out, job, finding);
    fprintf(out, "\n<sub>fingerprint %s, ", finding->fingerprint);
    if (finding->leak && finding->leak->processes > 1)
        fprintf(out, "in %" PRIu32 " processes</sub>\n\n</details>\n\n", finding->leak->processes);
    else
        fprintf(out, "process %d</sub>\n\n</details>\n\n", finding->process->pid);
    return r;
}

static void put_row(struct output_job *job, const char *name, const struct output_sum *sum)
{
    char a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE], c[TEXT_NUMBER_SIZE];
    if (sum->leaks > 0)
        fprintf(job->out, "| %s | %s | %s | %s |\n", name, text_number(a, sum->leaks), text_number(b, sum->blocks),
                text_number(c, sum->bytes));
}

static int put_notes(struct output_job *job)
{
    const struct model *model = job->model;
    int r = 0;
    for (size_t i = 0; r == 0 && i < model->process_count; i++) {
        const struct process *process = model->processes[i];
        if (process->truncated)
            fprintf(job->out, "> process %d: the report is truncated: what was lost with its end is not counted\n\n",
                    process->pid);
        for (size_t j = 0; r == 0 && j < process->lacks_count; j++) {
            fprintf(job->out, "> process %d: ", process->pid);
            r = put_text(job->out, process->lacks[j]);
            fputs("\n\n", job->out);
        }
    }
    return r;
}

static int markdown_begin(struct output_job *job)
{
    char number[TEXT_NUMBER_SIZE];
    FILE *out = job->out;
    fputs(job->options->brief ? "" : "## memshim report\n\n", out);
    fprintf(out, "%s memory error%s, ", text_number(number, job->errors), text_plural(job->errors));
    fprintf(out, "%s leak%s in ", text_number(number, job->all.leaks), text_plural(job->all.leaks));
    fprintf(out, "%s process%s\n\n", text_number(number, job->model->process_count),
            job->model->process_count == 1 ? "" : "es");
    if (job->all.leaks + job->reachable.leaks + job->startup.leaks + job->interpreter.leaks + job->suppressed.leaks >
        0) {
        fputs("| | leaks | blocks | bytes |\n|---|--:|--:|--:|\n", out);
        for (size_t kind = 0; kind < LEAK_KIND_COUNT; kind++)
            put_row(job, out_text_kind((enum leak_kind)kind, job->known), &job->kinds[kind]);
        put_row(job, "still reachable", &job->reachable);
        put_row(job, "suppressed", &job->suppressed);
        put_row(job, "startup", &job->startup);
        put_row(job, "interpreter", &job->interpreter);
        fputc('\n', out);
    }
    return put_notes(job);
}

static int markdown_leak(struct output_job *job, const struct leak *leak)
{
    if (job->leaks_written == 1)
        fputs("### Leaks\n\n", job->out);
    return finding_from_leak(job, leak, put_finding);
}

static int markdown_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                          const struct error_stacks *stacks)
{
    if (job->errors_written == 1)
        fputs("### Memory errors\n\n", job->out);
    return finding_from_error(job, process, error, stacks, put_finding);
}

static int markdown_growth(struct output_job *job, const struct growth *growth)
{
    if (job->growing_written == 1)
        fputs("### Growth\n\n", job->out);
    return finding_from_growth(job, growth, put_finding);
}

static int markdown_end(struct output_job *job)
{
    char number[TEXT_NUMBER_SIZE];
    if (job->errors_hidden > 0)
        fprintf(job->out, "Not shown: %s more error%s.\n\n", text_number(number, job->errors_hidden),
                text_plural(job->errors_hidden));
    if (job->hidden.leaks > 0) {
        fprintf(job->out, "Not shown: %s more leak%s, ", text_number(number, job->hidden.leaks),
                text_plural(job->hidden.leaks));
        out_text_amount(job->out, job->hidden.bytes, job->hidden.blocks);
        fputs(".\n\n", job->out);
    }
    return 0;
}

static int put_diff_item(struct output_job *job, const struct finding *finding, const struct diff_item *item)
{
    FILE *out = job->out;
    fprintf(out,
            "<details><summary><b>%s</b>: %" PRIu64 " &rarr; %" PRIu64 " bytes, %" PRIu64 " &rarr; %" PRIu64
            " blocks (",
            diff_change_name(item->change), item->old_bytes, item->new_bytes, item->old_blocks, item->new_blocks);
    int r = put_text(out, item->leak->type ? item->leak->type : item->leak->domain);
    fputc(')', out);
    if (r == 0)
        r = put_place(out, finding);
    fputs("</summary>\n\n", out);
    if (r == 0)
        r = put_stacks(out, job, finding);
    fprintf(out, "\n<sub>fingerprint %s</sub>\n\n</details>\n\n", finding->fingerprint);
    return r;
}

static int markdown_diff(struct output_job *job, const struct diff *diff)
{
    FILE *out = job->out;
    int r = 0;
    fputs("## memshim diff\n\n| | leaks |\n|---|--:|\n", out);
    for (int change = DIFF_NEW; change < DIFF_CHANGE_COUNT; change++)
        fprintf(out, "| %s | %zu |\n", diff_change_name((enum diff_change)change), diff->changes[change]);
    fprintf(out,
            "\n%" PRIu64 " &rarr; %" PRIu64 " bytes in %" PRIu64 " &rarr; %" PRIu64 " blocks, %" PRIu64
            " &rarr; %" PRIu64 " memory errors\n\n",
            diff->old_bytes, diff->new_bytes, diff->old_blocks, diff->new_blocks, diff->old_errors, diff->new_errors);
    for (size_t i = 0; r == 0 && i < diff->count && i < job->top; i++)
        r = finding_from_diff(job, &diff->items[i], put_diff_item);
    if (diff->count > job->top)
        fprintf(out, "Not shown: %zu more differences.\n\n", diff->count - job->top);
    return r;
}

static int put_reason(FILE *out, const struct gate_verdict *verdict, const struct gate_reason *reason)
{
    _cleanup_free_ char *text = finding_reason(verdict, reason);
    if (!text)
        return -ENOMEM;
    fputs("- ", out);
    put_plain(out, text);
    fputc('\n', out);
    return 0;
}

static int markdown_gate(struct output_job *job, const struct gate_limits *limits, const struct gate_verdict *verdict)
{
    (void)limits;
    FILE *out = job->out;
    int r = 0;
    fprintf(out, "## memshim: the gate %s\n\n", verdict->passed ? "passed" : "failed");
    if (verdict->command_end) {
        fputs("- ", out);
        r = put_text(out, verdict->command_end);
        fputc('\n', out);
    }
    for (size_t i = 0; r == 0 && i < verdict->reason_count; i++)
        r = put_reason(out, verdict, &verdict->reasons[i]);
    fputc('\n', out);
    return r;
}

const struct output out_markdown = {
    .name = "markdown",
    .extension = ".md",
    .help = "summary for pull requests and CI",
    .top = TOP,
    .joined = true,
    .reachable_on_request = true,
    .evidence = true,
    .begin = markdown_begin,
    .error = markdown_error,
    .leak = markdown_leak,
    .growth = markdown_growth,
    .end = markdown_end,
    .diff = markdown_diff,
    .gate = markdown_gate,
    .table = out_table_markdown,
};
