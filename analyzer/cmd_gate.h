/* SPDX-License-Identifier: MIT
 *
 * What the files of memshim gate share: what the command line asks for, and the documents in which a verdict is told. */
#ifndef ANALYZER_CMD_GATE_H
#define ANALYZER_CMD_GATE_H

#include "cmd_session.h"
#include "gate.h"

#define GATE_ALSO_MAX 16

/* A document more (--write FORMAT=FILE). */
struct gate_also {
    const struct output *output;
    const char *path;
};

struct gate_command {
    struct view view;
    struct gate_limits limits;
    struct session_options session;
    const char *write_baseline; /* file, or NULL: judge */
    const char *baseline;       /* the first one named, or NULL */
    struct gate_also also[GATE_ALSO_MAX];
    size_t also_count;
    unsigned int runs; /* of the command; a leak must be in all of them */
    bool no_ci;        /* write nothing that was not asked for, also under GitHub Actions */
};

/* Tells the verdict, with what it is about: in the document that the view asks for, in those of --write, and under GitHub
 * Actions in annotations and the summary of the job. Returns EXIT_DONE or, after an error line, another exit code. */
int gate_write(struct gate_command *gate, const struct gate_verdict *verdict, const struct reading *reading);

/* Writes all that is lost and not accepted yet, with its numbers as limits. Returns likewise. */
int gate_write_baseline(const struct gate_command *gate, const struct reading *reading);

#endif
