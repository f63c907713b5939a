/* SPDX-License-Identifier: MIT
 *
 * Tables for spreadsheets: RFC 4180, one row for each error and each leak, numbers without separators. */
#include "compiler.h"
#include "emit.h"
#include "finding.h"
#include "out_machine.h"
#include "out_table.h"
#include "stackname.h"

#include <errno.h>
#include <inttypes.h>

static const char header[] = "record,pid,kind,known,startup,domain,type,blocks,bytes,count,detail,fingerprint,function,"
                             "file,line,module,stack,label\r\n";

static int csv_begin(struct output_job *job)
{
    fputs(header, job->out);
    return 0;
}

static void put_text(FILE *out, const char *text)
{
    fputc(',', out);
    emit_csv(out, text);
}

static void put_number(FILE *out, uint64_t value)
{
    fprintf(out, ",%" PRIu64, value);
}

/* Functions only, innermost first, with " < " between them. */
static int put_stack(FILE *out, const struct output_job *job, const struct stack *stack)
{
    struct memo memo;
    FILE *names = memo_open(&memo);
    if (!names)
        return -ENOMEM;
    bool any = false;
    for (size_t i = 0; i < stack->size; i++) {
        const struct frame *frame = stack->frames[i];
        if (frame->language == FRAME_CUT || !output_frame_shown(job->options, frame))
            continue;
        fputs(any ? " < " : "", names);
        stackname_put(names, frame);
        any = true;
    }
    _cleanup_free_ char *text = memo_close(&memo);
    if (!text)
        return -ENOMEM;
    put_text(out, text);
    return 0;
}

/* The columns that leaks and errors share, after the others. */
static int put_place(struct output_job *job, const struct finding *finding)
{
    FILE *out = job->out;
    const struct frame *frame = finding->place.frame;
    put_text(out, finding->fingerprint);
    put_text(out, finding->function);
    put_text(out, finding->place.file);
    if (frame)
        put_number(out, (uint64_t)finding->place.line);
    else
        fputc(',', out);
    put_text(out, frame ? frame->module : NULL);
    int r = put_stack(out, job, finding->stack);
    put_text(out, finding->leak ? finding->leak->label : NULL);
    fputs("\r\n", out);
    return r;
}

static int put_leak(struct output_job *job, const struct finding *finding)
{
    FILE *out = job->out;
    const struct leak *leak = finding->leak;
    fprintf(out, "leak,%d,%s,%s,%s", leak->process->pid, leak_kind_name(leak->kind), leak->known ? "true" : "false",
            leak->startup ? "true" : "false");
    put_text(out, leak->domain);
    put_text(out, leak->type);
    put_number(out, leak->blocks);
    put_number(out, leak->bytes);
    fputs(",,", out);
    return put_place(job, finding);
}

static int put_error(struct output_job *job, const struct finding *finding)
{
    FILE *out = job->out;
    const struct memory_error *error = finding->error;
    fprintf(out, "error,%d", finding->process->pid);
    put_text(out, error->kind);
    fputs(",,", out);
    put_text(out, error->domain);
    fputs(",,1", out);
    put_number(out, error->size);
    put_number(out, error->count);
    put_text(out, error->detail);
    return put_place(job, finding);
}

static int csv_leak(struct output_job *job, const struct leak *leak)
{
    return finding_from_leak(job, leak, put_leak);
}

static int csv_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                     const struct error_stacks *stacks)
{
    return finding_from_error(job, process, error, stacks, put_error);
}

static int csv_end(struct output_job *job)
{
    (void)job;
    return 0;
}

static int csv_diff(struct output_job *job, const struct diff *diff)
{
    FILE *out = job->out;
    fputs("change,kind,domain,type,old_blocks,old_bytes,new_blocks,new_bytes,fingerprint,stack\r\n", out);
    for (size_t i = 0; i < diff->count && i < job->top; i++) {
        const struct diff_item *item = &diff->items[i];
        const struct leak *leak = item->leak;
        fprintf(out, "%s,%s", diff_change_name(item->change), leak_kind_name(leak->kind));
        put_text(out, leak->domain);
        put_text(out, leak->type);
        put_number(out, item->old_blocks);
        put_number(out, item->old_bytes);
        put_number(out, item->new_blocks);
        put_number(out, item->new_bytes);
        put_text(out, leak->fingerprint);
        if (put_stack(out, job, leak_stack(leak)) < 0)
            return -ENOMEM;
        fputs("\r\n", out);
    }
    return 0;
}

const struct output out_csv = {
    .name = "csv",
    .extension = ".csv",
    .help = "table for spreadsheets",
    .top = 0,
    .begin = csv_begin,
    .error = csv_error,
    .leak = csv_leak,
    .end = csv_end,
    .diff = csv_diff,
    .table = out_table_csv,
};
