/* SPDX-License-Identifier: MIT
 *
 * From a ledger to a report (memshim/report.h): the one piece of code that the shim runs at a normal end of the process
 * and the analyzer runs on the ledger of a process that ended otherwise.
 *
 * Text in a ledger is bytes; in the report every byte that is not part of valid UTF-8 stands as the four characters \xNN,
 * and NUL bytes are kept (\u0000: read with JSON_ALLOW_NUL). Not thread-safe. Uses no stdio on the way to a path. */
#ifndef MEMSHIM_REPORT_WRITER_H
#define MEMSHIM_REPORT_WRITER_H

#include "ledger_view.h"

#include <stdint.h>
#include <stdio.h>

/* How the process ended, by one who knows better than the ledger. */
struct report_end {
    const char
        *ended;       /* "exit", "signal", "exec", "killed", "unknown"; NULL: as the ledger says ("killed" or, while the
                          process lives, "unknown" if it does not): status and ended_at are then ignored */
    int status;       /* exit status or signal number */
    int64_t ended_at; /* nanoseconds since the epoch, 0 = not known */
};

/* Makes the writer and its jansson take memory from these functions instead of malloc and free. For the shim: before the
 * first report, and only where jansson is not shared with other code. */
void report_use_memory(void *(*allocate)(size_t size), void (*release)(void *memory));

/* When process `pid` started, in clock ticks since the system did, as ledgers have it; 0 = there is no such process, but perhaps a
 * zombie. */
uint64_t report_process_start(int pid);

/* Writes the report of `view` to `out`, line by line; `end` may be NULL. Returns 0, or -errno (-ENOMEM, or the stream's
 * error; the stream is flushed and stays open). */
int report_write(const struct ledger_view *view, const struct report_end *end, FILE *out);

/* Writes the report to the new file `path` (mode 0600) by way of `path`.part; an existing file is not replaced:
 * -EEXIST, or -EBUSY while another writer is at work on it. Returns 0 or -errno; then nothing is left behind. */
int report_write_file(const struct ledger_view *view, const struct report_end *end, const char *path);

#endif
