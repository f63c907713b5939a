/* SPDX-License-Identifier: MIT */
#include "timestamp.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(timestamp, parses)
{
    int64_t time = 0;
    cr_expect_eq(timestamp_parse("1970-01-01T00:00:00Z", &time), 0);
    cr_expect_eq(time, 0);
    cr_expect_eq(timestamp_parse("2026-01-31T12:00:01.500000Z", &time), 0);
    cr_expect_eq(time, INT64_C(1769860801500000000));
    cr_expect_eq(timestamp_parse("2026-01-31T12:00:01.123456789123Z", &time), 0);
    cr_expect_eq(time, INT64_C(1769860801123456789));
}

Test(timestamp, refuses)
{
    static const char *const texts[] = {
        NULL, "", "today", "2026-01-31", "2026-01-31T12:00:01", "2026-01-31T12:00:01+01:00", "9999-01-31T12:00:01Z"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t time = 7;
        cr_expect_eq(timestamp_parse(texts[i], &time), -EINVAL);
        cr_expect_eq(time, 7);
    }
}

Test(timestamp, span)
{
    cr_expect_eq(timestamp_span("2026-01-31T12:00:00.000000Z", "2026-01-31T12:00:01.500000Z"), 1500000);
    cr_expect_eq(timestamp_span("2026-01-31T12:00:01Z", "2026-01-31T12:00:00Z"), 0);
    cr_expect_eq(timestamp_span("2026-01-31T12:00:01Z", NULL), 0);
}
