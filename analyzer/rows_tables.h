/* SPDX-License-Identifier: MIT
 *
 * The tables of a process in the making, which grow row by row. Ids must rise, so that a reference to a lower id can neither be
 * wild nor make a circle, and may leave gaps, which are empty entries; a gap that the length of the report does not justify
 * is damage. For rows.c. Functions that return int return 0, -ENOMEM, or -EINVAL: the line is damaged. */
#ifndef ANALYZER_ROWS_TABLES_H
#define ANALYZER_ROWS_TABLES_H

#include "rows.h"

/* Ties the tables to rows->process, and makes entry 0 of those that have ids. */
int rows_tables_begin(struct rows *rows);

/* Copies the entry into its table under the id that the line has as `key`. */
int rows_put(struct rows *rows, struct line *line, enum rows_table table, const char *key, const void *entry);

/* The same for a table without ids. Never -EINVAL. */
int rows_append(struct rows *rows, enum rows_table table, const void *entry);

#endif
