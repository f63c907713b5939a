/* SPDX-License-Identifier: MIT
 *
 * Numbers as they are written in call frame information. The readers move *at behind what they have read. */
#ifndef SHIM_CFI_READ_H
#define SHIM_CFI_READ_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Signed and unsigned LEB128; bits beyond 64 are lost. */
uint64_t cfi_uleb(const uint8_t **at);
int64_t cfi_sleb(const uint8_t **at);

/* A pointer in one of the encodings PE_*; `base` false leaves out what it is relative to. Returns 0 or -ENOTSUP. */
int cfi_pointer(const uint8_t **at, uint8_t encoding, bool base, uintptr_t *ret);

static inline uint32_t cfi_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

#endif
