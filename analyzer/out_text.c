/* SPDX-License-Identifier: MIT
 *
 * Text reports. Whatever comes from a report file goes through text_escape. See out_text.h. */
#include "out_text.h"

#include "compiler.h"
#include "options.h"
#include "out_table.h"
#include "rounded.h"
#include "term.h"
#include "text.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

#define PROCESSES_PLAIN_MAX 10 /* processes without anything to say that are still listed */
#define FRAMES_UNFOLDED_MAX 8  /* of a stack that has runtime frames only */

const char *out_text_kind(enum leak_kind kind, bool known)
{
    static const char *const names[LEAK_KIND_COUNT] = {
        [LEAK_DEFINITE] = "definitely lost",
        [LEAK_INDIRECT] = "indirectly lost",
        [LEAK_POSSIBLE] = "possibly lost",
        [LEAK_REACHABLE] = "still reachable",
    };
    return known ? names[kind] : "still allocated";
}

void out_text_label(FILE *out, const char *label)
{
    if (!label)
        return;
    fputs(", label \"", out);
    text_escape(out, label);
    fputc('"', out);
}

void out_text_amount(FILE *out, uint64_t bytes, uint64_t blocks)
{
    char a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE];
    fprintf(out, "%s byte%s in %s block%s", text_number(a, bytes), text_plural(bytes), text_number(b, blocks),
            text_plural(blocks));
}

static const char *style(const struct output_job *job, enum term_style which)
{
    return term_style(job->options->color, which);
}

void out_text_ended(FILE *out, const struct process *process)
{
    const char *ended = process->ended ? process->ended : "unknown";
    if (strcmp(ended, "exit") == 0) {
        fprintf(out, "exited with status %d", process->status);
    } else if (strcmp(ended, "signal") == 0) {
        const char *name = sigabbrev_np(process->status);
        fprintf(out, "killed by signal %d%s%s%s", process->status, name ? " (SIG" : "", name ? name : "",
                name ? ")" : "");
    } else if (strcmp(ended, "exec") == 0) {
        fputs("replaced itself by another program", out);
    } else if (strcmp(ended, "killed") == 0) {
        fputs("killed, or ended without a word", out);
    } else if (process->snapshot) {
        fprintf(out, "snapshot %d of the running process", process->snapshot);
    } else {
        fputs("still running, or its end is not known", out);
    }
}

static void put_note(struct output_job *job, const char *text)
{
    fprintf(job->out, "    %snote: ", style(job, STYLE_WARN));
    text_escape(job->out, text);
    fprintf(job->out, "%s\n", style(job, STYLE_NONE));
}

/* True if the process ran with leak_check=0, so that no leak means nothing. */
static bool leaks_unchecked(const struct process *process)
{
    struct options options;
    options_defaults(&options);
    options_parse(&options, process->options, NULL, NULL);
    return !options.leak_check;
}

void out_text_process(struct output_job *job, const struct process *process)
{
    FILE *out = job->out;
    fprintf(out, "process %d: ", process->pid);
    text_escape(out, process->program && *process->program ? process->program : "?");
    if (process->python) {
        fputs(" (Python ", out);
        text_escape(out, process->python);
        fputc(')', out);
    }
    fputs(", ", out);
    out_text_ended(out, process);
    fputc('\n', out);
    if (process->truncated)
        put_note(job, "the report is truncated: what was lost with its end is not counted");
    if (process->totals.dropped > 0) {
        char number[TEXT_NUMBER_SIZE], text[80];
        snprintf(text, sizeof(text), "%s event%s could not be recorded", text_number(number, process->totals.dropped),
                 text_plural(process->totals.dropped));
        put_note(job, text);
    }
    if (process->totals.sample > 0) {
        char mean[TEXT_NUMBER_SIZE], live[TEXT_NUMBER_SIZE], error[TEXT_NUMBER_SIZE], text[200];
        snprintf(text, sizeof(text), "sampled every %s bytes: numbers are estimates; %s live bytes, standard error %s",
                 text_number(mean, process->totals.sample), text_number(live, process->totals.live_bytes),
                 text_number(error, process->totals.error_bytes));
        put_note(job, text);
    }
    for (size_t i = 0; i < process->lacks_count; i++)
        put_note(job, process->lacks[i]);
    if (leaks_unchecked(process))
        put_note(job, "leaks were not looked for (leak_check=0)");
}

/* Nothing to say but that it was there. */
static bool process_is_plain(const struct process *process)
{
    bool ended = process->ended && (strcmp(process->ended, "exit") == 0 || strcmp(process->ended, "exec") == 0);
    return ended && process->error_count == 0 && !process->truncated && process->lacks_count == 0 &&
           process->totals.dropped == 0;
}

