/* SPDX-License-Identifier: MIT
 *
 * The frames of a process as people read them: each raw frame is resolved once, into one frame or, where functions were
 * inlined, several, that all stacks share. Layer: between symbols and merge. Not thread-safe. */
#ifndef ANALYZER_FRAMES_H
#define ANALYZER_FRAMES_H

#include "leaks.h"

enum resolved_flags {
    RESOLVED_EVALUATION = 1u << 0,  /* native: a C evaluation function, which stands for a run of Python frames */
    RESOLVED_TAIL_CALL = 1u << 1,   /* and one of those that another evaluation function has entered by a tail call */
    RESOLVED_INTERPRETER = 1u << 2, /* native: in libpython or a Python executable */
    RESOLVED_SHIM = 1u << 3,        /* native: in libmemshim.so: of no interest to anyone */
    RESOLVED_ENTRY = 1u << 4,       /* Python: the outermost frame of its run */
    RESOLVED_CUT = 1u << 5,
    RESOLVED_LEAVING = 1u << 6, /* native: clears a Python frame that is on its chain no more */
};

/* A frame and what it is called in fingerprints. */
struct known_frame {
    struct frame frame; /* first: stacks point at it */
    uint64_t identity;
};

struct resolved {
    const struct known_frame *frames; /* innermost first; NULL = not resolved yet */
    uint16_t count;
    uint16_t flags; /* enum resolved_flags */
};

struct frame_table;

/* The table of `process`, made on first use; it lives as long as `symbols`. NULL when memory is out. */
struct frame_table *frame_table_of(struct symbols *symbols, const struct process *process);
const struct process *frame_table_process(const struct frame_table *table);

/* The option stack_depth of the process: of each stack so many innermost frames are shown. */
size_t frame_table_depth(const struct frame_table *table);

/* A mark for `frames` frames that are left out, 0 = how many is not known; the same one each time. NULL when memory is out. */
const struct resolved *frame_table_cut(struct frame_table *table, uint64_t frames);

/* What frame `id` of the process is. NULL when memory is out. */
const struct resolved *frame_table_resolve(struct frame_table *table, uint32_t id);

/* What is known up to now: frame_table_resolve's answers by id, without frames where it was not asked yet. */
const struct resolved *frame_table_known(const struct frame_table *table);

/* Finds out which stacks have a frame that `wanted` (1 yes, 0 no, or -ENOMEM) says is one, of the frames that were resolved up to
 * now: each frame is asked for once, each node is looked at once. Takes the place of an earlier call. Returns 0 or -ENOMEM. */
typedef int (*frame_wanted)(const struct frame *frame, void *context);
int frame_table_choose(struct frame_table *table, frame_wanted wanted, void *context);

/* Whether the stack of the trace may have such a frame: only where this is false it is sure to have none. */
bool frame_table_is_chosen(const struct frame_table *table, uint32_t trace);

#endif
