/* SPDX-License-Identifier: MIT
 *
 * Stacks whose live blocks grow steadily from mark to mark: leaks that something still points to, such as caches without end.
 *
 * A trend is told by rank and median, which single outliers do not move: Mann and Kendall's test for a monotonic trend, and
 * Theil and Sen's slope. What grows must do so in the second half, too, not by one step alone, and over five intervals at least:
 * what warms up and levels off is no growth. Nor is what only garbage holds that Python's collector has not come to: it is left out
 * where it is known, and else, in the short run of a Python process that was killed, more marks are wanted. Layer: beside leaks. */
#ifndef ANALYZER_GROWTH_H
#define ANALYZER_GROWTH_H

#include "leaks.h"

struct trend {
    double slope;      /* per unit of time */
    double confidence; /* that it is no chance: 0 to 1 */
};

#define TREND_LEAST 6 /* points: five intervals */

/* Whether `values` at `times` (in order) grow steadily; fills *ret then. */
bool trend_find(const double *times, const double *values, size_t count, struct trend *ret);

#define TREND_LEAST_BLIND 21   /* of a Python process whose garbage is not known.. */
#define TREND_SECONDS_BLIND 60 /* ..unless it was watched for so long */

/* How many marks of a process it takes to tell what grows. */
size_t growth_least_marks(const struct process *process);

struct growth {
    const struct process *process;
    struct stack stack;
    char fingerprint[FINGERPRINT_SIZE];
    size_t intervals;
    double blocks_per_interval, bytes_per_interval, blocks_per_second, bytes_per_second;
    uint64_t first_blocks, first_bytes, last_blocks, last_bytes;
    double confidence;
};

struct growths {
    struct growth *items; /* most bytes per second first */
    size_t count;
};

/* Finds the growth of all processes. *ret is given to growths_clear. Returns 0 or -ENOMEM. */
int growths_build(const struct model *model, struct symbols *symbols, struct growths *ret);
void growths_clear(struct growths *growths);

#endif