/* Bytes that the program left, startup not counted. */
static uint64_t weight_of(const struct process *process)
{
    const struct totals *totals = &process->totals;
    return totals->live_bytes > totals->startup_bytes ? totals->live_bytes - totals->startup_bytes : 0;
}

/* True if `process` is among the PROCESSES_PLAIN_MAX plain ones of most weight. */
static bool process_is_heavy(const struct model *model, const struct process *process)
{
    size_t heavier = 0;
    bool before = true; /* of equal ones the first are listed */
    for (size_t i = 0; i < model->process_count && heavier < PROCESSES_PLAIN_MAX; i++) {
        const struct process *other = model->processes[i];
        before = before && other != process;
        if (process_is_plain(other) &&
            (weight_of(other) > weight_of(process) || (before && weight_of(other) == weight_of(process))))
            heavier++;
    }
    return heavier < PROCESSES_PLAIN_MAX;
}

static int text_begin(struct output_job *job)
{
    if (job->options->brief)
        return 0;
    size_t skipped = 0;
    for (size_t i = 0; i < job->model->process_count; i++) {
        const struct process *process = job->model->processes[i];
        if (process_is_plain(process) && !process_is_heavy(job->model, process))
            skipped++;
        else
            out_text_process(job, process);
    }
    if (skipped > 0)
        fprintf(job->out, "and %zu more process%s that ended by exit or exec\n", skipped, skipped == 1 ? "" : "es");
    return 0;
}

static void put_location(struct output_job *job, const struct frame *frame)
{
    FILE *out = job->out;
    if (!frame->file)
        return;
    fputs(" (", out);
    fputs(style(job, STYLE_STRONG), out);
    text_escape(out, text_below(frame->file, job->folder));
    if (frame->line > 0)
        fprintf(out, ":%d", frame->line);
    fputs(style(job, STYLE_NONE), out);
    fputc(')', out);
}

static void put_module(FILE *out, const struct frame *frame)
{
    if (frame->module) {
        fputs(" in ", out);
        text_escape(out, text_base(frame->module));
        if (!frame->file)
            fprintf(out, "+0x%" PRIx64, frame->offset);
    } else if (!frame->file) {
        fprintf(out, " at 0x%" PRIx64, frame->offset);
    }
}

static void put_frame(struct output_job *job, size_t number, const struct frame *frame)
{
    FILE *out = job->out;
    if (frame->language == FRAME_CUT) {
        if (frame->offset > 0)
            fprintf(out, "    ... %" PRIu64 " more frame%s cut by stack_depth\n", frame->offset,
                    text_plural(frame->offset));
        else
            fputs("    ... the rest was cut by stack_depth\n", out);
        return;
    }
    fprintf(out, "    #%zu %s", number, frame->language == FRAME_PYTHON ? "py  " : "");
    text_escape(out, frame->function);
    put_location(job, frame);
    if (frame->language == FRAME_NATIVE)
        put_module(out, frame);
    fputs(frame->inlined ? " [inlined]\n" : "\n", out);
}

/* How many frames from `first` on are folded into one line: 0 or a run of runtime frames. */
static size_t run_of_runtime(const struct output_options *options, const struct stack *stack, size_t first)
{
    size_t i = first;
    while (i < stack->size && stack->frames[i]->runtime && stack->frames[i]->language != FRAME_CUT &&
           output_frame_shown(options, stack->frames[i]))
        i++;
    return i - first;
}

static bool has_own_frames(const struct output_options *options, const struct stack *stack)
{
    for (size_t i = 0; i < stack->size; i++) {
        const struct frame *frame = stack->frames[i];
        if (!frame->runtime && frame->language != FRAME_CUT && output_frame_shown(options, frame))
            return true;
    }
    return false;
}

static void put_folded(struct output_job *job, size_t count)
{
    fprintf(job->out, "    %s... %zu runtime frame%s (--show runtime)%s\n", style(job, STYLE_FAINT), count,
            text_plural(count), style(job, STYLE_NONE));
}

void out_text_stack(struct output_job *job, const struct stack *stack)
{
    const struct output_options *options = job->options;
    size_t unfolded = options->show & SHOW_RUNTIME     ? SIZE_MAX
                      : has_own_frames(options, stack) ? 0
                                                       : FRAMES_UNFOLDED_MAX;
    bool any = false;
    for (size_t i = 0; i < stack->size;) {
        size_t run = i >= unfolded ? run_of_runtime(options, stack, i) : 0;
        if (run > 0) {
            put_folded(job, run);
            any = true;
            i += run;
            continue;
        }
        if (output_frame_shown(options, stack->frames[i])) {
            put_frame(job, i, stack->frames[i]);
            any = true;
        }
        i++;
    }
    if (!any)
        fputs("    (no stack recorded)\n", job->out);
}

