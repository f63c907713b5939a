/* SPDX-License-Identifier: MIT
 *
 * From a ledger to a report (memshim/report.h): the one piece of code that the shim runs at a normal end of the process
 * and the analyzer runs on the ledger of a process that ended otherwise. */
#ifndef MEMSHIM_REPORT_WRITER_H
#define MEMSHIM_REPORT_WRITER_H

#include "ledger_view.h"

#include <stdint.h>
#include <stdio.h>

/* How the process ended, by one who knows better than the ledger. */
struct report_end {
    const char
        *ended;       /* "exit", "signal", "exec", "killed", "unknown"; NULL: as the ledger says ("killed" or, while the
                          process lives, "unknown" if it does not) */
    int status;       /* exit status or signal number */
    int64_t ended_at; /* nanoseconds since the epoch, 0 = not known */
};

/* Writes the report of `view` to `out`, line by line; `end` may be NULL. Returns 0, or -errno (-ENOMEM, or the stream's
 * error; the stream is flushed and stays open). */
int report_write(const struct ledger_view *view, const struct report_end *end, FILE *out);

/* Writes the report to the new file `path` (mode 0600) by way of `path`.part; an existing file is not replaced:
 * -EEXIST. Returns 0 or -errno. */
int report_write_file(const struct ledger_view *view, const struct report_end *end, const char *path);

#endif
