/* SPDX-License-Identifier: MIT
 *
 * JSON reports: one leak at a time is a jansson tree, the document never is. See out_json.h. */
#include "out_json.h"

#include "compiler.h"
#include "memshim/report.h"
#include "out_table.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>

json_t *out_json_string(const char *text)
{
    if (!text)
        return json_null();
    json_t *string = json_string(text);
    if (string)
        return string;
    _cleanup_free_ char *valid = text_utf8(text);
    return valid ? json_string(valid) : NULL;
}

json_t *out_json_number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *hex(uint64_t value)
{
    return json_sprintf("0x%" PRIx64, value);
}

int out_json_item(FILE *out, uint64_t number, json_t *item)
{
    if (!item)
        return -ENOMEM;
    fputs(number > 1 ? ",\n" : "\n", out);
    /* A failed write stays in the stream, where output.c looks; what is left is memory. */
    int r = json_dumpf(item, out, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(item);
    return r < 0 && !ferror(out) ? -ENOMEM : 0;
}

static json_t *strings(const char *const *items, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(array, out_json_string(items[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *totals_of(const struct totals *totals)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "allocations",
                     out_json_number(totals->allocations), "frees", out_json_number(totals->frees), "live_blocks",
                     out_json_number(totals->live_blocks), "live_bytes", out_json_number(totals->live_bytes),
                     "peak_bytes", out_json_number(totals->peak_bytes), "dropped", out_json_number(totals->dropped),
                     "sample", out_json_number(totals->sample), "error_bytes", out_json_number(totals->error_bytes),
                     "self_checks", out_json_number(totals->self_checks), "self_check_differences",
                     out_json_number(totals->self_check_differences));
}

/* "fragmentation": the part of the arenas that no live block has, 0 without arenas. What is not known is null. */
static json_t *arenas_of(const struct arenas *arenas)
{
    double used = arenas->bytes ? (double)arenas->used_bytes / (double)arenas->bytes : 1;
    if (!arenas->known)
        return json_null();
    if (!arenas->blocks_known)
        return json_pack("{s:o, s:o, s:o, s:n, s:n, s:n, s:n, s:n}", "mapped", out_json_number(arenas->count), "bytes",
                         out_json_number(arenas->bytes), "peak_bytes", out_json_number(arenas->peak_bytes),
                         "live_blocks", "live_bytes", "used_bytes", "fragmentation", "sparse");
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o}", "mapped", out_json_number(arenas->count), "bytes",
                     out_json_number(arenas->bytes), "peak_bytes", out_json_number(arenas->peak_bytes), "live_blocks",
                     out_json_number(arenas->live_blocks), "live_bytes", out_json_number(arenas->live_bytes),
                     "used_bytes", out_json_number(arenas->used_bytes), "fragmentation", MAX(1 - used, 0.0), "sparse",
                     out_json_number(arenas->sparse));
}

json_t *out_json_process(const struct process *process)
{
    json_t *argv = process->argc > 0 ? strings(process->argv, process->argc) : json_null();
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:b, s:b, s:o, s:o, s:o, s:{s:o, s:o}}", "pid",
        process->pid, "ppid", process->ppid, "sequence", process->sequence, "snapshot", process->snapshot, "program",
        out_json_string(process->program), "argv", argv, "python", out_json_string(process->python), "started",
        out_json_string(process->started), "ended_at", out_json_string(process->ended_at), "ended",
        out_json_string(process->ended ? process->ended : "unknown"), "status", process->status, "forked",
        process->forked, "truncated", process->truncated, "totals", totals_of(&process->totals), "lacks",
        strings(process->lacks, process->lacks_count), "arenas", arenas_of(&process->arenas), "startup", "blocks",
        out_json_number(process->totals.startup_blocks), "bytes", out_json_number(process->totals.startup_bytes));
}

