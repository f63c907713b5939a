/* SPDX-License-Identifier: MIT
 *
 * Reads reports (memshim/report.h), ledgers (by way of report_writer.h) and folders of them into a model. All input is
 * untrusted: whatever is wrong with it becomes a load_error or process.truncated. */
#ifndef ANALYZER_LOAD_H
#define ANALYZER_LOAD_H

#include "model.h"
#include "report_writer.h"

#include <stdio.h>

struct load_error {
    char source[4096];  /* file */
    unsigned long line; /* 0 = the file as a whole */
    char text[512];     /* what is wrong, lower case, no full stop */
};

/* Adds what is at `path`: a report, a ledger, "-" (a report on stdin), or a folder, of which every file that ends in
 * .jsonl or .ledger is read (what is there in a later state, too, is skipped: a ledger or snapshot whose report is there). Returns 0; -ENOMEM; or -EINVAL/-errno with
 * *error filled: unreadable, not a report, another version, an empty folder. A report without its end, or damaged below a
 * readable first line, is kept up to the damage with process.truncated set. */
int load_path(struct model *model, const char *path, struct load_error *error);

/* The same for one open report; `source` names it in errors. */
int load_stream(struct model *model, FILE *in, const char *source, struct load_error *error);

/* The same for one ledger, with what the caller knows about the end of the process (may be NULL). */
int load_ledger(struct model *model, const char *path, const struct report_end *end, struct load_error *error);

/* Puts the processes in order; call once after the last load. */
void load_done(struct model *model);

#endif
