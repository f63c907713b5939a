/* SPDX-License-Identifier: MIT
 *
 * The lines of a report that add things up: marks, growth from one to the next, and how arenas are used. */
#ifndef SHIM_REPORT_COUNTED_H
#define SHIM_REPORT_COUNTED_H

#include "report_gather.h"
#include "report_sink.h"
#include "report_text.h"

void report_write_counted(struct sink *sink, struct text_space *space, const struct gathered *gathered);

#endif
