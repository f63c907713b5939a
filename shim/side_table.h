/* SPDX-License-Identifier: MIT
 *
 * From the address of a block to its record, for blocks that cannot have a prefix. Call it inside the guard of thread.h. */
#ifndef SHIM_SIDE_TABLE_H
#define SHIM_SIDE_TABLE_H

#include "compiler.h"
#include "lock.h"

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: empty. */
struct side_table {
    uint32_t count;    /* entries; may be read at any time */
    uint32_t capacity; /* a power of two, or 0 */
    struct side_entry *entries;
    struct lock lock;
};

/* By address: blocks of the interpreter's allocators (capture_aside.c). */
extern _hidden_ struct side_table side_blocks;

/* Notes the record of the block with `key` (not 0), in the place of an older one. Returns false when there is no memory. */
bool side_table_put(struct side_table *table, uint64_t key, uint32_t record);

/* The record of `key`, or 0. */
uint32_t side_table_find(struct side_table *table, uint64_t key);

/* Removes the entry of `key`. Returns its record, or 0. */
uint32_t side_table_take(struct side_table *table, uint64_t key);

/* Forgets everything, for the new ledger of a forked child. */
void side_table_fork_child(struct side_table *table);

#endif