static json_t *frame_of(const struct frame *frame)
{
    bool python = frame->language == FRAME_PYTHON;
    json_t *object =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "language", python ? "python" : "native", "function",
                  out_json_string(frame->function), "file", out_json_string(frame->file), "line",
                  frame->line > 0 ? json_integer(frame->line) : json_null(), "module",
                  out_json_string(python ? NULL : frame->module), "offset", python ? json_null() : hex(frame->offset));
    if (object && ((frame->inlined && json_object_set_new(object, "inlined", json_true()) < 0) ||
                   (frame->runtime && json_object_set_new(object, "runtime", json_true()) < 0))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *out_json_stack(const struct output_options *options, const struct stack *stack)
{
    json_t *array = json_array();
    for (size_t i = 0; i < stack->size; i++) {
        const struct frame *frame = stack->frames[i];
        if (frame->language == FRAME_CUT || !output_frame_shown(options, frame))
            continue;
        if (json_array_append_new(array, frame_of(frame)) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* True if stack_depth left frames out. */
static bool stack_is_cut(const struct stack *stack)
{
    for (size_t i = 0; i < stack->size; i++) {
        if (stack->frames[i]->language == FRAME_CUT)
            return true;
    }
    return false;
}

/* What the reference audit says, or null. */
static json_t *references_of(const struct leak_references *references)
{
    static const char *const names[CONFIDENCE_NAMES] = {"none", "low", "medium", "high"};
    if (!references)
        return json_null();
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "confidence", names[references->confidence], "objects",
                     out_json_number(references->objects), "surplus", out_json_number(references->surplus), "least",
                     out_json_number(references->least), "most", out_json_number(references->most), "cycles",
                     out_json_number(references->cycles), "unseen", out_json_string(references->unseen));
}

json_t *out_json_leak(const struct output_options *options, const struct leak *leak)
{
    return json_pack("{s:i, s:s, s:b, s:o, s:o, s:o, s:b, s:b, s:b, s:b, s:o, s:o, s:s, s:b, s:o, s:o, s:o}", "pid",
                     leak->process->pid, "kind", leak_kind_name(leak->kind), "known", leak->known, "domain",
                     out_json_string(leak->domain), "type", out_json_string(leak->type), "label",
                     out_json_string(leak->label), "startup", leak->startup, "interpreter", leak->interpreter,
                     "ignored", leak->ignored, "suppressed", leak->suppressed != NULL, "blocks",
                     out_json_number(leak->blocks), "bytes", out_json_number(leak->bytes), "fingerprint",
                     leak->fingerprint, "stack_cut", stack_is_cut(leak_stack(leak)), "error_bytes",
                     out_json_number(leak_error_bytes(leak)), "references", references_of(leak->references), "stack",
                     out_json_stack(options, leak_stack(leak)));
}

int out_json_processes(struct output_job *job)
{
    fputs("\"processes\":[", job->out);
    for (size_t i = 0; i < job->model->process_count; i++) {
        int r = out_json_item(job->out, i + 1, out_json_process(job->model->processes[i]));
        if (r < 0)
            return r;
    }
    fputs("]", job->out);
    return 0;
}

static int json_begin(struct output_job *job)
{
    fprintf(job->out, "{\"schema\":\"%s\",\n", MEMSHIM_JSON_SCHEMA);
    int r = out_json_processes(job);
    fputs(",\n\"errors\":[", job->out);
    return r;
}

static int json_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                      const struct error_stacks *stacks)
{
    const struct output_options *options = job->options;
    json_t *item =
        json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "pid", process->pid, "kind",
                  out_json_string(error->kind), "address", hex(error->address), "size", out_json_number(error->size),
                  "domain", out_json_string(error->domain), "count", out_json_number(error->count), "detail",
                  out_json_string(error->detail), "stack", out_json_stack(options, &stacks->found), "alloc_stack",
                  out_json_stack(options, &stacks->allocated), "free_stack", out_json_stack(options, &stacks->freed));
    return out_json_item(job->out, job->errors_written, item);
}

/* The errors end where the leaks begin; without leaks, at the end. */
static void begin_leaks(struct output_job *job)
{
    fputs("],\n\"leaks\":[", job->out);
}

static int json_leak(struct output_job *job, const struct leak *leak)
{
    if (job->leaks_written == 1)
        begin_leaks(job);
    return out_json_item(job->out, job->leaks_written, out_json_leak(job->options, leak));
}

static void begin_growth(struct output_job *job)
{
    if (job->leaks_written == 0)
        begin_leaks(job);
    fputs("],\n\"growth\":[", job->out);
}

static int json_growth(struct output_job *job, const struct growth *growth)
{
    if (job->growing_written == 1)
        begin_growth(job);
    return out_json_item(
        job->out, job->growing_written,
        json_pack("{s:i, s:s, s:i, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:f, s:o}", "pid", growth->process->pid,
                  "fingerprint", growth->fingerprint, "intervals", (int)growth->intervals, "blocks_per_interval",
                  growth->blocks_per_interval, "bytes_per_interval", growth->bytes_per_interval, "blocks_per_second",
                  growth->blocks_per_second, "bytes_per_second", growth->bytes_per_second, "first_blocks",
                  out_json_number(growth->first_blocks), "first_bytes", out_json_number(growth->first_bytes),
                  "last_blocks", out_json_number(growth->last_blocks), "last_bytes",
                  out_json_number(growth->last_bytes), "confidence", growth->confidence, "stack",
                  out_json_stack(job->options, &growth->stack)));
}

static json_t *sum_of(const struct output_sum *sum)
{
    return json_pack("{s:o, s:o, s:o}", "leaks", out_json_number(sum->leaks), "blocks", out_json_number(sum->blocks),
                     "bytes", out_json_number(sum->bytes));
}

static int put_pin(struct output_job *job, const struct process *process, const struct pin *pin, uint64_t number)
{
    struct stack stack = {0};
    int r = stack_build(process, pin->trace, job->symbols, &stack);
    if (r == 0)
        r = out_json_item(job->out, number,
                          json_pack("{s:i, s:o, s:o, s:o, s:o}", "pid", process->pid, "arenas",
                                    out_json_number(pin->arenas), "blocks", out_json_number(pin->blocks), "bytes",
                                    out_json_number(pin->bytes), "stack", out_json_stack(job->options, &stack)));
    stack_clear(&stack);
    return r;
}

/* Stacks that keep nearly empty arenas. */
static int put_pins(struct output_job *job)
{
    uint64_t number = 0;
    int r = 0;
    fputs("],\n\"pins\":[", job->out);
    for (size_t i = 0; i < job->model->process_count; i++) {
        const struct process *process = job->model->processes[i];
        for (size_t k = 0; r == 0 && job->symbols && k < process->pin_count; k++)
            r = put_pin(job, process, &process->pins[k], ++number);
    }
    return r;
}

static int json_end(struct output_job *job)
{
    if (job->growing_written == 0)
        begin_growth(job);
    int r = put_pins(job);
    if (r < 0)
        return r;
    json_t *summary =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "all", sum_of(&job->all), "suppressed", sum_of(&job->suppressed),
                  "startup", sum_of(&job->startup), "interpreter", sum_of(&job->interpreter), "hidden",
                  sum_of(&job->hidden), "errors", out_json_number(job->errors));
    for (size_t kind = 0; summary && kind < LEAK_KIND_COUNT; kind++) {
        if (json_object_set_new(summary, leak_kind_name((enum leak_kind)kind), sum_of(&job->kinds[kind])) < 0) {
            json_decref(summary);
            summary = NULL;
        }
    }
    fputs("],\n\"summary\":", job->out);
    r = out_json_item(job->out, 1, summary);
    fputs("}\n", job->out);
    return r;
}

const struct output out_json = {
    .name = "json",
    .extension = ".json",
    .help = "one JSON document, schema " MEMSHIM_JSON_SCHEMA,
    .top = 0,
    .marks_suppressed = true,
    .begin = json_begin,
    .error = json_error,
    .leak = json_leak,
    .growth = json_growth,
    .end = json_end,
    .diff = out_json_diff,
    .gate = out_json_gate,
    .info = out_json_info,
    .table = out_table_json,
};
