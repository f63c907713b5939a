/* SPDX-License-Identifier: MIT
 *
 * Both stacks are walked from the inside outwards. No Python frame is ever lost: those that found no evaluation frame,
 * because the native stack is cut, was not recorded, or runs through code without names, go where they do least harm. */
#include "merge.h"

#include "compiler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 1024 /* twice the deepest stack that the shim records; what is beyond is shown as cut */

/* Where the walk stands. */
struct walk {
    const struct resolved **native, **python;
    size_t native_count, python_count, taken; /* Python frames taken so far */
    size_t idle;                              /* evaluation frames that have no run */
    size_t runs;                              /* evaluation frames replaced */
    size_t last_run;                          /* place in the result behind the last of them */
    size_t interpreter;                       /* place in the result of the innermost interpreter frame */
    bool has_interpreter;
};

void merge_clear(struct merge *merge)
{
    free(merge->frames);
    free(merge->native);
    free(merge->python);
    *merge = (struct merge){0};
}

static int merge_prepare(struct merge *merge)
{
    if (!merge->native)
        merge->native = calloc(CHAIN_MAX, sizeof(*merge->native));
    if (!merge->python)
        merge->python = calloc(CHAIN_MAX, sizeof(*merge->python));
    merge->size = 0;
    return merge->native && merge->python ? 0 : -ENOMEM;
}

/* The mark for `node` and what is further out: its frames, and those that were cut off already. */
static const struct resolved *chain_rest(struct frame_table *table, uint32_t node)
{
    const struct process *process = frame_table_process(table);
    uint64_t frames = 0;

    for (; node; node = process->nodes[node].parent) {
        const struct raw_frame *raw = &process->frames[process->nodes[node].frame];

        if (raw->language != FRAME_CUT)
            frames++;
        else if (raw->offset)
            frames += raw->offset;
        else
            return frame_table_cut(table, 0);
    }
    return frame_table_cut(table, frames);
}

/* Resolves the frames from `node` to its root, without those of the shim. Returns their number or -ENOMEM. */
static int chain_resolve(struct frame_table *table, uint32_t node, const struct resolved **ret)
{
    const struct process *process = frame_table_process(table);
    const struct resolved *known = frame_table_known(table);
    int count = 0, depth = (int)MIN(frame_table_depth(table), (size_t)CHAIN_MAX - 1);

    for (; node; node = process->nodes[node].parent) {
        const struct resolved *resolved = &known[process->nodes[node].frame];

        if (!resolved->frames && !frame_table_resolve(table, process->nodes[node].frame))
            return -ENOMEM;
        if (resolved->flags & RESOLVED_SHIM)
            continue;
        if (count == depth && !(resolved->flags & RESOLVED_CUT)) {
            ret[count] = chain_rest(table, node);
            return ret[count] ? count + 1 : -ENOMEM;
        }
        ret[count++] = resolved;
        if (count > depth)
            break;
    }
    return count;
}

