/* SPDX-License-Identifier: MIT
 *
 * See timestamp.h. */
#include "timestamp.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int timestamp_parse(const char *text, int64_t *ret)
{
    struct tm tm = {0};
    int length = 0;
    if (!text || sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
                        &tm.tm_min, &tm.tm_sec, &length) != 6)
        return -EINVAL;
    text += length;
    int64_t fraction = 0, unit = 100000000;
    if (*text == '.') {
        for (text++; isdigit((unsigned char)*text); text++, unit /= 10)
            fraction += unit * (*text - '0');
    }
    if (strcmp(text, "Z") != 0)
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t time;
    if (__builtin_mul_overflow((int64_t)timegm(&tm), 1000000000, &time) ||
        __builtin_add_overflow(time, fraction, &time)) /* beyond the years 1677 to 2262 */
        return -EINVAL;
    *ret = time;
    return 0;
}

uint64_t timestamp_span(const char *from, const char *to)
{
    int64_t start, end;
    if (timestamp_parse(from, &start) < 0 || timestamp_parse(to, &end) < 0 || end < start)
        return 0;
    return ((uint64_t)end - (uint64_t)start) / 1000;
}
