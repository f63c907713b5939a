/* SPDX-License-Identifier: MIT
 *
 * The mathematics of sampling by bytes: with a mean distance of R bytes between samples (a Poisson process along the bytes
 * that are asked for), a block of Z bytes is recorded with probability 1 - exp(-Z/R). Counting each recorded block
 * 1 / (1 - exp(-Z/R)) times makes the sums unbiased, and must be done block by block, before summing: the method of
 * jemalloc's heap profiles (doc_internal/PROFILING_INTERNALS.md). Header-only and without libm, which the shim does not
 * want to bring into the traced process. */
#ifndef MEMSHIM_SAMPLING_H
#define MEMSHIM_SAMPLING_H

#include <stdint.h>

/* exp(-x) for x >= 0, to about 1e-15: exp(-x) = exp(-x / 2^k) squared k times. */
static inline double sampling_exp_negative(double x)
{
    unsigned squarings = 0;
    double term = 1, sum = 1;

    if (x > 700)
        return 0;
    for (; x > 0.125; x /= 2)
        squarings++;
    for (unsigned n = 1; n < 12; n++) {
        term *= -x / n;
        sum += term;
    }
    for (; squarings; squarings--)
        sum *= sum;
    return sum;
}

/* 1 - exp(-x), also exact for small x, where the difference would cancel. */
static inline double sampling_probability(uint64_t size, uint64_t mean)
{
    double x = (double)(size ? size : 1) / (double)mean;
    return x < 1e-3 ? x * (1 - x / 2 * (1 - x / 3)) : 1 - sampling_exp_negative(x);
}

/* How many blocks of `size` bytes one recorded block stands for. `mean` 0: every block is recorded. */
static inline double sampling_weight(uint64_t size, uint64_t mean)
{
    return mean ? 1 / sampling_probability(size, mean) : 1;
}

/* The variance that one recorded block of `size` bytes brings into a sum of bytes: size^2 (1 - p) / p^2, which is the
 * estimate from the sample of sum(size^2 (1 - p) / p) over all blocks. */
static inline double sampling_variance(uint64_t size, uint64_t mean)
{
    if (!mean)
        return 0;
    double p = sampling_probability(size, mean);
    return (double)size * (double)size * (1 - p) / (p * p);
}

/* -ln(u) for 0 < u <= 1, to about 1e-12: the exponent by hand, the mantissa by the series of atanh. */
static inline double sampling_minus_log(double u)
{
    union {
        double value;
        uint64_t bits;
    } number = {u};
    int exponent = (int)(number.bits >> 52 & 0x7ff) - 1023;

    number.bits = (number.bits & 0xfffffffffffffULL) | 1023ULL << 52; /* 1 <= mantissa < 2 */
    double m = number.value > 1.4142135623730951 ? (exponent++, number.value / 2) : number.value;
    double t = (m - 1) / (m + 1), square = t * t, power = t, sum = 0;
    for (unsigned n = 1; n < 20; n += 2) {
        sum += power / n;
        power *= square;
    }
    return -(2 * sum + exponent * 0.6931471805599453);
}

/* The distance to the next sample: exponential with this mean. `random`: 64 uniform bits. */
static inline int64_t sampling_distance(uint64_t random, uint64_t mean)
{
    double u = ((double)(random >> 11) + 0.5) / 9007199254740992.0;
    double distance = sampling_minus_log(u) * (double)mean;
    return distance > 4e18 ? INT64_C(4000000000000000000) : (int64_t)distance + 1;
}

#endif
