/* SPDX-License-Identifier: MIT
 *
 * What the lines of a report (memshim/report.h) mean: one process of the model grows line by line. Every id, number and
 * text is checked here. Layer: between line and load. */
#ifndef ANALYZER_ROWS_H
#define ANALYZER_ROWS_H

#include "line.h"
#include "model.h"

#define ROWS_WHY_MAX 256

enum rows_table {
    ROWS_MODULES,
    ROWS_CODES,
    ROWS_FRAMES,
    ROWS_NODES,
    ROWS_TRACES,
    ROWS_GROUPS,
    ROWS_ERRORS,
    ROWS_REFERENCES,
    ROWS_LINKS,
    ROWS_MARKS,
    ROWS_SERIES,
    ROWS_PINS,
    ROWS_TABLE_COUNT
};

/* One process in the making. */
struct rows {
    struct process *process;
    struct rows_table_place {
        void **items; /* of the process, as is its count */
        size_t *count, capacity, entry_size;
    } tables[ROWS_TABLE_COUNT];
    unsigned long lines; /* read so far, the first one included */
    bool ended;          /* the end line was there and the number of lines is right */
};

/* Begins a process by the first line of its report; `path` names it in the model. Returns 0 and *ret is given to rows_end;
 * -ENOMEM; or -EINVAL with `why` filled: not a report, or of another version. */
int rows_begin(struct line *line, const char *path, struct rows *ret, char why[static ROWS_WHY_MAX]);

/* Adds a further line. Returns 0 (also for a line of an unknown kind); -ENOMEM; or -EINVAL: the line is damaged, and the
 * process is as it was before. */
int rows_add(struct rows *rows, struct line *line);

/* Hands out the process, truncated unless its end was seen. */
struct process *rows_end(struct rows *rows);

/* rows_growth.c: what a line says that begins with "mark", "growth", "arenas" or "pin". Return 0, -ENOMEM or -EINVAL. */
int rows_read_mark(struct line *line, struct mark *ret);
int rows_read_series(const struct process *process, struct line *line, struct series *ret);
int rows_read_arenas(struct line *line, struct arenas *ret);
int rows_read_pin(const struct process *process, struct line *line, struct pin *ret);

#endif