static void put_process(struct output_job *job, const struct process *process, uint32_t processes)
{
    if (processes > 1)
        fprintf(job->out, ", in %u processes", processes);
    else if (job->model->process_count > 1)
        fprintf(job->out, ", in process %d", process->pid);
}

static int text_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                      const struct error_stacks *stacks)
{
    FILE *out = job->out;
    char number[TEXT_NUMBER_SIZE];
    fprintf(out, "\n%sERROR: ", style(job, STYLE_BAD));
    text_escape(out, error->kind);
    fprintf(out, "%s: block of %s byte%s at 0x%" PRIx64 " (", style(job, STYLE_NONE), text_number(number, error->size),
            text_plural(error->size), error->address);
    text_escape(out, error->domain);
    fputc(')', out);
    if (error->detail && *error->detail) {
        fputs(": ", out);
        text_escape(out, error->detail);
    }
    if (error->count > 1)
        fprintf(out, ", %s times", text_number(number, error->count));
    fprintf(out, ", #%" PRIu64 " of %" PRIu64, job->errors_written, job->errors);
    put_process(job, process, 1);
    fputc('\n', out);
    out_text_stack(job, &stacks->found);
    if (error->alloc_trace) {
        fputs("  allocated by\n", out);
        out_text_stack(job, &stacks->allocated);
    }
    if (error->free_trace) {
        fputs("  freed by\n", out);
        out_text_stack(job, &stacks->freed);
    }
    return 0;
}

static enum term_style kind_style(const struct leak *leak)
{
    if (!leak->known || leak->kind == LEAK_REACHABLE)
        return STYLE_STRONG;
    return leak->kind == LEAK_DEFINITE ? STYLE_BAD : STYLE_WARN;
}

/* What the reference audit says. */
void out_text_references(FILE *out, const struct leak *leak)
{
    static const char *const names[CONFIDENCE_NAMES] = {"none", "low", "medium", "high"};
    const struct leak_references *said = leak->references;
    char a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE], c[TEXT_NUMBER_SIZE];

    if (!said)
        return;
    if (said->objects > 0) {
        fprintf(out, "    over-referenced: %s object%s with ", text_number(a, said->objects),
                text_plural(said->objects));
        if (said->least == said->most)
            fprintf(out, "%s count%s", text_number(b, said->most), text_plural(said->most));
        else
            fprintf(out, "%s to %s counts", text_number(b, said->least), text_number(c, said->most));
        fprintf(out, " more than there are references: a Py_DECREF is missing (confidence: %s)\n",
                names[said->confidence]);
    }
    if (said->cycles > 0) {
        fprintf(out, "    %s cycle%s that the collector does not free: tp_traverse of ", text_number(a, said->cycles),
                text_plural(said->cycles));
        text_escape(out, said->unseen ? said->unseen : "??");
        fprintf(out, " is missing, or does not visit a reference (confidence: %s)\n", names[said->confidence]);
    }
}

static int text_leak(struct output_job *job, const struct leak *leak)
{
    FILE *out = job->out;
    fprintf(out, "\n%s", style(job, kind_style(leak)));
    out_text_amount(out, leak->bytes, leak->blocks);
    if (leak->variance > 0) {
        char error[TEXT_NUMBER_SIZE];
        fprintf(out, " (estimated, standard error %s bytes)", text_number(error, leak_error_bytes(leak)));
    }
    fprintf(out, " %s%s (", out_text_kind(leak->kind, leak->known), style(job, STYLE_NONE));
    text_escape(out, leak->domain);
    if (leak->type) {
        fputs(", ", out);
        text_escape(out, leak->type);
    }
    out_text_label(out, leak->label);
    fprintf(out, "), #%" PRIu64 " of %" PRIu64, job->leaks_written, job->matching);
    put_process(job, leak->process, leak->processes);
    fputs(leak->startup       ? ", startup\n"
          : leak->interpreter ? ", interpreter\n"
          : leak->suppressed  ? ", suppressed\n"
                              : "\n",
          out);
    out_text_references(out, leak);
    out_text_stack(job, leak_stack(leak));
    return 0;
}

static int text_growth(struct output_job *job, const struct growth *growth)
{
    char a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE], c[TEXT_NUMBER_SIZE], d[TEXT_NUMBER_SIZE];

    fprintf(job->out, "\n%sgrowing by %s bytes in %s blocks an interval%s (%s bytes a second)", style(job, STYLE_WARN),
            text_number(a, rounded(growth->bytes_per_interval)), text_number(b, rounded(growth->blocks_per_interval)),
            style(job, STYLE_NONE), text_number(c, rounded(growth->bytes_per_second)));
    fprintf(job->out, ", #%" PRIu64 " of %" PRIu64, job->growing_written, job->growing);
    put_process(job, growth->process, 1);
    fprintf(job->out, "\n    from %s to %s bytes, %s to %s blocks, ", text_number(a, growth->first_bytes),
            text_number(b, growth->last_bytes), text_number(c, growth->first_blocks),
            text_number(d, growth->last_blocks));
    fprintf(job->out, "over %zu intervals (confidence: %.1f %%)\n", growth->intervals,
            100 * (growth->confidence < 0.999 ? growth->confidence : 0.999));
    out_text_stack(job, &growth->stack);
    return 0;
}

