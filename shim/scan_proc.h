/* SPDX-License-Identifier: MIT
 *
 * What /proc has: lists, line by line, and folders, name by name. Without the C library's streams, which allocate. */
#ifndef SHIM_SCAN_PROC_H
#define SHIM_SCAN_PROC_H

#include <stdbool.h>

/* Calls take(context, line) for each line of the file, without its end, until that returns false. Of a line longer than some 100 KB only
 * the end is seen. Returns 0, or -errno (-ENOMEM also when take has returned false). */
int scan_lines(const char *path, bool (*take)(void *context, const char *line), void *context);

/* Calls take(context, name) for each entry of the folder but those that begin with a dot, until that returns false, and returns what it
 * returned last; true without any. */
bool scan_names(const char *path, bool (*take)(void *context, const char *name), void *context);

#endif