/* Makes room for all frames of both chains: nothing below has to ask for memory. */
static int reserve(struct merge *merge, const struct walk *walk)
{
    const struct frame **larger;
    size_t count = 0;

    for (size_t i = 0; i < walk->native_count; i++)
        count += walk->native[i]->count;
    for (size_t i = 0; i < walk->python_count; i++)
        count += walk->python[i]->count;
    if (count <= merge->capacity)
        return 0;
    larger = reallocarray(merge->frames, 2 * count, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    merge->frames = larger;
    merge->capacity = 2 * count;
    return 0;
}

static void append(struct merge *merge, const struct resolved *resolved)
{
    for (size_t i = 0; i < resolved->count; i++)
        merge->frames[merge->size++] = &resolved->frames[i].frame;
}

static bool python_left(const struct walk *walk)
{
    return walk->taken < walk->python_count;
}

/* Appends the Python frames up to the next entry frame. A cut stands for runs of unknown number and is taken alone. */
static void append_run(struct merge *merge, struct walk *walk)
{
    while (python_left(walk)) {
        const struct resolved *next = walk->python[walk->taken];

        if (next->flags & RESOLVED_CUT)
            break;
        walk->taken++;
        append(merge, next);
        if (next->flags & RESOLVED_ENTRY)
            break;
    }
    walk->runs++;
    walk->last_run = merge->size;
}

static void append_evaluation(struct merge *merge, struct walk *walk, const struct resolved *native,
                              unsigned int before)
{
    if (!python_left(walk)) {
        append(merge, native);
    } else if (walk->idle && (native->flags | before) & RESOLVED_LEAVING) {
        walk->idle--;
        append(merge, native);
    } else if (!(walk->python[walk->taken]->flags & RESOLVED_CUT)) {
        append_run(merge, walk);
    } else {
        append(merge, walk->python[walk->taken++]);
        walk->runs++;
        walk->last_run = merge->size;
        append(merge, native);
    }
}

/* An evaluation function that clears its outermost Python frame, whose locals may do anything on their way out, has none
 * on the chain any more. How many of those there are shows only where both stacks are whole. */
static size_t count_idle(const struct walk *walk)
{
    size_t evaluations = 0, entries = 0;
    unsigned int flags = 0;

    for (size_t i = 0; i < walk->native_count; i++) {
        if (walk->native[i]->flags & RESOLVED_EVALUATION && !(flags & RESOLVED_TAIL_CALL))
            evaluations++;
        flags = walk->native[i]->flags;
    }
    if (flags & RESOLVED_CUT)
        return 0;
    for (size_t i = 0; i < walk->python_count; i++) {
        flags = walk->python[i]->flags;
        entries += (flags & RESOLVED_ENTRY) != 0;
    }
    return flags & RESOLVED_CUT || evaluations < entries ? 0 : evaluations - entries;
}

static void append_native(struct merge *merge, struct walk *walk)
{
    unsigned int before = 0;

    for (size_t i = 0; i < walk->native_count; i++) {
        const struct resolved *native = walk->native[i];

        if (native->flags & RESOLVED_INTERPRETER && !walk->has_interpreter) {
            walk->has_interpreter = true;
            walk->interpreter = merge->size;
        }
        if (!(native->flags & RESOLVED_EVALUATION))
            append(merge, native);
        else if (!(before & RESOLVED_TAIL_CALL)) /* the function that made the tail call belongs to the same run */
            append_evaluation(merge, walk, native, before);
        before = native->flags;
    }
}

/* Where the Python frames go for which there was no evaluation frame. */
static size_t place_for_rest(const struct merge *merge, const struct walk *walk)
{
    bool native_cut = walk->native_count && walk->native[walk->native_count - 1]->flags & RESOLVED_CUT;

    if (walk->runs && !native_cut)
        return walk->last_run;
    if (!walk->runs && walk->has_interpreter) /* evaluation functions without names are among its frames */
        return walk->interpreter;
    return merge->size;
}

static void insert_rest(struct merge *merge, struct walk *walk)
{
    size_t place = place_for_rest(merge, walk), count = 0, moved;
    bool after_cut = place > 0 && place == merge->size && merge->frames[place - 1]->language == FRAME_CUT;

    for (size_t i = walk->taken; i < walk->python_count; i++)
        count += walk->python[i]->count;
    /* One mark is enough where both stacks are cut at the same place. */
    if (after_cut && walk->python_count - walk->taken == 1 && walk->python[walk->taken]->flags & RESOLVED_CUT)
        return;
    moved = merge->size - place;
    memmove(merge->frames + place + count, merge->frames + place, moved * sizeof(*merge->frames));
    merge->size = place;
    for (; walk->taken < walk->python_count; walk->taken++)
        append(merge, walk->python[walk->taken]);
    merge->size += moved;
}

int merge_trace(struct merge *merge, struct frame_table *table, uint32_t trace)
{
    const struct trace *of = &frame_table_process(table)->traces[trace];
    struct walk walk = {0};
    int native, python, r;

    if (merge->table == table && merge->trace == trace)
        return 0;
    merge->table = NULL;
    r = merge_prepare(merge);
    if (r < 0)
        return r;
    native = chain_resolve(table, of->native, merge->native);
    python = chain_resolve(table, of->python, merge->python);
    if (native < 0 || python < 0)
        return -ENOMEM;
    walk.native = merge->native;
    walk.native_count = (size_t)native;
    walk.python = merge->python;
    walk.python_count = (size_t)python;
    walk.idle = python ? count_idle(&walk) : 0;
    r = reserve(merge, &walk);
    if (r < 0)
        return r;
    append_native(merge, &walk);
    if (python_left(&walk))
        insert_rest(merge, &walk);
    merge->table = table;
    merge->trace = trace;
    return 0;
}
