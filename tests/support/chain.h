/* SPDX-License-Identifier: MIT
 *
 * Reads chains of stack nodes back from the ledger of this process. */
#ifndef TESTS_CHAIN_H
#define TESTS_CHAIN_H

#include "ledger.h"

#define CHAIN_WHOLE UINT64_MAX

/* Copies the chain that begins at `node`, innermost frame first, `max` frames at most. Returns its length without the
 * NODE_CUT root, whose key goes to *ret_cut (CHAIN_WHOLE when there is none). */
static inline size_t chain_read(uint32_t node, struct ledger_node *frames, size_t max, uint64_t *ret_cut)
{
    size_t length = 0;

    *ret_cut = CHAIN_WHOLE;
    while (node) {
        const struct ledger_node *found = ledger_entry(LEDGER_NODES, node);
        if (found->meta & NODE_CUT) {
            *ret_cut = found->key;
            break;
        }
        if (length < max)
            frames[length] = *found;
        length++;
        node = found->parent;
    }
    return length;
}

#endif
