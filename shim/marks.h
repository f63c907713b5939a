/* SPDX-License-Identifier: MIT
 *
 * Marks: moments at which the live blocks of each stack are counted, so that it can be told which stacks keep more and more
 * (analyzer/growth.h). The clock sets them (option growth), or the program does (memshim_mark). Counting reads all records
 * once, some 10 ms for a million live blocks, on the thread whose turn it is; other threads go on. */
#ifndef SHIM_MARKS_H
#define SHIM_MARKS_H

#include <stdbool.h>
#include <stdint.h>

/* From the constructor: a mark every `milliseconds`, 0 = none. */
void marks_init(uint64_t milliseconds);

/* Whether the clock says that it is time. */
bool marks_are_due(void);

/* From thread_leave_slow, inside the guard. */
void marks_take_due(void);

/* Sets a mark called `name` (NULL: no name). Inside the guard. Returns its number, or -errno: -EBUSY another thread is at it,
 * -ENOMEM, -ENOSPC. */
int marks_take(const char *name);

/* Whether there are enough marks to tell what grows. */
bool marks_suffice(void);

/* In a forked child, for its new ledger. */
void marks_fork_child(void);

#endif
