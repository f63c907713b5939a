/* SPDX-License-Identifier: MIT
 *
 * Parts of report_gather.c: what all of them use, and the numbers of stacks. For the report writer only. */
#ifndef SHIM_REPORT_STACKS_H
#define SHIM_REPORT_STACKS_H

#include "report_gather.h"

#include <errno.h>

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

static inline uint64_t add_saturated(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline void fail(struct gathered *gathered)
{
    gathered->error = -ENOMEM;
}

/* The number of the row with this key, which is made if there is none; 0: there is no memory, and gathering has failed. */
static inline uint32_t intern(struct gathered *gathered, struct table *table, struct row_key key)
{
    uint32_t number = table_intern(table, key);

    if (number == 0)
        fail(gathered);
    return number;
}

static inline void put_number(struct gathered *gathered, struct id_map *map, uint32_t id, uint32_t number)
{
    if (!id_map_put(map, id, number))
        fail(gathered);
}

/* Numbers the trace `id` of the ledger with all its frames, if that has not been done (gathered_trace). */
void gather_trace(struct gathered *gathered, uint32_t id);

#endif
