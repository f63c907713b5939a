/* SPDX-License-Identifier: MIT
 *
 * Text for people of everything that is not a report: differences, the verdict of a gate, what was traced. */
#include "compiler.h"
#include "finding.h"
#include "out_text.h"
#include "stackname.h"
#include "term.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char *style(const struct output_job *job, enum term_style which)
{
    return term_style(job->options->color, which);
}

/* "+1,600 bytes in +100 blocks" */
static void put_moved(FILE *out, uint64_t from, uint64_t to, const char *unit)
{
    char number[TEXT_NUMBER_SIZE];
    uint64_t by = to > from ? to - from : from - to;
    fprintf(out, "%s%s %s%s", to >= from ? "+" : "-", text_number(number, by), unit, text_plural(by));
}

static void put_diff_item(struct output_job *job, const struct diff_item *item, size_t number, size_t count)
{
    static const enum term_style styles[DIFF_CHANGE_COUNT] = {
        [DIFF_NEW] = STYLE_BAD, [DIFF_GROWN] = STYLE_BAD, [DIFF_SHRUNK] = STYLE_GOOD, [DIFF_GONE] = STYLE_GOOD};
    FILE *out = job->out;
    const struct leak *leak = item->leak;
    fprintf(out, "\n%s%s%s: ", style(job, styles[item->change]), diff_change_name(item->change),
            style(job, STYLE_NONE));
    put_moved(out, item->old_bytes, item->new_bytes, "byte");
    fputs(", ", out);
    put_moved(out, item->old_blocks, item->new_blocks, "block");
    if (item->change == DIFF_GROWN || item->change == DIFF_SHRUNK) {
        fputs(", now ", out);
        out_text_amount(out, item->new_bytes, item->new_blocks);
    }
    fprintf(out, " %s (", out_text_kind(leak->kind, leak->known));
    text_escape(out, leak->domain);
    if (leak->type) {
        fputs(", ", out);
        text_escape(out, leak->type);
    }
    out_text_label(out, leak->label);
    fprintf(out, "), #%zu of %zu\n", number, count);
    out_text_stack(job, leak_stack(leak));
}

int out_text_diff(struct output_job *job, const struct diff *diff)
{
    FILE *out = job->out;
    size_t shown = MIN(diff->count, job->top);
    for (size_t i = 0; i < shown; i++)
        put_diff_item(job, &diff->items[i], i + 1, diff->count);
    if (shown < diff->count)
        fprintf(out, "\nnot shown: %zu more difference%s (--top 0 shows all)\n", diff->count - shown,
                text_plural(diff->count - shown));
    fprintf(out, "%s%sSUMMARY: ", shown > 0 ? "\n" : "", style(job, diff_is_worse(diff) ? STYLE_STRONG : STYLE_GOOD));
    if (diff->count == 0)
        fputs("no difference in leaks", out);
    for (int change = DIFF_NEW; diff->count > 0 && change < DIFF_SAME; change++)
        fprintf(out, "%s%zu %s", change == DIFF_NEW ? "" : ", ", diff->changes[change],
                diff_change_name((enum diff_change)change));
    fputs("; ", out);
    out_text_amount(out, diff->old_bytes, diff->old_blocks);
    fputs(" before, ", out);
    out_text_amount(out, diff->new_bytes, diff->new_blocks);
    fputs(" now", out);
    if (diff->old_errors != diff->new_errors)
        fprintf(out, "; errors: %" PRIu64 " before, %" PRIu64 " now", diff->old_errors, diff->new_errors);
    fprintf(out, "%s\n", style(job, STYLE_NONE));
    return 0;
}

/* "; see leaky.c:61 in make_token": the line to fix, where the reason for it stands. */
static int put_first_place(struct output_job *job, const struct leak *leak)
{
    struct place place;
    if (!leak)
        return 0;
    place_find(job, leak_stack(leak), &place);
    if (!place.frame || place.frame->runtime)
        return 0;
    _cleanup_free_ char *function = stackname_of(place.frame);
    if (!function)
        return -ENOMEM;
    fputs("; see ", job->out);
    text_escape(job->out, place.file);
    fprintf(job->out, ":%d in ", place.line);
    text_escape(job->out, function);
    return 0;
}

static void put_failure(struct output_job *job, const char *text)
{
    fprintf(job->out, "%smemshim: gate failed:%s ", style(job, STYLE_BAD), style(job, STYLE_NONE));
    text_escape(job->out, text);
}

static int put_reason(struct output_job *job, const struct gate_verdict *verdict, const struct gate_reason *reason)
{
    _cleanup_free_ char *text = finding_reason(verdict, reason);
    if (!text)
        return -ENOMEM;
    put_failure(job, text);
    int r = reason->rule >= GATE_ERRORS ? 0 : put_first_place(job, verdict->counts.first[reason->scope]);
    fputc('\n', job->out);
    return r;
}

static int put_failures(struct output_job *job, const struct gate_verdict *verdict)
{
    int r = 0;
    if (verdict->command_end) {
        put_failure(job, verdict->command_end);
        fputc('\n', job->out);
    }
    for (size_t i = 0; r == 0 && i < verdict->reason_count; i++)
        r = put_reason(job, verdict, &verdict->reasons[i]);
    if (verdict->accept) {
        fputs("memshim: to accept what is lost now: ", job->out);
        text_escape(job->out, verdict->accept);
        fputc('\n', job->out);
    }
    return r;
}

