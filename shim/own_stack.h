/* SPDX-License-Identifier: MIT
 *
 * Work in a signal handler of the program's: its alternate signal stack may be as small as the kernel allows. */
#ifndef SHIM_OWN_STACK_H
#define SHIM_OWN_STACK_H

/* Calls function(argument): on a stack of the shim's own, with all signals blocked, when the calling thread is on an alternate
 * signal stack, else as it is. The thread is not cancelled in there. Needs no guard. */
void own_stack_run(void (*function)(void *argument), void *argument);

/* In a forked child. */
void own_stack_fork_child(void);

#endif
