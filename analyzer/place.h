/* SPDX-License-Identifier: MIT
 *
 * Where in the source tree a person would look first: the one frame of a stack that annotations and code scanners point
 * at, and paths as they want them. Not a part of the text report, which shows whole stacks. */
#ifndef ANALYZER_PLACE_H
#define ANALYZER_PLACE_H

#include "output.h"

#include <stdbool.h>
#include <stddef.h>

struct place {
    const struct frame *frame; /* NULL: no frame has a source line */
    const char *file;          /* as place_file returns it; NULL without a frame */
    int line;                  /* 0 without a frame */
    bool own;                  /* the file lies in the source tree */
};

/* Chooses the first frame with file and line that is not the runtime's: of those in the source tree (installed packages are
 * no part of it) if there are any, else of all; else the first of the runtime's. */
void place_find(const struct output_job *job, const struct stack *stack, struct place *ret);

/* The path of a source file relative to job->root if it lies below it (*ret_own), else as it is. Points into `file`. */
const char *place_file(const struct output_job *job, const char *file, bool *ret_own);

/* Writes the root of the source tree without a slash at its end: `wanted` made absolute, or, if that is NULL, the nearest
 * folder from `folder` upwards that has a .git, or else `folder`. */
void source_root_find(const char *wanted, const char *folder, char *ret, size_t size);

#endif
