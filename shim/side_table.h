/* SPDX-License-Identifier: MIT
 *
 * From the address of a block to its record, for blocks that cannot have a prefix. Call it inside the guard of thread.h. */
#ifndef SHIM_SIDE_TABLE_H
#define SHIM_SIDE_TABLE_H

#include "compiler.h"
#include <stdbool.h>
#include <stdint.h>

/* Entries in the table; 0 as long as no block is kept this way. */
extern _hidden_ uint32_t side_table_count;

/* Notes the record of the block at `address`. Returns false when there is no memory. */
bool side_table_put(uintptr_t address, uint32_t record);

/* Removes the entry of `address`. Returns its record, or 0. */
uint32_t side_table_take(uintptr_t address);

/* Forgets everything, for the new ledger of a forked child. */
void side_table_fork_child(void);

#endif
