/* SPDX-License-Identifier: MIT
 *
 * Reports written as reports: for memshim merge and memshim report --self-contained. */
#ifndef ANALYZER_CMD_MERGE_H
#define ANALYZER_CMD_MERGE_H

#include "command.h"

/* Writes the reports at `paths` to where the view says. Returns EXIT_DONE or, after an error line, another exit code. */
int merge_write(struct view *view, char *const *paths, size_t count, bool self_contained);

#endif
