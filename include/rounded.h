/* SPDX-License-Identifier: MIT
 *
 * Estimates as numbers. */
#ifndef ROUNDED_H
#define ROUNDED_H

#include <stdint.h>

/* The nearest number; the largest one for more than that, which a damaged file may have, and 0 for less than 0. */
static inline uint64_t rounded(double estimate)
{
    if (!(estimate > 0))
        return 0;
    return estimate < 0x1p63 ? (uint64_t)(estimate + 0.5) : UINT64_MAX;
}

#endif