static void put_leak_sums(struct output_job *job)
{
    char number[TEXT_NUMBER_SIZE];
    FILE *out = job->out;
    if (job->all.leaks == 0) {
        fputs("no leaks", out);
        return;
    }
    fprintf(out, "%s leak%s", text_number(number, job->all.leaks), text_plural(job->all.leaks));
    for (size_t kind = 0; kind < LEAK_KIND_COUNT; kind++) {
        const struct output_sum *sum = &job->kinds[kind];
        if (sum->leaks == 0)
            continue;
        fputs(", ", out);
        out_text_amount(out, sum->bytes, sum->blocks);
        /* Where those are left out that a scan found reachable, these are of processes without a scan. */
        bool known = job->known && !(kind == LEAK_REACHABLE && job->quiet_reachable && job->guessed);
        fprintf(out, " %s", out_text_kind((enum leak_kind)kind, known));
    }
}

static void put_hidden(struct output_job *job)
{
    char number[TEXT_NUMBER_SIZE];
    if (job->errors_hidden > 0)
        fprintf(job->out, "\nnot shown: %s more error%s (--top 0 shows all)\n", text_number(number, job->errors_hidden),
                text_plural(job->errors_hidden));
    if (job->hidden.leaks == 0)
        return;
    fprintf(job->out, "\nnot shown: %s more leak%s, ", text_number(number, job->hidden.leaks),
            text_plural(job->hidden.leaks));
    out_text_amount(job->out, job->hidden.bytes, job->hidden.blocks);
    fputs(job->matching > job->listed ? " (--top 0 shows all)\n" : "\n", job->out);
}

static bool any_truncated(const struct model *model)
{
    for (size_t i = 0; i < model->process_count; i++) {
        if (model->processes[i]->truncated)
            return true;
    }
    return false;
}

/* What is counted, and shown only when asked for. */
static void put_background(struct output_job *job, const char *name, const struct output_sum *sum, unsigned int bit)
{
    char a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE];
    if (sum->blocks == 0)
        return;
    fprintf(job->out, "; %s: %s block%s, %s byte%s", name, text_number(a, sum->blocks), text_plural(sum->blocks),
            text_number(b, sum->bytes), text_plural(sum->bytes));
    if (!(job->options->show & bit))
        fprintf(job->out, " (--show %s)", bit == SHOW_REACHABLE ? "reachable" : name);
}

static uint64_t suppressed_errors(const struct model *model)
{
    uint64_t errors = 0;
    for (size_t i = 0; i < model->process_count; i++)
        errors += model->processes[i]->suppressed_errors;
    return errors;
}

static int text_end(struct output_job *job)
{
    FILE *out = job->out;
    char a[TEXT_NUMBER_SIZE];
    put_hidden(job);
    bool bad = job->errors > 0 || job->all.leaks > 0;
    fprintf(out, "\n%sSUMMARY%s: ", style(job, bad ? STYLE_STRONG : STYLE_GOOD),
            job->options->filtered ? " (of what --filter lets pass)" : "");
    if (job->errors > 0)
        fprintf(out, "%s error%s, ", text_number(a, job->errors), text_plural(job->errors));
    put_leak_sums(job);
    if (job->growing)
        fprintf(out, ", %s growing stack%s", text_number(a, job->growing), text_plural(job->growing));
    if (any_truncated(job->model))
        fputs(" in the part that could be read", out);
    put_background(job, "still reachable", &job->reachable, SHOW_REACHABLE);
    put_background(job, "suppressed", &job->suppressed, SHOW_SUPPRESSED);
    if (suppressed_errors(job->model) > 0)
        fprintf(out, "; suppressed errors: %s", text_number(a, suppressed_errors(job->model)));
    put_background(job, "startup", &job->startup, SHOW_STARTUP);
    put_background(job, "interpreter", &job->interpreter, SHOW_INTERPRETER);
    fprintf(out, "%s\n", style(job, STYLE_NONE));
    return 0;
}

const struct output out_text = {
    .name = "text",
    .extension = ".txt",
    .help = "for people",
    .top = 20,
    .joined = true,
    .reachable_on_request = true,
    .evidence = true,
    .begin = text_begin,
    .error = text_error,
    .leak = text_leak,
    .growth = text_growth,
    .end = text_end,
    .diff = out_text_diff,
    .gate = out_text_gate,
    .info = out_text_info,
    .table = out_table_text,
};
