/* SPDX-License-Identifier: MIT
 *
 * The shim's handler of SIGSEGV stands before the program's. sigaction and signal are hooked, so that the program sees and
 * sets its own action only; after the shim has looked at a signal, what the program's action says happens: its handler runs
 * with the mask that it asked for, or the process ends by the signal. */
#ifndef SHIM_SIGNALS_H
#define SHIM_SIGNALS_H

#include <signal.h>
#include <ucontext.h>

/* Looks at a fault of the processor (not at signals that were sent). All signals are blocked; keeps nothing. */
typedef void (*signals_watcher)(const siginfo_t *info, const ucontext_t *context);

/* Installs the handler, unless the program was started with the signal ignored. Once, from the constructor. */
void signals_watch(signals_watcher watcher);

/* In a forked child. */
void signals_fork_child(void);

#endif
