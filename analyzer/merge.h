/* SPDX-License-Identifier: MIT
 *
 * One stack out of two: the native stack of a trace, in which each C evaluation frame of CPython is replaced by the
 * Python frames that it ran. Layer: between frames and leaks. Not thread-safe. */
#ifndef ANALYZER_MERGE_H
#define ANALYZER_MERGE_H

#include "frames.h"

/* Memory used again from stack to stack; zeroed is empty. */
struct merge {
    const struct frame **frames; /* the result, innermost first */
    size_t size, capacity;
    const struct resolved **native, **python; /* the two stacks, in one array each */
    const struct frame_table *table;          /* of which the result is, NULL: there is none yet.. */
    uint32_t trace;                           /* ..and the trace there */
};

/* Leaves the merged stack of `trace` in merge->frames, up to the next call. Returns 0 or -ENOMEM; for a trace that was merged here
 * before it takes no memory, and always returns 0. */
int merge_trace(struct merge *merge, struct frame_table *table, uint32_t trace);
void merge_clear(struct merge *merge);

#endif
