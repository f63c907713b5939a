/* SPDX-License-Identifier: MIT */
#include "pylines.h"

#include "ledger_format.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 32

/* What six versions of CPython made of one function (with a list over several lines, a loop, try and finally, and a gap of
 * 300 lines), and what their own co_lines() or dis.findlinestarts() say of it: from byte on this line, 0 = none. */
static const struct {
    const char *version;
    int kind;
    const char *table;
    int first_line;
    unsigned int size; /* of the code */
    struct {
        unsigned int from;
        int line;
    } runs[RUNS_MAX];
} samples[] = {
    {"3.8",
     CODE_LNOTAB,
     "0002020102fe040408010401040102ff08020e010c02047f007f0030020102ff",
     2,
     72,
     {{0, 4},
      {2, 5},
      {4, 3},
      {8, 7},
      {16, 8},
      {20, 9},
      {24, 10},
      {26, 9},
      {34, 11},
      {48, 12},
      {60, 14},
      {64, 316},
      {66, 317},
      {68, 316}}},
    {"3.9",
     CODE_LNOTAB,
     "0002020102fe040408010401040102ff08020c010a02067f007f0030020102ff",
     2,
     70,
     {{0, 4},
      {2, 5},
      {4, 3},
      {8, 7},
      {16, 8},
      {20, 9},
      {24, 10},
      {26, 9},
      {34, 11},
      {46, 12},
      {56, 14},
      {62, 316},
      {64, 317},
      {66, 316}}},
    {"3.10",
     CODE_LINETABLE_310,
     "0202020104fe080404010401020108ff0c02060102ff02800403007f007f0230020104ff",
     2,
     68,
     {{0, 4},
      {2, 5},
      {4, 3},
      {8, 7},
      {16, 8},
      {20, 9},
      {24, 10},
      {26, 9},
      {34, 11},
      {46, 12},
      {52, 11},
      {54, 0},
      {56, 14},
      {60, 316},
      {62, 317},
      {64, 316}}},
    {"3.11",
     CODE_LOCATIONS_311,
     "8000e00809d80809f0050309068041f008000e0ff000070511f0000705118801f002060911dd0c0d8861d80e0ff103010d11f400010d11f00"
     "0010d11f000010d11f8e50f19f000010912f000010912f000010912d8101190019001f003010912f8f8f8f006000d11f88844884488448844"
     "f05c09000d0ed80c0df103010d0ef00001050f",
     2,
     110,
     {{0, 2},   {2, 4},   {4, 5},   {6, 3},  {10, 7},  {18, 8}, {20, 9},  {34, 10},   {36, 9},    {54, 0},
      {56, 11}, {74, 12}, {80, 11}, {82, 0}, {88, 14}, {90, 0}, {92, 14}, {100, 316}, {102, 317}, {104, 316}}},
    {"3.12",
     CODE_LOCATIONS_311,
     "8000e00809d80809f0050309068041f008000e0ff2000705118801f002060911dc0c0d8861d80e0ff403010d11f00a000d11f00f070511f06"
     "a09000d0ed80c0df103010d0ef00001050ff8f4630900101af200010912da1011f003010912fbf006000d11fa",
     2,
     102,
     {{0, 2},    {2, 4},    {4, 5},    {6, 3},  {10, 7},  {20, 8},  {22, 9},  {34, 10}, {36, 9},  {46, 14}, {48, 7},
      {50, 316}, {52, 317}, {54, 316}, {60, 0}, {62, 11}, {78, 12}, {84, 11}, {86, 0},  {94, 14}, {96, 0}}},
    {"3.13",
     CODE_LOCATIONS_311,
     "8000e00809d80809f0050309068041f308000e0f8801f002060911dc0c0d8861d80e0ff403010d11f10a000d11f10f000e0ff06a09000d0ed"
     "80c0df103010d0ef00001050ff8f4630900101af300010912da1011f003010912fbf006000d11fa",
     2,
     108,
     {{0, 2},    {2, 4},    {4, 5},    {6, 3},  {10, 7},  {20, 8},  {22, 9},  {34, 10}, {36, 9},   {46, 14}, {50, 7},
      {54, 316}, {56, 317}, {58, 316}, {64, 0}, {66, 11}, {84, 12}, {90, 11}, {92, 0},  {100, 14}, {102, 0}}},
};

