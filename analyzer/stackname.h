/* SPDX-License-Identifier: MIT
 *
 * Names of frames and of processes in flame graphs and profiles. */
#ifndef ANALYZER_STACKNAME_H
#define ANALYZER_STACKNAME_H

#include "leaks.h"

#include <stdio.h>

/* Writes the function, or, where that is not known, "libx.so+0x12". */
void stackname_put(FILE *out, const struct frame *frame);

/* The same as a text, malloc'ed; NULL without memory. */
char *stackname_of(const struct frame *frame);

/* "python3 (pid 12)", malloc'ed; NULL without memory. */
char *stackname_process(const struct process *process);

#endif
