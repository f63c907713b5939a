/* SPDX-License-Identifier: MIT
 *
 * What a pool holds as reports (memshim/report.h): one for each process that made something which is still there. Reads a pool
 * that may change meanwhile, or hold anything; takes no lock. Used by the client library and by the analyzer. */
#ifndef CLIENT_POOL_REPORT_H
#define CLIENT_POOL_REPORT_H

#include "pool_format.h"

#include <stdbool.h>
#include <stdio.h>

enum pool_report_parts {
    POOL_REPORT_ALLOCATIONS = 1,
    POOL_REPORT_ATTACHMENTS = 2, /* of processes that are gone */
    POOL_REPORT_IN_USE = 4,      /* what is there is in use, not lost */
};

/* Whether a live process other than `but` is attached, or works on the pool. */
bool pool_report_is_in_use(const struct pool_view *view, int32_t but);

/* Whether there is anything to report. */
bool pool_report_wanted(const struct pool_view *view, unsigned parts);

/* Writes the reports, one after the other; at least one. Returns 0 or -errno. */
int pool_report_write(const struct pool_view *view, unsigned parts, FILE *out);

#endif
