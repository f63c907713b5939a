/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <stdlib.h>
#include <string.h>

union table_cell *table_append(struct table *table)
{
    size_t row_size = table->column_count * sizeof(*table->cells);

    if (table->row_count == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : 64;
        union table_cell *cells = reallocarray(table->cells, capacity, row_size);
        if (!cells)
            return NULL;
        table->cells = cells;
        table->capacity = capacity;
    }
    union table_cell *row = table_row(table, table->row_count++);
    memset(row, 0, row_size);
    return row;
}

union table_cell *table_row(const struct table *table, size_t row)
{
    return table->cells + row * table->column_count;
}

struct order {
    const struct table *table;
    size_t column;
};

static int compare_rows(const void *a, const void *b, void *data)
{
    const union table_cell *x = a, *y = b;
    const struct order *order = data;
    const struct table *table = order->table;

    for (size_t i = 0; i < table->column_count; i++) {
        size_t column = (order->column + i) % table->column_count;
        if (table->columns[column].number && x[column].number != y[column].number)
            return x[column].number > y[column].number ? -1 : 1;
    }
    for (size_t column = 0; column < table->column_count; column++) {
        if (table->columns[column].number)
            continue;
        const char *left = x[column].text, *right = y[column].text;
        int r = strcmp(left ? left : "", right ? right : "");
        if (r)
            return r;
    }
    return 0;
}

void table_sort(struct table *table, size_t column)
{
    struct order order = {.table = table, .column = column};

    if (table->row_count)
        qsort_r(table->cells, table->row_count, table->column_count * sizeof(*table->cells), compare_rows, &order);
}

void table_clear(struct table *table)
{
    for (size_t row = 0; row < table->row_count; row++)
        for (size_t column = 0; column < table->column_count; column++)
            if (!table->columns[column].number)
                free(table_row(table, row)[column].text);
    free(table->cells);
    *table = (struct table){0};
}
