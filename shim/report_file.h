/* SPDX-License-Identifier: MIT
 *
 * A file that appears under its name only when it is whole, and never in place of another. No stdio, no malloc. */
#ifndef SHIM_REPORT_FILE_H
#define SHIM_REPORT_FILE_H

#include <limits.h>

#define REPORT_PART_SUFFIX ".part"

struct report_file {
    int fd; /* to write to */
    const char *path;
    char part[PATH_MAX]; /* name until it is whole */
};

/* Creates `path`.part (mode 0600). `path` must live until the file is closed. A .part that a writer left behind when it
 * died is replaced. Returns 0; -EEXIST: there is a file at `path`; -EBUSY: another writer is at work; -errno. */
int report_file_open(struct report_file *file, const char *path);

/* Closes the file, and with `error` 0 gives it its name. Otherwise, or when that fails, nothing of it remains.
 * Returns `error`, or -errno. */
int report_file_close(struct report_file *file, int error);

#endif
