/* SPDX-License-Identifier: MIT
 *
 * Code without call frame information on x86-64: what libunwind makes of it, by following rbp. That depends on the
 * libunwind at hand: older ones take the caller's stack pointer for 16 bytes above the frame's own, which is wrong where
 * the frame has room of its own; newer ones (1.8) for what lies behind the saved rbp, but go on measuring by the old
 * number (unwind_fresh.lag). For unwind_x86_64.c only. */
#ifndef SHIM_UNWIND_GUESS_H
#define SHIM_UNWIND_GUESS_H

#include "unwind_state.h"

enum step { STEP_ON, STEP_END, STEP_COMPLEX };

/* Finds out which way libunwind goes. After slow_init. */
void guess_init(void);

/* Moves the cursor to the caller, and notes in `frame` what was read. */
enum step guess_step(struct memory *memory, struct unwind_fresh *frame, struct cursor *cursor);

#endif
