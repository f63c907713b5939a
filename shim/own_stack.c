/* SPDX-License-Identifier: MIT
 *
 * Signals are blocked because the kernel, which finds the thread on another stack, would put their frames on the alternate
 * one again, over those that are there. */
#include "own_stack.h"

#include "arena.h"
#include "calm.h"
#include "lock.h"

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

#define STACK_BYTES (256u << 10)

static struct lock lock; /* of what follows */
static void *stack;
static void (*work)(void *argument);
static void *work_argument;
static ucontext_t there;

static bool on_alternate_stack(void)
{
    stack_t now;
    return sigaltstack(NULL, &now) == 0 && now.ss_flags & SS_ONSTACK;
}

static void begin(void)
{
    work(work_argument);
}

/* `here` is on the caller's stack, where the scan of the memory finds the registers. */
static void change(void (*function)(void *), void *argument)
{
    ucontext_t here;

    if (!stack)
        stack = arena_map(STACK_BYTES);
    if (!stack || getcontext(&there) < 0) {
        function(argument);
        return;
    }
    work = function;
    work_argument = argument;
    there.uc_stack = (stack_t){.ss_sp = stack, .ss_size = STACK_BYTES};
    there.uc_link = &here;
    makecontext(&there, begin, 0);
    swapcontext(&here, &there);
}

void own_stack_run(void (*function)(void *argument), void *argument)
{
    sigset_t all, before;
    int cancel = calm_hold();

    if (!on_alternate_stack()) {
        function(argument);
        calm_release(cancel);
        return;
    }
    sigfillset(&all);
    calm_mask(SIG_BLOCK, &all, &before);
    lock_take(&lock);
    change(function, argument);
    lock_give(&lock);
    calm_mask(SIG_SETMASK, &before, NULL);
    calm_release(cancel);
}

void own_stack_fork_child(void)
{
    lock_give(&lock);
}
