/* SPDX-License-Identifier: MIT
 *
 * Tables of what a report holds: leaks added up by what they have in common, and leaks, errors and allocation sites one a
 * row. Layer: above leaks and place, below the commands. Never prints. */
#ifndef ANALYZER_LISTS_H
#define ANALYZER_LISTS_H

#include "output.h"

/* What leaks are added up by. */
enum group_by {
    GROUP_STACK, /* each leak for itself: no table, the usual report */
    GROUP_FUNCTION,
    GROUP_FILE,
    GROUP_MODULE,
    GROUP_TYPE,
    GROUP_THREAD, /* the function that its thread began with */
    GROUP_DOMAIN,
    GROUP_LABEL,
    GROUP_BY_COUNT
};

enum list_what { LIST_NONE, LIST_ERRORS, LIST_LEAKS, LIST_ALLOCATIONS, LIST_ARENAS, LIST_COUNT };

/* Which allocation sites come first. */
enum list_sort { SORT_CALLS, SORT_BYTES, SORT_TEMPORARY, SORT_COUNT };

/* Names as options have them; the lists end in NULL. */
extern const char *const group_by_names[], *const list_names[], *const list_sort_names[];

/* Make a table; *ret is given to table_clear. Leaks are those that `job`'s options show, but for `top`. Return 0 or
 * -ENOMEM. */
int list_groups(const struct output_job *job, const struct leaks *leaks, enum group_by by, struct table *ret);
int list_leaks(const struct output_job *job, const struct leaks *leaks, struct table *ret);
int list_errors(const struct output_job *job, struct symbols *symbols, struct table *ret);

/* Stacks by what they asked for, also of blocks that were freed: those that the report has (report.h). */
int list_allocations(const struct output_job *job, struct symbols *symbols, enum list_sort sort, struct table *ret);

/* Stacks whose blocks keep nearly empty arenas of the interpreter. */
int list_arenas(const struct output_job *job, struct symbols *symbols, struct table *ret);

#endif
