/* SPDX-License-Identifier: MIT
 *
 * The ranges of code that an ELF file's .eh_frame has entries for: where functions, and parts of functions, begin and end,
 * even in a stripped file. For coldparts.c. */
#ifndef ANALYZER_FRAME_RANGES_H
#define ANALYZER_FRAME_RANGES_H

#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ELF addresses; `end` is the first one behind. */
struct frame_range {
    uint64_t start, end;
};

/* Ordered by address. All zero at first. */
struct frame_ranges {
    struct frame_range *ranges;
    size_t count;
    size_t room;
};

/* Reads them all. Entries in encodings that no compiler uses for code are left out, and so is what no memory is left for. */
void frame_ranges_read(struct frame_ranges *ranges, Elf *elf);

/* The range with `address`, NULL if there is none. */
const struct frame_range *frame_ranges_find(const struct frame_ranges *ranges, uint64_t address);

void frame_ranges_clear(struct frame_ranges *ranges);

#endif
