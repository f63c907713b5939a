/* SPDX-License-Identifier: MIT
 *
 * The file format of speedscope.app: one profile of bytes and one of blocks over the same stacks. The table of frames comes
 * last, since it is known then; leaks are remembered by address, as they outlive the document. */
#include "compiler.h"
#include "emit.h"
#include "frame_ids.h"
#include "out_machine.h"
#include "stackname.h"

#include <errno.h>
#include <inttypes.h>

#define SCHEMA "https://www.speedscope.app/file-format-schema.json"

struct speedscope {
    const struct leak **leaks;
    size_t count, room;
    struct frame_ids frames;
};

static int put_frame_row(FILE *out, const struct frame *frame)
{
    _cleanup_free_ char *name = stackname_of(frame);
    if (!name)
        return -ENOMEM;
    fputs("{\"name\":", out);
    emit_json(out, name);
    const char *file = frame->file ? frame->file : frame->language == FRAME_NATIVE ? frame->module : NULL;
    if (file) {
        fputs(",\"file\":", out);
        emit_json(out, file);
    }
    if (frame->line > 0)
        fprintf(out, ",\"line\":%d", frame->line);
    fputc('}', out);
    return 0;
}

static int speedscope_begin(struct output_job *job)
{
    struct speedscope *state = calloc(1, sizeof(*state));
    if (!state)
        return -ENOMEM;
    state->frames.put = put_frame_row;
    job->state = state;
    return 0;
}

static int speedscope_leak(struct output_job *job, const struct leak *leak)
{
    struct speedscope *state = job->state;
    if (state->count == state->room) {
        size_t room = state->room ? 2 * state->room : 64;
        const struct leak **leaks = reallocarray(state->leaks, room, sizeof(*leaks));
        if (!leaks)
            return -ENOMEM;
        state->leaks = leaks;
        state->room = room;
    }
    state->leaks[state->count++] = leak;
    return 0;
}

static uint64_t weight_of(const struct leak *leak, bool bytes)
{
    return bytes ? leak->bytes : leak->blocks;
}

/* The label as a frame of its own. */
static int put_label(FILE *out, struct frame_ids *frames, const char *label)
{
    struct memo memo;
    FILE *row = memo_open(&memo);
    uint32_t id = 0;
    if (!row)
        return -ENOMEM;
    fputs("{\"name\":", row);
    emit_json(row, label);
    fputc('}', row);
    _cleanup_free_ char *text = memo_close(&memo);
    int r = text ? frame_ids_row(frames, text, &id) : -ENOMEM;
    if (r == 0)
        fprintf(out, "%" PRIu32, id);
    return r;
}

/* One sample: the numbers of the frames, root first. */
static int put_sample(struct output_job *job, struct frame_ids *frames, const struct leak *leak)
{
    const struct stack *stack = leak_stack(leak);
    bool any = leak->label != NULL;
    fputc('[', job->out);
    int r = any ? put_label(job->out, frames, leak->label) : 0;
    if (r < 0)
        return r;
    for (size_t i = stack->size; i-- > 0;) {
        uint32_t id;
        if (!output_frame_shown(job->options, stack->frames[i]))
            continue;
        r = frame_ids_of(frames, stack->frames[i], &id);
        if (r < 0)
            return r;
        fprintf(job->out, "%s%" PRIu32, any ? "," : "", id);
        any = true;
    }
    fputc(']', job->out);
    return 0;
}

static int put_profile(struct output_job *job, const char *name, bool bytes)
{
    FILE *out = job->out;
    struct speedscope *state = job->state;
    uint64_t end = 0;
    for (size_t i = 0; i < state->count; i++)
        end += weight_of(state->leaks[i], bytes);
    fprintf(out,
            "{\"type\":\"sampled\",\"name\":\"%s\",\"unit\":\"%s\",\"startValue\":0,\"endValue\":%" PRIu64
            ",\n\"samples\":[",
            name, bytes ? "bytes" : "none", end);
    for (size_t i = 0; i < state->count; i++) {
        fputs(i > 0 ? ",\n" : "\n", out);
        int r = put_sample(job, &state->frames, state->leaks[i]);
        if (r < 0)
            return r;
    }
    fputs("],\n\"weights\":[", out);
    for (size_t i = 0; i < state->count; i++)
        fprintf(out, "%s%" PRIu64, i > 0 ? "," : "", weight_of(state->leaks[i], bytes));
    fputs("]}", out);
    return 0;
}

static void put_frames(FILE *out, const struct intern *rows)
{
    fputs("\"shared\":{\"frames\":[", out);
    for (size_t i = 0; i < rows->count; i++)
        fprintf(out, "%s%s", i > 0 ? ",\n" : "\n", (const char *)rows->entries[i].key);
    fputs("]}", out);
}

static int speedscope_end(struct output_job *job)
{
    FILE *out = job->out;
    struct speedscope *state = job->state;
    fprintf(out, "{\"$schema\":\"%s\",\n\"exporter\":\"memshim@%s\",\n\"name\":", SCHEMA, MEMSHIM_VERSION);
    emit_json(out, job->model->process_count > 0 ? job->model->processes[0]->program : "memshim");
    fputs(",\n\"activeProfileIndex\":0,\n\"profiles\":[\n", out);
    int r = put_profile(job, "bytes", true);
    fputs(",\n", out);
    if (r == 0)
        r = put_profile(job, "blocks", false);
    fputs("],\n", out);
    put_frames(out, &state->frames.rows);
    fputs("}\n", out);
    return r;
}

static void speedscope_done(struct output_job *job)
{
    struct speedscope *state = job->state;
    if (!state)
        return;
    free(state->leaks);
    frame_ids_clear(&state->frames);
    free(state);
    job->state = NULL;
}

const struct output out_speedscope = {
    .name = "speedscope",
    .extension = ".speedscope.json",
    .help = "profile for speedscope.app",
    .top = 0,
    .begin = speedscope_begin,
    .leak = speedscope_leak,
    .end = speedscope_end,
    .done = speedscope_done,
};
