/* SPDX-License-Identifier: MIT
 *
 * Valgrind's blocks (Valgrind User Manual, "Suppressing errors"): a name, a kind as Tool:Kind, lines of that kind's own, and
 * frames from the innermost one on, of which there may be fewer than in the stack. */
#include "suppress.h"

#include "compiler.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_FRAMES_MAX 24

static const struct {
    const char *prefix;
    enum suppress_part part;
} parts[] = {{"fun:", PART_FUNCTION}, {"obj:", PART_OBJECT}, {"src:", PART_SOURCE}};

static const char *add_frame(struct suppression *rule, enum suppress_part part, const char *glob)
{
    if (rule->frame_count == BLOCK_FRAMES_MAX)
        return "the block has too many frames";
    struct suppress_frame *frames = reallocarray(rule->frames, rule->frame_count + 1, sizeof(*frames));
    if (!frames)
        return "out of memory";
    rule->frames = frames;
    frames[rule->frame_count] = (struct suppress_frame){part, strdup(glob)};
    return frames[rule->frame_count++].glob ? NULL : "out of memory";
}

static const char *take_frame(struct suppression *rule, const char *line)
{
    static const char kinds[] = "match-leak-kinds:";

    if (strcmp(line, "...") == 0)
        return add_frame(rule, PART_ELLIPSIS, "");
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (strncmp(line, parts[i].prefix, strlen(parts[i].prefix)) == 0)
            return add_frame(rule, parts[i].part, line + strlen(parts[i].prefix));
    if (strncmp(line, kinds, strlen(kinds)) == 0) {
        line += strlen(kinds);
        return suppress_parse_kinds(line + strspn(line, " \t"), &rule->kinds) ? NULL : "unknown kinds of leaks";
    }
    return "not a frame: want fun:, obj:, src: or ...";
}

const char *suppress_block_line(struct suppress_block *block, char *line)
{
    switch (block->lines++) {
    case 0:
        block->rule.text = strdup(line);
        return block->rule.text ? NULL : "out of memory";
    case 1:
        if (!strchr(line, ':'))
            return "the second line of a block is Tool:Kind";
        block->leak = strcmp(line, "Memcheck:Leak") == 0;
        return NULL;
    default:
        return block->leak ? take_frame(&block->rule, line) : NULL;
    }
}

/* ---- matching ---- */

/* Valgrind's stacks begin in the allocator, ours at its caller. */
static bool is_allocator(const struct suppress_frame *frame)
{
    static const char *const names[] = {"malloc",   "calloc",         "realloc",
                                        "memalign", "posix_memalign", "aligned_alloc",
                                        "_Znwm",    "_Znam",          "operator new(unsigned long)"};

    if (frame->part != PART_FUNCTION)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (suppress_glob_matches(frame->glob, names[i]))
            return true;
    return false;
}

/* `src:FILE` or `src:FILE:LINE`. */
static bool source_matches(const char *glob, const struct frame *frame)
{
    char place[4096];
    const char *slash = frame->file ? strrchr(frame->file, '/') : NULL, *name = slash ? slash + 1 : frame->file;

    if (!name)
        return false;
    snprintf(place, sizeof(place), "%s:%d", name, frame->line);
    return suppress_glob_matches(glob, name) || suppress_glob_matches(glob, place);
}

static bool frame_matches(const struct suppress_frame *wanted, const struct frame *frame)
{
    bool python = frame->language == FRAME_PYTHON;

    switch (wanted->part) {
    case PART_FUNCTION: /* a Python frame stands for the interpreter's evaluation function */
        return suppress_glob_matches(wanted->glob, python ? "_PyEval_EvalFrameDefault" : frame->function) ||
               (frame->mangled && suppress_glob_matches(wanted->glob, frame->mangled));
    case PART_OBJECT:
        return frame->module && suppress_glob_matches(wanted->glob, frame->module);
    case PART_SOURCE:
        return source_matches(wanted->glob, frame);
    default:
        return false;
    }
}

/* Whether the frames begin with those wanted. After a mismatch only the last ... can take more. */
static bool frames_match(const struct suppress_frame *wanted, size_t count, const struct frame *const *frames,
                         size_t size)
{
    size_t at = 0, i = 0, after = 0, rest = 0;
    bool any = false;

    while (i < count) {
        if (wanted[i].part == PART_ELLIPSIS) {
            any = true;
            after = ++i;
            rest = at;
        } else if (at < size && frame_matches(&wanted[i], frames[at])) {
            i++;
            at++;
        } else if (any && rest < size) {
            i = after;
            at = ++rest;
        } else {
            return false;
        }
    }
    return true;
}

bool suppress_block_matches(const struct suppression *rule, const struct stack *stack)
{
    const struct frame *const *frames = stack->frames;

    if (frames_match(rule->frames, rule->frame_count, frames, stack->size))
        return true;
    return rule->frame_count > 1 && is_allocator(rule->frames) &&
           frames_match(rule->frames + 1, rule->frame_count - 1, frames, stack->size);
}
