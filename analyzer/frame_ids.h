/* SPDX-License-Identifier: MIT
 *
 * A table of frames as a document shows them: frames with the same text are one, numbered from 0 in the order of their
 * appearance. Frames are shared by stacks, so each is written out once only. Not thread-safe. */
#ifndef ANALYZER_FRAME_IDS_H
#define ANALYZER_FRAME_IDS_H

#include "intern.h"
#include "leaks.h"

#include <stdint.h>
#include <stdio.h>

/* Writes the row of a frame. Returns 0 or -ENOMEM. */
typedef int (*frame_ids_put)(FILE *out, const struct frame *frame);

struct frame_ids {
    frame_ids_put put;
    struct intern pointers; /* frames; the value is their number */
    struct intern rows;     /* the texts; their indexes are the numbers */
};

/* The number of the frame. Returns 0 or -ENOMEM. */
int frame_ids_of(struct frame_ids *ids, const struct frame *frame, uint32_t *ret);

/* The number of a row that is no frame. Returns 0 or -ENOMEM. */
int frame_ids_row(struct frame_ids *ids, const char *text, uint32_t *ret);

void frame_ids_clear(struct frame_ids *ids);

#endif
