/* SPDX-License-Identifier: MIT
 *
 * The work that the copy of the process does for a snapshot (snapshot.h). */
#ifndef SHIM_SNAPSHOT_COPY_H
#define SHIM_SNAPSHOT_COPY_H

#include "ledger_format.h"
#include "scan.h"

struct snapshot {
    uint32_t number;
    uint32_t request; /* that it answers, 0 = none */
    bool scan;
    bool uncollected; /* LACK_COLLECTION */
    struct scan_threads threads;
    char path[LEDGER_PATH_MAX]; /* of the report */
    uint32_t *taken;            /* shared with the process: 1 = it may go on */
};

/* Writes the report; ends with status 0, or an errno. All signals are blocked. */
_Noreturn void snapshot_copy_work(const struct snapshot *snapshot);

#endif
