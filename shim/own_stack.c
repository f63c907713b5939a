/* SPDX-License-Identifier: MIT */
#include "own_stack.h"

#include "arena.h"
#include "calm.h"
#include "compiler.h"
#include "lock.h"
#include "machine.h"

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

#define STACK_BYTES (256u << 10)
#define FRAME_WORDS 16u /* registers that a frame may have below its address */

static void *stack;
static struct lock lock; /* of what follows. Nobody waits for it */
static void (*work)(void *argument);
static void *work_argument;
static ucontext_t there;

static _Thread_local uintptr_t left _initial_exec_; /* own_stack_left */

uintptr_t own_stack_left(void)
{
    bool here = (uintptr_t)__builtin_frame_address(0) - (uintptr_t)stack < STACK_BYTES;
    return here ? left : 0;
}

static bool on_alternate_stack(void)
{
    stack_t now;
    return sigaltstack(NULL, &now) == 0 && now.ss_flags & SS_ONSTACK;
}

static void begin(void)
{
    work(work_argument);
    work = NULL;
}

/* Not by the C library's functions where that can be: sanitizers have their own in the place of those, and warn of them. */
static bool call(void (*function)(void *), void *argument)
{
    __builtin_unwind_init(); /* the registers of the callers are saved in this frame, where the scan of the memory finds them */
    left = (uintptr_t)__builtin_frame_address(0) - sizeof(uintptr_t[FRAME_WORDS]);
    bool called = machine_call_on((uint8_t *)stack + STACK_BYTES, function, argument);
    left = 0;
    return called;
}

static void change(void (*function)(void *), void *argument)
{
    ucontext_t here; /* with the registers */

    if (call(function, argument))
        return;

    work = function;
    work_argument = argument;
    if (getcontext(&there) == 0) {
        there.uc_stack = (stack_t){.ss_sp = stack, .ss_size = STACK_BYTES};
        there.uc_link = &here;
        makecontext(&there, begin, 0);
        left = (uintptr_t)&here;
        swapcontext(&here, &there);
        left = 0;
    }
    if (work)
        function(argument);
}

/* On an alternate stack signals are blocked because the kernel, which finds the thread on another stack, would put their frames on
 * the alternate one again, over those that are there. */
static void change_with_mask(void (*function)(void *), void *argument)
{
    bool alternate = on_alternate_stack();
    sigset_t all, before;

    sigfillset(&all);
    if (alternate)
        calm_mask(SIG_BLOCK, &all, &before);
    change(function, argument);
    if (alternate)
        calm_mask(SIG_SETMASK, &before, NULL);
}

/* The thread itself has it, and has gone by a jump out of a signal handler; nor is it in such a handler now. */
static bool was_left(void)
{
    return lock_is_own(&lock) && !own_stack_left() && !on_alternate_stack();
}

void own_stack_run(void (*function)(void *argument), void *argument)
{
    int cancel = calm_hold();

    if (stack && (lock_try(&lock) || was_left())) {
        change_with_mask(function, argument);
        lock_give(&lock);
    } else {
        function(argument);
    }
    calm_release(cancel);
}

void own_stack_init(void)
{
    stack = arena_map(STACK_BYTES);
}

void own_stack_fork_child(void)
{
    if (!lock_is_own(&lock))
        lock_give(&lock);
}
