/* SPDX-License-Identifier: MIT
 *
 * Full stack walks by libunwind: the reference for the self-check, the way for frames without a simple rule, and the only
 * way on architectures without rules of their own. Takes the loader's lock (dl_iterate_phdr) and may call malloc; call it
 * inside the guard of thread.h. */
#ifndef SHIM_UNWIND_SLOW_H
#define SHIM_UNWIND_SLOW_H

#include "unwind.h"

/* Below this no code can be: a return address there ends the stack. */
#define CODE_MIN 4096u

/* Steps towards lower addresses (of the stack pointer) after which a stack is taken for garbled, and ends. */
#define BACKWARD_MAX 100u

/* Loads libunwind. Returns 0 or -errno. */
int slow_init(void);

/* Whether libunwind is there. */
bool slow_present(void);

/* A frame found. */
struct slow_frame {
    uintptr_t pc;
    bool exact; /* interrupted at pc by a signal */
};

/* Writes the frames from `start` outwards, innermost first, `max` at most. Returns their number: at least 1, the start
 * itself, even where libunwind does not know how to reach it (or is not there). */
unsigned slow_walk(const struct unwind_start *start, struct slow_frame *frames, unsigned max);

#endif
