/* SPDX-License-Identifier: MIT
 *
 * A report of a process that goes on. The process is copied as fork does it (without handlers, and without being seen by the
 * program's wait), while no thread is inside an event; in the copy the memory stands still, is scanned, and the report is
 * written. The program waits for the copy only, not for the report. No ptrace, and no lock that the program could hold.
 *
 * What starts one: a call (memshim_snapshot), a signal (option snapshot_signal), or a request that another process writes
 * into the ledger (`memshim snapshot PID`), at which the process looks every some hundred allocations. */
#ifndef SHIM_SNAPSHOT_H
#define SHIM_SNAPSHOT_H

#include <stdbool.h>

/* Takes one and waits for its report at `path` (NULL: beside the report of the process, with a number). Outside the guard.
 * Returns its number, or -errno: -EEXIST there is such a file, -EBUSY another one is being taken, -EAGAIN a thread does not come
 * out of its allocation, -ENODEV nothing is recorded here. Thread-safe; from signal handlers, too. */
int snapshot_take(const char *path);

/* From the constructor: the handler of the signal. */
void snapshot_init(int signal);

/* Waits for a copy that has ended, if there is one. Thread-safe. */
void snapshot_reap(void);

/* Whether another process has asked for one. */
bool snapshot_is_wanted(void);

/* From thread_leave_slow, inside the guard: takes the one that is wanted. */
void snapshot_serve(void);

/* In a forked child. */
void snapshot_fork_child(void);

#endif
