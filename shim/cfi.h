/* SPDX-License-Identifier: MIT
 *
 * Call frame information: what .eh_frame says about one pc, as a row of register rules. Reads only the loaded objects'
 * own tables: no memory of its own, no file, and (with glibc 2.35 or later) no lock. Safe in signal handlers. */
#ifndef SHIM_CFI_H
#define SHIM_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* DWARF registers 0 to 16 of x86-64: 16 is the return address. Others make cfi_row return -ENOTSUP. */
#define CFI_REGISTERS 17

enum cfi_kind {
    CFI_SAME = 0,       /* the caller's value is still in the register */
    CFI_UNDEFINED,      /* lost; for the return address: outermost frame */
    CFI_OFFSET,         /* saved at CFA + value */
    CFI_VAL_OFFSET,     /* is CFA + value */
    CFI_REGISTER,       /* is in register `value` */
    CFI_EXPRESSION,     /* saved at the address that the block at `value` computes */
    CFI_VAL_EXPRESSION, /* is what the block at `value` computes */
};

struct cfi_row {
    uint8_t kind[CFI_REGISTERS]; /* enum cfi_kind */
    uint8_t cfa_register;        /* when cfa_block is 0 */
    int64_t value[CFI_REGISTERS];
    int64_t cfa_offset;
    uintptr_t cfa_block; /* address of an expression (ULEB128 length, then operations), or 0 */
};

/* What belongs to the whole function. */
struct cfi_frame {
    uintptr_t start, end; /* of the code it describes */
    uint8_t ra_register;
    bool signal; /* a signal trampoline: the caller was interrupted at its pc */
};

/* Looks up functions of the loader that may be missing. Once, before cfi_row. */
void cfi_init(void);

/* The row that holds at `pc` (of a call: return address - 1). Returns 0; -ENXIO when the pc is in no loaded object; -ENOENT
 * when its object's table does not know it; -ENOTSUP when it might, in a form that this reader does not handle. */
int cfi_row(uintptr_t pc, struct cfi_frame *ret_frame, struct cfi_row *ret_row);

/* Whether a loaded object holds `pc`. */
bool cfi_covers(uintptr_t pc);

#endif
