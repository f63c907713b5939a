/* SPDX-License-Identifier: MIT
 *
 * The lines of reports as they are read, written out again: into one file, and with the symbols of native frames inside. What
 * this version does not know of them is kept. Layer: beside load, which calls it. */
#ifndef ANALYZER_TEE_H
#define ANALYZER_TEE_H

#include "model.h"

#include <stdio.h>

struct symbols;

struct tee {
    FILE *out;
    struct symbols *symbols; /* NULL: the lines as they are */
    int error;               /* 0 or -errno: what went wrong first */
};

/* Writes a line that was just added to `process`. Errors stay in tee->error. */
void tee_line(struct tee *tee, const struct process *process, const char *text, size_t length);

#endif
