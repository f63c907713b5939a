/* SPDX-License-Identifier: MIT
 *
 * Compilers move what a function seldom runs away from it, to a part with call frame information of its own. The full
 * symbol table names such a part (f.cold); in a stripped file it has no name. CPython's evaluation loop is found there in
 * some distributions' builds, so that it matters who owns it.
 *
 * A part belongs to the function with which it shares jumps: the part jumps into the middle of the function, and the
 * function to the part. Nothing else in a program does that: other functions are called, or jumped to at their start.
 * x86-64 only; elsewhere nothing is found. Not thread-safe. */
#ifndef ANALYZER_COLDPARTS_H
#define ANALYZER_COLDPARTS_H

#include "frame_ranges.h"

#include <elfutils/libdwfl.h>
#include <stdint.h>

/* What was found so far, of one module. All zero at first. */
struct coldparts {
    struct frame_ranges ranges; /* read when they are asked for first */
    bool ready;
    struct coldpart *parts;
    unsigned int count;
};

/* The symbol of the function to whose moved part `address` belongs, NULL if it is in none. Lives as long as `module`. */
const char *coldparts_find(struct coldparts *parts, Dwfl_Module *module, uint64_t address);

void coldparts_clear(struct coldparts *parts);

#endif
