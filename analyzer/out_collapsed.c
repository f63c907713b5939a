/* SPDX-License-Identifier: MIT
 *
 * Collapsed stacks for flamegraph.pl, inferno and speedscope: "root;...;leaf BYTES", one leak a line. Frames are named by
 * function (Python ones with the base name of their file), not by line, so that a function is one box. */
#include "compiler.h"
#include "out_machine.h"
#include "stackname.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>

/* `;` and newlines separate frames and stacks, so they cannot be part of a name. */
static void put_name(FILE *out, const char *name)
{
    for (; *name; name++)
        fputc(*name == ';' ? ':' : (unsigned char)*name < 0x20 || *name == 0x7f ? ' ' : *name, out);
}

static int put_frame(FILE *out, const struct frame *frame)
{
    _cleanup_free_ char *name = stackname_of(frame);
    if (!name)
        return -ENOMEM;
    put_name(out, name);
    if (frame->language == FRAME_PYTHON && frame->file) {
        fputs(" (", out);
        put_name(out, text_base(frame->file));
        fputc(')', out);
    }
    return 0;
}

static int put_process(FILE *out, const struct process *process)
{
    _cleanup_free_ char *name = stackname_process(process);
    if (!name)
        return -ENOMEM;
    put_name(out, name);
    return 0;
}

/* Writes "root;...;leaf "; with more than one process, the process is the root. A label is below that. */
static int put_stack(struct output_job *job, const struct leak *leak)
{
    FILE *out = job->out;
    const struct stack *stack = leak_stack(leak);
    bool any = job->model->process_count > 1;
    int r = any ? put_process(out, leak->process) : 0;
    if (leak->label) {
        fputs(any ? ";[" : "[", out);
        put_name(out, leak->label);
        fputc(']', out);
        any = true;
    }
    for (size_t i = stack->size; r == 0 && i-- > 0;) {
        if (!output_frame_shown(job->options, stack->frames[i]))
            continue;
        if (any)
            fputc(';', out);
        r = put_frame(out, stack->frames[i]);
        any = true;
    }
    fputs(any ? " " : "(no stack recorded) ", out);
    return r;
}

static int collapsed_begin(struct output_job *job)
{
    (void)job;
    return 0;
}

static int collapsed_leak(struct output_job *job, const struct leak *leak)
{
    int r = put_stack(job, leak);
    fprintf(job->out, "%" PRIu64 "\n", leak->bytes);
    return r;
}

static int collapsed_end(struct output_job *job)
{
    (void)job;
    return 0;
}

/* Two numbers, before and after, as flamegraph.pl takes them for a differential flame graph. */
static int collapsed_diff(struct output_job *job, const struct diff *diff)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < diff->count && i < job->top; i++) {
        const struct diff_item *item = &diff->items[i];
        r = put_stack(job, item->leak);
        fprintf(job->out, "%" PRIu64 " %" PRIu64 "\n", item->old_bytes, item->new_bytes);
    }
    return r;
}

const struct output out_collapsed = {
    .name = "collapsed",
    .extension = ".collapsed",
    .help = "stacks with bytes, for flamegraph.pl and its like",
    .top = 0,
    .begin = collapsed_begin,
    .leak = collapsed_leak,
    .end = collapsed_end,
    .diff = collapsed_diff,
};
