/* SPDX-License-Identifier: MIT
 *
 * Line tables of CPython's code objects: which source line an instruction belongs to. The tables are untrusted bytes.
 * Pure functions, no state. */
#ifndef MEMSHIM_PYLINES_H
#define MEMSHIM_PYLINES_H

#include <stddef.h>
#include <stdint.h>

/* The line of the instruction at byte `offset` of a code object that begins at line `first_line`. `kind` is enum
 * code_table of ledger_format.h. An offset of -1 (32 bits), which CPython has in a frame that has not begun, gives
 * `first_line`. Returns 0 when the table does not tell: unknown kind, no line for this instruction, past the end. */
int pylines_find(int kind, const uint8_t *table, size_t size, int first_line, uint64_t offset);

#endif
