/* SPDX-License-Identifier: MIT
 *
 * The three encodings that CPython has had: Objects/lnotab_notes.txt up to 3.9 and for 3.10, Objects/locations.md
 * (now InternalDocs/code_objects.md) since 3.11. Sums are 64 bits wide, so no table can make them overflow. */
#include "pylines.h"

#include "ledger_format.h"

#include <limits.h>

#define NOT_BEGUN UINT32_MAX

/* Codes of an entry of the 3.11 table; those below are short forms on the same line. */
enum location_code {
    LOCATION_ONE_LINE_0 = 10, /* 10, 11, 12: this many lines + 10 */
    LOCATION_ONE_LINE_2 = 12,
    LOCATION_NO_COLUMNS = 13,
    LOCATION_LONG = 14,
    LOCATION_NONE = 15,
};

static int line_from(int64_t line)
{
    return line > 0 && line <= INT_MAX ? (int)line : 0;
}

/* Pairs (bytes, lines): after so many bytes the line grows by so much. */
static int lnotab_find(const uint8_t *table, size_t size, int first_line, uint64_t offset)
{
    int64_t line = first_line;
    uint64_t address = 0;

    for (size_t i = 0; i + 1 < size; i += 2) {
        address += table[i];
        if (address > offset)
            break;
        line += (int8_t)table[i + 1];
    }
    return line_from(line);
}

/* Pairs (bytes, lines): the line grows by so much and holds for so many bytes; -128 is no line for so many bytes. */
static int linetable_find(const uint8_t *table, size_t size, int first_line, uint64_t offset)
{
    int64_t line = first_line;
    uint64_t end = 0;

    for (size_t i = 0; i + 1 < size; i += 2) {
        int8_t delta = (int8_t)table[i + 1];

        end += table[i];
        if (delta != -128)
            line += delta;
        if (offset < end)
            return delta == -128 ? 0 : line_from(line);
    }
    return 0;
}

/* A signed number of the 3.11 table: 6 bits a byte, low ones first, 0x40 = more follow, lowest bit of all = sign. */
static int64_t signed_varint(const uint8_t *table, size_t size, size_t at)
{
    uint64_t value = 0;

    for (unsigned int shift = 0; at < size && shift < 36; shift += 6, at++) {
        value |= (uint64_t)(table[at] & 0x3f) << shift;
        if (!(table[at] & 0x40))
            break;
    }
    return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

/* Entries: a byte 0x80 | code << 3 | length - 1 (in units of 2 bytes), then bytes below 0x80. */
static int locations_find(const uint8_t *table, size_t size, int first_line, uint64_t offset)
{
    int64_t line = first_line;
    uint64_t end = 0;
    size_t i = 0;

    while (i < size) {
        unsigned int code = table[i] >> 3 & 15;

        if (!(table[i] & 0x80))
            return 0;
        end += ((table[i] & 7) + 1u) * 2;
        if (code >= LOCATION_ONE_LINE_0 && code <= LOCATION_ONE_LINE_2)
            line += code - LOCATION_ONE_LINE_0;
        else if (code == LOCATION_NO_COLUMNS || code == LOCATION_LONG)
            line += signed_varint(table, size, i + 1);
        if (offset < end)
            return code == LOCATION_NONE ? 0 : line_from(line);
        do
            i++;
        while (i < size && !(table[i] & 0x80));
    }
    return 0;
}

int pylines_find(int kind, const uint8_t *table, size_t size, int first_line, uint64_t offset)
{
    if (offset == NOT_BEGUN || offset == UINT64_MAX)
        return line_from(first_line);
    switch (kind) {
    case CODE_LNOTAB:
        return lnotab_find(table, size, first_line, offset);
    case CODE_LINETABLE_310:
        return linetable_find(table, size, first_line, offset);
    case CODE_LOCATIONS_311:
        return locations_find(table, size, first_line, offset);
    default:
        return 0;
    }
}
