/* SPDX-License-Identifier: MIT
 *
 * Which series of numbers are told to grow, and how fast. */
#include "growth.h"

#include <criterion/criterion.h>
#include <math.h>

#define MOST 600

static double times[MOST], values[MOST];

static bool grows(double (*value)(size_t i), size_t count, struct trend *trend)
{
    for (size_t i = 0; i < count; i++) {
        times[i] = (double)i;
        values[i] = value(i);
    }
    return trend_find(times, values, count, trend);
}

/* Noise that is the same each time. */
static double noise(size_t i)
{
    return (double)((i * 2654435761u >> 7) % 100) / 100;
}

static double line(size_t i)
{
    return 100 + 7 * (double)i;
}

static double noisy_line(size_t i)
{
    return 100 + 7 * (double)i + 20 * noise(i);
}

static double flat(size_t i)
{
    return 1000 + 20 * noise(i);
}

static double warm_up(size_t i)
{
    return i < 5 ? 100 * (double)i : 500 + noise(i);
}

static double levels_off(size_t i)
{
    return 1000 * (1 - exp(-(double)i / 3));
}

static double one_step(size_t i)
{
    return i < 10 ? 100 : 600;
}

static double saw(size_t i)
{
    return 100 * (double)(i % 5);
}

static double falling(size_t i)
{
    return 10000 - 3 * (double)i;
}

static double slow(size_t i)
{
    return (double)(i / 3);
}

static double late(size_t i)
{
    return i < 8 ? 50 : 50 + 10 * (double)(i - 8);
}

Test(growth, lines_grow)
{
    struct trend trend;

    cr_assert(grows(line, 6, &trend));
    cr_expect_float_eq(trend.slope, 7, 1e-9);
    cr_expect_gt(trend.confidence, 0.99);
    cr_assert(grows(noisy_line, 40, &trend));
    cr_expect_float_eq(trend.slope, 7, 0.5);
    cr_assert(grows(slow, 30, &trend)); /* a block every third interval */
    cr_assert(grows(late, 20, &trend)); /* after a quiet beginning */
}

Test(growth, long_series_are_thinned_out)
{
    struct trend trend;

    cr_assert(grows(line, MOST, &trend));
    cr_expect_float_eq(trend.slope, 7, 1e-9);
}

Test(growth, five_intervals_at_least)
{
    struct trend trend;
    cr_assert_not(grows(line, 5, &trend));
    cr_assert_not(grows(line, 0, &trend));
}

Test(growth, more_marks_of_a_killed_python)
{
    struct mark marks[TREND_LEAST] = {0};
    struct series series = {.trace = 1};
    struct process process = {.marks = marks, .mark_count = TREND_LEAST, .series = &series, .series_count = 1};

    cr_expect_eq(growth_least_marks(&process), TREND_LEAST);
    process.python = "3.11.2";
    cr_expect_eq(growth_least_marks(&process), TREND_LEAST_BLIND);
    marks[TREND_LEAST - 1].seconds = TREND_SECONDS_BLIND;
    cr_expect_eq(growth_least_marks(&process), TREND_LEAST);
    marks[TREND_LEAST - 1].seconds = 1;
    series.garbage_known = true;
    cr_expect_eq(growth_least_marks(&process), TREND_LEAST);
}

Test(growth, what_levels_off_does_not_grow)
{
    struct trend trend;

    cr_expect_not(grows(flat, 40, &trend));
    cr_expect_not(grows(warm_up, 30, &trend));
    cr_expect_not(grows(levels_off, 30, &trend));
    cr_expect_not(grows(one_step, 20, &trend));
    cr_expect_not(grows(saw, 40, &trend));
    cr_expect_not(grows(falling, 40, &trend));
}
