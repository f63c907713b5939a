/* SPDX-License-Identifier: MIT
 *
 * What a stack walk may read. A garbled stack (assembly without unwind information, coroutine libraries that copy stacks)
 * can lead a walk anywhere, so that every address is checked against ranges in which all pages were found readable.
 *
 * A page is asked for once, with a system call, and then believed as long as successive captures begin on the same stack
 * or on the one before. Live frames are in mapped memory anyway; a stale range could only harm where a garbled stack
 * points into a stack that was unmapped meanwhile. */
#ifndef SHIM_UNWIND_MEMORY_H
#define SHIM_UNWIND_MEMORY_H

#include "compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* Pages from low to high are readable. Empty: 0, 0. */
struct memory_range {
    uintptr_t low, high;
};

struct memory {
    struct memory_range here;  /* the stack on which the capture began */
    struct memory_range other; /* another one: below an alternate signal stack, or the one before */
};

/* Whether a word at `address` can be read, by asking the kernel. Keeps errno. */
bool memory_probe(uintptr_t address);

/* The slow parts of the two functions below. */
bool memory_readable_slow(struct memory *memory, uintptr_t address);
bool memory_enter_slow(struct memory *memory, uintptr_t sp);

static inline bool memory_in(const struct memory_range *range, uintptr_t address)
{
    return address >= range->low && address + sizeof(uint64_t) <= range->high && address < range->high;
}

/* Whether the word at `address` can be read. */
static inline bool memory_readable(struct memory *memory, uintptr_t address)
{
    return likely(memory_in(&memory->here, address)) || memory_readable_slow(memory, address);
}

/* Begins a capture at `sp`, which is a live stack. Returns false when a range had to be given up: what was read in it may
 * no longer be readable. */
static inline bool memory_is_here(const struct memory *memory, uintptr_t sp)
{
    return sp - memory->here.low < memory->here.high - memory->here.low;
}

static inline bool memory_enter(struct memory *memory, uintptr_t sp)
{
    return likely(memory_is_here(memory, sp)) || memory_enter_slow(memory, sp);
}

#endif
