/* SPDX-License-Identifier: MIT
 *
 * The ledger of this process: where it lies, and what it says about the process. For start.c. */
#ifndef SHIM_START_LEDGER_H
#define SHIM_START_LEDGER_H

#include <stdbool.h>

/* The name of the executable file, without its folder; empty before start_ledger_init. */
extern char start_program[256];

/* Takes note of names that the program may change later. Once, before the other. */
void start_ledger_init(void);

/* Makes the ledger of this process, a child of a fork or not. Returns 0, or -errno after a word in the log. */
int start_ledger_open(bool forked);

#endif