static size_t unhex(const char *hex, uint8_t *bytes)
{
    size_t size = strlen(hex) / 2;

    for (size_t i = 0; i < size; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return size;
}

Test(pylines, every_byte_of_real_code_has_the_line_that_python_says)
{
    uint8_t table[512];

    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        size_t size = unhex(samples[i].table, table), run = 0;

        for (unsigned int offset = 0; offset < samples[i].size; offset++) {
            while (run + 1 < RUNS_MAX && samples[i].runs[run + 1].from && samples[i].runs[run + 1].from <= offset)
                run++;
            cr_expect_eq(pylines_find(samples[i].kind, table, size, samples[i].first_line, offset),
                         samples[i].runs[run].line, "%s at %u", samples[i].version, offset);
        }
    }
}

Test(pylines, a_frame_that_has_not_begun_is_on_the_first_line)
{
    cr_expect_eq(pylines_find(CODE_LNOTAB, NULL, 0, 7, UINT32_MAX), 7);
    cr_expect_eq(pylines_find(CODE_LINETABLE_310, NULL, 0, 7, UINT32_MAX), 7);
    cr_expect_eq(pylines_find(CODE_LOCATIONS_311, NULL, 0, 7, UINT64_MAX), 7);
}

Test(pylines, without_a_table_there_is_no_line)
{
    cr_expect_eq(pylines_find(0, NULL, 0, 7, 0), 0);
    cr_expect_eq(pylines_find(99, (const uint8_t *)"\x80\x00", 2, 7, 0), 0);
    cr_expect_eq(pylines_find(CODE_LINETABLE_310, NULL, 0, 7, 0), 0);
    cr_expect_eq(pylines_find(CODE_LOCATIONS_311, NULL, 0, 7, 0), 0);
}

Test(pylines, behind_the_end_there_is_no_line)
{
    cr_expect_eq(pylines_find(CODE_LINETABLE_310, (const uint8_t *)"\x02\x01", 2, 7, 2), 0);
    cr_expect_eq(pylines_find(CODE_LOCATIONS_311, (const uint8_t *)"\xd8\x01", 2, 7, 2), 0);
}

Test(pylines, long_line_steps_of_both_signs)
{
    /* code 13, one unit: + 100 = varint 200 = 8 | 0x40, 3; then - 100 = varint 201 = 9 | 0x40, 3 */
    static const uint8_t table[] = {0xe8, 0x48, 0x03, 0xe8, 0x49, 0x03};

    cr_expect_eq(pylines_find(CODE_LOCATIONS_311, table, sizeof(table), 10, 0), 110);
    cr_expect_eq(pylines_find(CODE_LOCATIONS_311, table, sizeof(table), 10, 2), 10);
}

Test(pylines, a_line_outside_the_range_of_int_is_none)
{
    static const uint8_t down[] = {0xe8, 0x49, 0x03};

    cr_expect_eq(pylines_find(CODE_LOCATIONS_311, down, sizeof(down), 10, 0), 0);
    cr_expect_eq(pylines_find(CODE_LNOTAB, (const uint8_t *)"\x00\x7f", 2, INT32_MAX, 0), 0);
}

/* Whatever the bytes are: no wild read (each table is an allocation of its own, for the sanitizer) and no overflow. */
Test(pylines, garbage_does_no_harm)
{
    unsigned int seed = 1;

    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)rand_r(&seed) % 40;
        uint8_t *table = malloc(size ? size : 1);

        for (size_t i = 0; i < size; i++)
            table[i] = (uint8_t)rand_r(&seed);
        for (int kind = CODE_LNOTAB; kind <= CODE_LOCATIONS_311; kind++)
            cr_expect_geq(pylines_find(kind, table, size, rand_r(&seed), (uint64_t)rand_r(&seed) % 100), 0);
        free(table);
    }
}
