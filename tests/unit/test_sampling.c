/* SPDX-License-Identifier: MIT */
#include "sampling.h"

#include <criterion/criterion.h>
#include <math.h>

Test(sampling, exponential_and_logarithm_are_right)
{
    for (double x = 0; x < 50; x += 0.0371)
        cr_assert_float_eq(sampling_exp_negative(x) / exp(-x), 1, 1e-12, "exp(-%g)", x);
    for (double u = 1; u > 1e-15; u *= 0.873)
        cr_assert_float_eq(sampling_minus_log(u), -log(u), 1e-11, "-ln(%g)", u);
}

Test(sampling, probability_is_right_where_it_is_tiny_and_where_it_is_one)
{
    cr_expect_float_eq(sampling_probability(1, 1u << 30) * (1u << 30), 1, 1e-8);
    cr_expect_float_eq(sampling_probability(512 << 10, 512 << 10), 1 - exp(-1), 1e-12);
    cr_expect_float_eq(sampling_probability(1ULL << 40, 512 << 10), 1, 1e-15);
    cr_expect_float_eq(sampling_weight(100, 0), 1, 0);
}

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ULL;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* The whole procedure, as the shim and the report do it: the sum of weights is the true sum within a few standard errors. */
static void check_unbiased(const uint64_t *sizes, unsigned kinds, uint64_t mean, uint64_t seed)
{
    double truth = 0, estimate = 0, variance = 0;
    int64_t left = sampling_distance(next_random(&seed), mean);

    for (unsigned i = 0; i < 2000000; i++) {
        uint64_t size = sizes[i % kinds];
        truth += (double)size;
        left -= (int64_t)size;
        if (left > 0)
            continue;
        estimate += (double)size * sampling_weight(size, mean);
        variance += sampling_variance(size, mean);
        left = sampling_distance(next_random(&seed), mean);
    }
    cr_expect_lt(fabs(estimate - truth), 5 * sqrt(variance) + 1, "%g for %g, standard error %g", estimate, truth,
                 sqrt(variance));
    cr_expect_lt(sqrt(variance), truth * 0.1);
}

Test(sampling, estimates_are_unbiased)
{
    const uint64_t small[] = {32}, mixed[] = {16, 64, 100000, 512, 24, 3000};

    for (uint64_t seed = 1; seed <= 10; seed++) {
        check_unbiased(small, 1, 4096, seed);
        check_unbiased(small, 1, 100, seed);
        check_unbiased(mixed, 6, 65536, seed);
    }
}

Test(sampling, distances_have_the_mean)
{
    uint64_t state = 7;
    double sum = 0;

    for (unsigned i = 0; i < 1000000; i++)
        sum += (double)sampling_distance(next_random(&state), 1000);
    cr_expect_float_eq(sum / 1e6, 1000, 5, "mean %g", sum / 1e6);
}
