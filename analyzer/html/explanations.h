/* SPDX-License-Identifier: MIT
 *
 * Why leaks are there (why.h), in an HTML report. */
#ifndef ANALYZER_HTML_EXPLANATIONS_H
#define ANALYZER_HTML_EXPLANATIONS_H

#include "tables.h"

/* Writes ,"why":[[process, kind, fingerprint, text],..]: one row for each block that the report explains. Returns 0 or
 * -ENOMEM. */
int html_explanations_put(struct output_job *job, struct html_tables *tables);

#endif
