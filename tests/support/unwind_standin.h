/* SPDX-License-Identifier: MIT
 *
 * Stand-ins for the parts of the shim on which the unwinder is built (arena, ledger header, modules, stacks), so that its
 * tests need no ledger; and reading back of the chains made. Thread-safe. */
#ifndef TESTS_UNWIND_STANDIN_H
#define TESTS_UNWIND_STANDIN_H

#include "ledger_format.h"

#include <stdbool.h>
#include <stddef.h>

/* Nodes made since the program began. */
uint32_t standin_nodes(void);

/* After so many more nodes stacks_node returns 0; UINT32_MAX = no limit. */
void standin_limit(uint32_t nodes);

/* Copies the chain that begins at `node`, innermost first, `max` frames at most. Returns its length without the NODE_CUT
 * root, whose key goes to *ret_cut (UINT64_MAX when there is none). */
size_t standin_chain(uint32_t node, struct ledger_node *frames, size_t max, uint64_t *ret_cut);

#endif
