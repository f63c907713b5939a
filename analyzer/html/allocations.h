/* SPDX-License-Identifier: MIT
 *
 * The numbers of allocations by stack in an HTML report. */
#ifndef ANALYZER_HTML_ALLOCATIONS_H
#define ANALYZER_HTML_ALLOCATIONS_H

#include "tables.h"

/* Writes ,"allocations":[[process, node, stacks, calls, bytes],..]: the stacks with most calls, the others summed up by process.
 * Returns 0 or -ENOMEM. */
int html_allocations_put(struct output_job *job, struct html_tables *tables);

#endif