int out_text_gate(struct output_job *job, const struct gate_limits *limits, const struct gate_verdict *verdict)
{
    (void)limits;
    FILE *out = job->out;
    char number[TEXT_NUMBER_SIZE];
    const struct gate_counts *counts = &verdict->counts;
    if (!verdict->passed)
        return put_failures(job, verdict);
    fprintf(out, "%smemshim: gate passed:%s ", style(job, STYLE_GOOD), style(job, STYLE_NONE));
    if (counts->errors > 0)
        fprintf(out, "%s memory error%s, ", text_number(number, counts->errors), text_plural(counts->errors));
    if (counts->blocks[GATE_TOTAL] == 0) {
        fputs("no leaks\n", out);
    } else {
        out_text_amount(out, counts->bytes[GATE_TOTAL], counts->blocks[GATE_TOTAL]);
        fputs(" still allocated, within the limits\n", out);
    }
    if (verdict->blind)
        fputs("memshim: note: no scan told lost blocks from used ones, and no limit was set for such blocks: "
              "use --max-bytes or --max-blocks\n",
              out);
    return 0;
}

/* One line of info: a name, padded, and what follows. */
static FILE *info_line(struct output_job *job, const char *name)
{
    fprintf(job->out, "    %-14s ", name);
    return job->out;
}

static void info_text(struct output_job *job, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    text_escape(info_line(job, name), text);
    fputc('\n', job->out);
}

static void info_number(struct output_job *job, const char *name, uint64_t value)
{
    char number[TEXT_NUMBER_SIZE];
    fprintf(info_line(job, name), "%s\n", text_number(number, value));
}

static void info_command(struct output_job *job, const struct process *process)
{
    if (process->argc == 0)
        return;
    FILE *out = info_line(job, "command");
    for (size_t i = 0; i < process->argc; i++) {
        fputs(i > 0 ? " " : "", out);
        text_escape(out, process->argv[i]);
    }
    fputc('\n', out);
}

/* The entries of a table of the model that are not its empty first one. */
static size_t without_empty(size_t count)
{
    return count > 0 ? count - 1 : 0;
}

static void info_counts(struct output_job *job, const struct process *process)
{
    const struct totals *totals = &process->totals;
    info_number(job, "allocations", totals->allocations);
    info_number(job, "frees", totals->frees);
    out_text_amount(info_line(job, "live"), totals->live_bytes, totals->live_blocks);
    fputc('\n', job->out);
    out_text_amount(info_line(job, "startup"), totals->startup_bytes, totals->startup_blocks);
    fputc('\n', job->out);
    info_number(job, "peak bytes", totals->peak_bytes);
    info_number(job, "dropped", totals->dropped);
    info_number(job, "threads", totals->threads);
    if (totals->inherited_frees > 0)
        info_number(job, "inherited", totals->inherited_frees);
    if (totals->refused > 0)
        info_number(job, "refused", totals->refused);
    if (totals->self_checks > 0) {
        char a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE];
        fprintf(info_line(job, "self checks"), "%s, %s difference%s\n", text_number(a, totals->self_checks),
                text_number(b, totals->self_check_differences), text_plural(totals->self_check_differences));
    }
    fprintf(info_line(job, "tables"), "%zu groups, %zu errors, %zu stacks, %zu frames, %zu code objects, %zu modules\n",
            process->group_count, process->error_count, without_empty(process->trace_count),
            without_empty(process->frame_count), without_empty(process->code_count),
            without_empty(process->module_count));
}

/* Percent of `of`. */
static double part_of(uint64_t part, uint64_t of)
{
    return of ? 100.0 * (double)part / (double)of : 0;
}

static const char *why_blocks_unknown(const struct process *process)
{
    if (process->forked)
        return "those of the parent are not known";
    return process->totals.sample ? "only a sample of them is known" : "not all of them are recorded";
}

static void info_arenas(struct output_job *job, const struct process *process)
{
    const struct arenas *arenas = &process->arenas;
    char a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE];
    if (!arenas->known)
        return;
    fprintf(info_line(job, "arenas"), "%s byte%s in %s arena%s", text_number(a, arenas->bytes),
            text_plural(arenas->bytes), text_number(b, arenas->count), text_plural(arenas->count));
    if (arenas->count > 0 && arenas->blocks_known)
        fprintf(job->out, ", %.0f %% used", part_of(arenas->used_bytes, arenas->bytes));
    if (arenas->sparse > 0)
        fprintf(job->out, ", %s nearly empty", text_number(a, arenas->sparse));
    fprintf(job->out, "; at most %s bytes", text_number(a, arenas->peak_bytes));
    if (!arenas->blocks_known)
        fprintf(job->out, "; how much blocks use: %s", why_blocks_unknown(process));
    fputc('\n', job->out);
}

static void put_info(struct output_job *job, const struct process *process)
{
    out_text_process(job, process);
    info_text(job, "file", process->path ? text_below(process->path, job->folder) : NULL);
    info_command(job, process);
    fprintf(info_line(job, "parent"), "%d%s\n", process->ppid,
            process->forked ? " (forked from a traced process)" : "");
    if (process->sequence > 0)
        fprintf(info_line(job, "image"), "%d (after exec)\n", process->sequence);
    info_text(job, "started", process->started);
    info_text(job, "ended", process->ended_at);
    info_text(job, "memshim", process->version);
    info_text(job, "options", process->options);
    info_counts(job, process);
    info_arenas(job, process);
}

int out_text_info(struct output_job *job)
{
    for (size_t i = 0; i < job->model->process_count; i++) {
        fputs(i > 0 ? "\n" : "", job->out);
        put_info(job, job->model->processes[i]);
    }
    return 0;
}
