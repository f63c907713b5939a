/* SPDX-License-Identifier: MIT */
#include "report_growth.h"

#include <errno.h>
#include <string.h>

#define MARKS_LEAST 4u

/* Calls visit() for each row of LEDGER_GROWTH, in the order of the marks. */
static int for_each_row(struct growth *growth, const struct ledger_view *view,
                        int (*visit)(struct growth *growth, const struct ledger_growth *row))
{
    uint32_t limit = ledger_view_limit(view, LEDGER_GROWTH);

    for (uint32_t id = 1; id < limit; id++) {
        const struct ledger_growth *entry = ledger_view_entry(view, LEDGER_GROWTH, id);
        struct ledger_growth row;

        if (!entry)
            continue;
        memcpy(&row, entry, sizeof(row));
        bool is_garbage = row.mark == LEDGER_GROWTH_GARBAGE;
        int result = row.mark && (is_garbage || row.mark <= growth->marks) ? visit(growth, &row) : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

/* A later row says what is there from its mark on. */
static int note_row(struct growth *growth, const struct ledger_growth *row)
{
    uint32_t number = table_intern(&growth->series, (struct row_key){row->trace, 0});
    struct growth_series *series = number ? table_row(&growth->series, number) : NULL;

    if (!series)
        return -ENOMEM;
    if (row->mark == LEDGER_GROWTH_GARBAGE) {
        growth->garbage_known = true;
        series->garbage = row->blocks;
        series->garbage_bytes = row->bytes;
        return 0;
    }
    if (row->mark <= growth->marks / 4) {
        series->quarter = row->blocks;
        series->quarter_bytes = row->bytes;
    }
    if (row->mark <= growth->marks / 2) {
        series->middle = row->blocks;
        series->middle_bytes = row->bytes;
    }
    series->last = row->blocks;
    series->last_bytes = row->bytes;
    return 0;
}

static bool may_grow(const struct growth_series *series)
{
    return (series->last > series->middle && series->middle > series->quarter) ||
           (series->last_bytes > series->middle_bytes && series->middle_bytes > series->quarter_bytes);
}

static int add_point(struct growth *growth, const struct ledger_growth *row)
{
    struct growth_series *series =
        table_row(&growth->series, table_intern(&growth->series, (struct row_key){row->trace, 0}));

    if (row->mark == LEDGER_GROWTH_GARBAGE || !may_grow(series))
        return 0;
    if (!bytes_reserve(&growth->points, (growth->point_count + 1) * sizeof(struct growth_point)))
        return -ENOMEM;
    struct growth_point *points = (struct growth_point *)(void *)growth->points.data;
    points[growth->point_count++] = (struct growth_point){row->mark, 0, row->blocks, row->bytes};
    if (series->last_point)
        points[series->last_point - 1].next = growth->point_count;
    else
        series->first_point = growth->point_count;
    series->last_point = growth->point_count;
    return 0;
}

static uint32_t count_marks(const struct ledger_view *view)
{
    uint32_t limit = ledger_view_limit(view, LEDGER_MARKS), count = 0;

    for (uint32_t id = 1; id < limit && ledger_view_entry(view, LEDGER_MARKS, id); id++)
        count = id;
    return count;
}

int growth_init(struct growth *growth, const struct ledger_view *view)
{
    *growth = (struct growth){.series = TABLE_OF(struct growth_series), .marks = count_marks(view)};
    if (growth->marks < MARKS_LEAST)
        return 0;
    int result = for_each_row(growth, view, note_row);
    return result < 0 ? result : for_each_row(growth, view, add_point);
}

void growth_done(struct growth *growth)
{
    table_done(&growth->series);
    bytes_done(&growth->points);
}
