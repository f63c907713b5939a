/* SPDX-License-Identifier: MIT
 *
 * What an address is, for messages about memory errors: a place in a loaded module, the calling thread's stack, a block. From
 * the ledger and the C library's own words; takes no lock, calls no malloc. Slow. */
#ifndef SHIM_PLACE_H
#define SHIM_PLACE_H

#include "ledger_format.h"

#include <stdbool.h>
#include <stddef.h>

/* Entries of a kind that there are room for: ids are below it. */
uint32_t place_limit(enum ledger_kind kind);

/* The module loaded at `address`, or NULL. */
const struct ledger_module *place_module(uintptr_t address);

/* Whether `address` lies in the part of the calling thread's stack that is in use. */
bool place_on_stack(uintptr_t address);

/* The block of this process whose bytes or guard bytes hold `address`: its record's id and owner
 * word, or 0. Looks at all records. */
uint32_t place_block(uintptr_t address, uint64_t *ret_owner);

/* A text of the ledger, cut at size - 1 bytes and terminated; "" for 0. */
void place_text(uint32_t ref, char *buffer, size_t size);

#endif
