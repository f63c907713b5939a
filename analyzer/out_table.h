/* SPDX-License-Identifier: MIT
 *
 * Tables (table.h) in the formats that have them: operations for struct output. At most job->top rows are written. */
#ifndef ANALYZER_OUT_TABLE_H
#define ANALYZER_OUT_TABLE_H

#include "output.h"

int out_table_text(struct output_job *job, const struct table *table);
int out_table_json(struct output_job *job, const struct table *table);
int out_table_csv(struct output_job *job, const struct table *table);
int out_table_markdown(struct output_job *job, const struct table *table);

#endif
