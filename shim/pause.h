/* SPDX-License-Identifier: MIT
 *
 * Stops all recording for the moment that a consistent copy of process and ledger takes. Other threads go on until their
 * next event, and wait there; what they hold of the program's meanwhile they would hold as well if they were descheduled. */
#ifndef SHIM_PAUSE_H
#define SHIM_PAUSE_H

#include <stdbool.h>

/* Lets no other thread into an event, and waits until those inside have come out. False: another thread has paused, or one
 * does not come out (its program's signal handler interrupted it and goes on for long); nothing is paused then. The caller
 * is inside the guard of thread.h with all signals blocked, and calls pause_end soon. Takes no locks of the program's. */
bool pause_begin(void);
void pause_end(void);

/* Waits until nothing is paused, outside the guard. The program's registers are on the stack meanwhile. */
void pause_wait(void);

/* In a forked child, whose parent may have been in a pause of another thread's. */
void pause_fork_child(void);

/* Address of the word that pause_wait waits at, as the kernel shows it of a waiting thread. */
const volatile void *pause_place(void);

#endif
