/* SPDX-License-Identifier: MIT
 *
 * Which stacks asked for most, whether or not anything is left of it: a report has them beside those of live blocks, so that
 * one can see where the allocations go. Reads the ledger only. */
#ifndef SHIM_REPORT_BUSY_H
#define SHIM_REPORT_BUSY_H

#include "ledger_view.h"

#define BUSY_EACH 50u /* stacks with most allocations, and as many with most bytes */
#define BUSY_MAX (2 * BUSY_EACH)
#define BUSY_ALLOCATIONS_LEAST 100u /* with fewer, and.. */
#define BUSY_BYTES_LEAST 65536u     /* ..less, a stack is of no interest: the report of a small program stays small */

/* Writes the ids of these stacks (LEDGER_TRACES), some of them twice, and returns their number. */
uint32_t busy_traces(const struct ledger_view *view, uint32_t ids[static BUSY_MAX]);

#endif
