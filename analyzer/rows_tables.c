/* SPDX-License-Identifier: MIT
 *
 * See rows_tables.h. */
#include "rows_tables.h"

#include "compiler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Ids may run this far ahead of the number of lines: a ledger cut short can have unpublished entries by the segment. */
#define ID_SLACK 65536
#define ID_PER_LINE 16

static void tie_tables(struct rows *rows)
{
    struct process *process = rows->process;
#define TABLE(name, items, count) \
    [ROWS_##name] = {(void **)&process->items, &process->count, 0, sizeof(*process->items) }
    const struct rows_table_place places[] = {
        TABLE(MODULES, modules, module_count), TABLE(CODES, codes, code_count),
        TABLE(FRAMES, frames, frame_count),    TABLE(NODES, nodes, node_count),
        TABLE(TRACES, traces, trace_count),    TABLE(GROUPS, groups, group_count),
        TABLE(ERRORS, errors, error_count),    TABLE(REFERENCES, references, reference_count),
        TABLE(LINKS, links, link_count),       TABLE(MARKS, marks, mark_count),
        TABLE(SERIES, series, series_count),   TABLE(PINS, pins, pin_count),
    };
#undef TABLE
    _Static_assert(ARRAY_SIZE(places) == ROWS_TABLE_COUNT, "a place for every table");

    memcpy(rows->tables, places, sizeof(places));
}

/* Makes `id` the last entry of the table, empty as are those of the gap before it. Returns it, or NULL: no memory. */
static void *reach(struct rows_table_place *table, size_t id)
{
    if (id >= table->capacity) {
        size_t capacity = MAX(id + 1, table->capacity + table->capacity / 2 + 64);
        void *larger = reallocarray(*table->items, capacity, table->entry_size);

        if (!larger)
            return NULL;
        *table->items = larger;
        table->capacity = capacity;
    }
    void *entry = (char *)*table->items + id * table->entry_size;
    if (id > *table->count)
        memset((char *)*table->items + *table->count * table->entry_size, 0, (id - *table->count) * table->entry_size);
    *table->count = id + 1;
    return entry;
}

int rows_tables_begin(struct rows *rows)
{
    tie_tables(rows);
    for (unsigned int i = 0; i < ROWS_GROUPS; i++) {
        void *entry = reach(&rows->tables[i], 0);

        if (!entry)
            return -ENOMEM;
        memset(entry, 0, rows->tables[i].entry_size);
    }
    return 0;
}

int rows_append(struct rows *rows, enum rows_table table, const void *entry)
{
    struct rows_table_place *place = &rows->tables[table];
    void *to = reach(place, *place->count);

    if (!to)
        return -ENOMEM;
    memcpy(to, entry, place->entry_size);
    return 0;
}

int rows_put(struct rows *rows, struct line *line, enum rows_table table, const char *key, const void *entry)
{
    struct rows_table_place *place = &rows->tables[table];
    int64_t id;

    if (!value_number(line_get(line, key), (int64_t)*place->count, UINT32_MAX, &id) ||
        (uint64_t)id > ID_SLACK + (uint64_t)rows->lines * ID_PER_LINE)
        return -EINVAL;
    void *to = reach(place, (size_t)id);
    if (!to)
        return -ENOMEM;
    memcpy(to, entry, place->entry_size);
    return 0;
}
