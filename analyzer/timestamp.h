/* SPDX-License-Identifier: MIT
 *
 * Times of reports: "2026-01-31T12:00:00.000000Z". */
#ifndef ANALYZER_TIMESTAMP_H
#define ANALYZER_TIMESTAMP_H

#include <stdint.h>

/* Nanoseconds since 1970. Returns 0, or -EINVAL (also for NULL); *ret is untouched then. */
int timestamp_parse(const char *text, int64_t *ret);

/* Microseconds from `from` to `to`; 0 if that is not known or negative. */
uint64_t timestamp_span(const char *from, const char *to);

#endif
