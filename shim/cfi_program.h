/* SPDX-License-Identifier: MIT
 *
 * Call frame programs: what the operations in a common information entry and in a frame description make of a row. */
#ifndef SHIM_CFI_PROGRAM_H
#define SHIM_CFI_PROGRAM_H

#include "cfi.h"

/* What a common information entry says. */
struct cfi_cie {
    const uint8_t *program, *end;
    uint64_t code_align;
    int64_t data_align;
    uint8_t ra_register;
    uint8_t encoding; /* of pointers in its FDEs */
    bool augmented;   /* FDEs have an augmentation block */
    bool signal;
};

/* Runs the program of the entry, and then that of a function that begins at `start`, from `program` to `end`, up to `pc`. Returns 0
 * and the row that holds there, or -ENOTSUP. */
int cfi_program_row(const struct cfi_cie *cie, const uint8_t *program, const uint8_t *end, uintptr_t start,
                    uintptr_t pc, struct cfi_row *row);

#endif
