/* SPDX-License-Identifier: MIT
 *
 * Names of frames and of processes in flame graphs and profiles. */
#ifndef ANALYZER_STACKNAME_H
#define ANALYZER_STACKNAME_H

#include "leaks.h"

#include <stdio.h>

/* Writes the function, or, where that is not known, "libx.so+0x12". */
void stackname_function(FILE *out, const struct frame *frame);

/* Writes "python3 (pid 12)". */
void stackname_process(FILE *out, const struct process *process);

#endif
