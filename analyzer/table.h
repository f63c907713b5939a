/* SPDX-License-Identifier: MIT
 *
 * Rows and columns that a format can write without knowing what they mean: sums of leaks by function, the busiest stacks.
 * Plain data; never prints. */
#ifndef ANALYZER_TABLE_H
#define ANALYZER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_COLUMNS_MAX 10

struct table_column {
    const char *name; /* "bytes": a key in JSON, a head for people */
    bool number;
};

union table_cell {
    uint64_t number;
    char *text; /* owned by the table; NULL: none */
};

struct table {
    const char *name; /* what the rows are: "functions" */
    const struct table_column *columns;
    size_t column_count;
    union table_cell *cells; /* row by row */
    size_t row_count, capacity;
};

/* Appends a row of `column_count` cells, zeroed. It moves when another is added. NULL without memory. */
union table_cell *table_append(struct table *table);

/* The cells of a row. */
union table_cell *table_row(const struct table *table, size_t row);

/* Sorts by a column of numbers, largest first; equal ones by the numbers after it and then by the texts. */
void table_sort(struct table *table, size_t column);

/* Harmless on a zeroed one. */
void table_clear(struct table *table);

#endif
