/* SPDX-License-Identifier: MIT
 *
 * A stack for work of the shim's that needs much: the program may be in a coroutine, in the smallest of threads, or on an alternate
 * signal stack as small as the kernel allows. */
#ifndef SHIM_OWN_STACK_H
#define SHIM_OWN_STACK_H

#include <stdint.h>

/* Calls function(argument) on a stack of the shim's own, with all signals blocked if the calling thread is on an alternate signal
 * stack. As it is, when that stack is in use (by another thread, or further out) or cannot be had. The thread is not cancelled in
 * there. Needs no guard. */
void own_stack_run(void (*function)(void *argument), void *argument);

/* Inside own_stack_run: where the calling thread's stack ends that it has left, all of whose registers are above. 0: it has left none. */
uintptr_t own_stack_left(void);

/* Reserves the stack. Before the first thread. */
void own_stack_init(void);

/* In a forked child. */
void own_stack_fork_child(void);

#endif
