/* SPDX-License-Identifier: MIT
 *
 * From counts at marks (marks.h) to series: the stacks that keep more at the last mark than in the middle, and then more than
 * after a quarter. Which of them grow steadily is for the analyzer to say. */
#ifndef SHIM_REPORT_GROWTH_H
#define SHIM_REPORT_GROWTH_H

#include "ledger_view.h"
#include "report_tables.h"

struct growth_point {
    uint32_t mark;
    uint32_t next; /* of the same series: place in `points` + 1, 0 = last */
    uint64_t blocks, bytes;
};

/* The key of a series: a = trace of the ledger. */
struct growth_series {
    struct row_key key;
    uint64_t quarter, middle, last;                   /* blocks */
    uint64_t quarter_bytes, middle_bytes, last_bytes; /* bytes */
    uint64_t garbage, garbage_bytes;                  /* what of it only garbage holds; growth.garbage_known */
    uint32_t first_point, last_point;                 /* place in `points` + 1; 0 = is left out */
};

struct growth {
    uint32_t marks;
    bool garbage_known;
    struct table series; /* struct growth_series */
    struct bytes points; /* struct growth_point */
    uint32_t point_count;
};

/* Returns 0 or -ENOMEM; growth_done in any case. */
int growth_init(struct growth *growth, const struct ledger_view *view);
void growth_done(struct growth *growth);

static inline const struct growth_point *growth_point(const struct growth *growth, uint32_t place)
{
    return place ? (const struct growth_point *)(const void *)growth->points.data + (place - 1) : NULL;
}

#endif
