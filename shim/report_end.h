/* SPDX-License-Identifier: MIT
 *
 * What the last line of a report says: how the process ended, and what the report does not have. */
#ifndef SHIM_REPORT_END_H
#define SHIM_REPORT_END_H

#include "report_writer.h"

#include <jansson.h>

/* `known` (may be NULL) where it says how the process ended, else what the ledger and /proc say: never with ended NULL. */
struct report_end report_end_of(const struct ledger_header *header, const struct report_end *known);

/* One sentence for each thing that is missing; `damaged` counts the entries that could not be read. An array, or NULL when
 * memory is out. */
json_t *report_lacks(const struct ledger_view *view, uint64_t damaged);

#endif
