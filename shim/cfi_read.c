/* SPDX-License-Identifier: MIT */
#include "cfi_read.h"

#include "cfi_format.h"

#include <errno.h>
#include <string.h>

uint64_t cfi_uleb(const uint8_t **at)
{
    uint64_t value = 0;

    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

int64_t cfi_sleb(const uint8_t **at)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = *(*at)++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (shift < 64 && (byte & 0x40))
        value |= ~0ULL << shift;
    return (int64_t)value;
}

int cfi_pointer(const uint8_t **at, uint8_t encoding, bool base, uintptr_t *ret)
{
    const uint8_t *start = *at;
    uint64_t value = 0;
    unsigned size;

    switch (encoding & PE_FORMAT) {
    case PE_UDATA4:
    case PE_SDATA4:
        size = 4;
        break;
    case PE_UDATA2:
    case PE_SDATA2:
        size = 2;
        break;
    case PE_ABSOLUTE:
    case PE_UDATA8:
    case PE_SDATA8:
        size = 8;
        break;
    default:
        return -ENOTSUP;
    }
    memcpy(&value, start, size);
    if ((encoding & PE_FORMAT) == PE_SDATA4)
        value = (uint64_t)(int64_t)(int32_t)value;
    if ((encoding & PE_FORMAT) == PE_SDATA2)
        value = (uint64_t)(int64_t)(int16_t)value;
    if (base && (encoding & PE_BASE) == PE_PCREL)
        value += (uintptr_t)start;
    else if (base && (encoding & PE_BASE))
        return -ENOTSUP;
    *at += size;
    *ret = value;
    return 0;
}
