/* SPDX-License-Identifier: MIT
 *
 * DHAT's file format, version 2, for valgrind's dh_view.html and the Firefox Profiler. What a program point counts here is
 * what was left at the end; neither lifetimes nor accesses are known, and "bklt" and "bkacc" say so. Two program points must
 * not have the same frames (dh_view fails on that), so that equal ones are added up first. */
#include "compiler.h"
#include "emit.h"
#include "frame_ids.h"
#include "out_machine.h"
#include "stackname.h"
#include "text.h"
#include "timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct dhat_point {
    uint64_t bytes, blocks;
};

struct dhat {
    struct frame_ids frames;
    struct intern stacks;      /* arrays of frame numbers, leaf first */
    struct dhat_point *points; /* by index of the stack */
    size_t room;
    uint32_t *ids; /* the stack at hand */
    size_t ids_room;
};

/* "0x1234: f (x.c:3)", "0x1234: ?? (in /lib/x.so)"; the address is that in the ELF file. */
static int put_frame_row(FILE *out, const struct frame *frame)
{
    fprintf(out, "0x%" PRIX64 ": ", frame->language == FRAME_NATIVE ? frame->offset : 0);
    if (frame->language == FRAME_CUT)
        stackname_put(out, frame);
    else
        fputs(frame->function, out);
    if (frame->file && frame->line > 0)
        fprintf(out, " (%s:%d)", text_base(frame->file), frame->line);
    else if (frame->file)
        fprintf(out, " (%s)", text_base(frame->file));
    else if (frame->language == FRAME_NATIVE && frame->module)
        fprintf(out, " (in %s)", frame->module);
    return 0;
}

static int dhat_begin(struct output_job *job)
{
    struct dhat *state = calloc(1, sizeof(*state));
    uint32_t root;
    if (!state)
        return -ENOMEM;
    job->state = state;
    state->frames.put = put_frame_row;
    return frame_ids_row(&state->frames, "[root]", &root);
}

/* Makes room for `count` ids. */
static int reserve_ids(struct dhat *state, size_t count)
{
    if (count <= state->ids_room)
        return 0;
    uint32_t *ids = reallocarray(state->ids, count, sizeof(*ids));
    if (!ids)
        return -ENOMEM;
    state->ids = ids;
    state->ids_room = count;
    return 0;
}

/* The program point of the first `count` of state->ids. */
static int find_point(struct dhat *state, size_t count, struct dhat_point **ret)
{
    uint32_t index;
    int r = intern_add(&state->stacks, state->ids, count * sizeof(*state->ids), &index);
    if (r < 0)
        return r;
    if (state->stacks.room > state->room) {
        struct dhat_point *points = reallocarray(state->points, state->stacks.room, sizeof(*points));
        if (!points)
            return -ENOMEM;
        memset(points + state->room, 0, (state->stacks.room - state->room) * sizeof(*points));
        state->points = points;
        state->room = state->stacks.room;
    }
    *ret = &state->points[index];
    return 0;
}

/* The label as the outermost frame. */
static int put_label(struct dhat *state, const char *label, uint32_t *ret)
{
    _cleanup_free_ char *row = NULL;
    return asprintf(&row, "0x0: [%s]", label) < 0 ? -ENOMEM : frame_ids_row(&state->frames, row, ret);
}

static int dhat_leak(struct output_job *job, const struct leak *leak)
{
    struct dhat *state = job->state;
    struct dhat_point *point = NULL;
    size_t count = 0;
    const struct stack *stack = leak_stack(leak);
    int r = reserve_ids(state, stack->size + 2);
    for (size_t i = 0; r == 0 && i < stack->size; i++) {
        const struct frame *frame = stack->frames[i];
        if (output_frame_shown(job->options, frame))
            r = frame_ids_of(&state->frames, frame, &state->ids[count++]);
    }
    if (r == 0 && leak->label)
        r = put_label(state, leak->label, &state->ids[count++]);
    /* dh_view cannot show a point without frames. */
    if (r == 0 && count == 0)
        r = frame_ids_row(&state->frames, "0x0: (no stack recorded)", &state->ids[count++]);
    if (r == 0)
        r = find_point(state, count, &point);
    if (r < 0 || !point)
        return r;
    point->bytes += leak->bytes;
    point->blocks += leak->blocks;
    return 0;
}

static void put_points(FILE *out, const struct dhat *state)
{
    for (size_t i = 0; i < state->stacks.count; i++) {
        const struct intern_entry *stack = &state->stacks.entries[i];
        const struct dhat_point *point = &state->points[i];
        const uint32_t *ids = stack->key;
        fprintf(out, "%s{\"tb\":%" PRIu64 ",\"tbk\":%" PRIu64 ",\"eb\":%" PRIu64 ",\"ebk\":%" PRIu64 ",\"fs\":[",
                i > 0 ? ",\n" : "\n", point->bytes, point->blocks, point->bytes, point->blocks);
        for (size_t j = 0; j < stack->size / sizeof(*ids); j++)
            fprintf(out, "%s%" PRIu32, j > 0 ? "," : "", ids[j]);
        fputs("]}", out);
    }
}

static int put_command(FILE *out, const struct process *process)
{
    struct memo memo;
    FILE *command = memo_open(&memo);
    if (!command)
        return -ENOMEM;
    for (size_t i = 0; process && i < process->argc; i++)
        fprintf(command, "%s%s", i > 0 ? " " : "", process->argv[i]);
    if (process && process->argc == 0 && process->program)
        fputs(process->program, command);
    _cleanup_free_ char *text = memo_close(&memo);
    if (!text)
        return -ENOMEM;
    emit_json(out, text);
    return 0;
}

/* The first process stands for all: the format knows one only. */
static int dhat_end(struct output_job *job)
{
    FILE *out = job->out;
    const struct dhat *state = job->state;
    const struct process *process = job->model->process_count > 0 ? job->model->processes[0] : NULL;
    uint64_t span = process ? timestamp_span(process->started, process->ended_at) : 0;
    fputs("{\"dhatFileVersion\":2,\"mode\":\"memshim\",\"verb\":\"Still allocated\",\"bklt\":false,\"bkacc\":false,"
          "\"tu\":\"us\",\"Mtu\":\"s\",\n\"cmd\":",
          out);
    int r = put_command(out, process);
    fprintf(out, ",\"pid\":%d,\"te\":%" PRIu64 ",\n\"pps\":[", process ? process->pid : 0, span > 0 ? span : 1);
    put_points(out, state);
    fputs("],\n\"ftbl\":[", out);
    for (size_t i = 0; i < state->frames.rows.count; i++) {
        fputs(i > 0 ? ",\n" : "\n", out);
        emit_json(out, state->frames.rows.entries[i].key);
    }
    fputs("]}\n", out);
    return r;
}

static void dhat_done(struct output_job *job)
{
    struct dhat *state = job->state;
    if (!state)
        return;
    frame_ids_clear(&state->frames);
    intern_clear(&state->stacks);
    free(state->points);
    free(state->ids);
    free(state);
    job->state = NULL;
}

const struct output out_dhat = {
    .name = "dhat",
    .extension = ".dhat.json",
    .help = "DHAT file, for dh_view.html and the Firefox Profiler",
    .top = 0,
    .begin = dhat_begin,
    .leak = dhat_leak,
    .end = dhat_end,
    .done = dhat_done,
};
