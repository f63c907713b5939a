/* SPDX-License-Identifier: MIT
 *
 * System calls that the shim makes in the program's name have effects that malloc and exit do not have: they are points where
 * a thread is cancelled, and a write can end the process with SIGPIPE or SIGXFSZ. None of that happens in between calm_begin and
 * calm_end. Callable anywhere, nested, too. */
#ifndef SHIM_CALM_H
#define SHIM_CALM_H

#include "compiler.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

struct calm {
    sigset_t before;
    int cancel;
};

void calm_begin(struct calm *calm);
void calm_end(const struct calm *calm);

/* The half that costs no system call: cancellation only. Returns what calm_release takes. */
static inline int calm_hold(void)
{
    int state = PTHREAD_CANCEL_ENABLE;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

static inline void calm_release(int state)
{
    pthread_setcancelstate(state, NULL);
}

/* Changes the mask of signals as pthread_sigmask does, but not by way of the hook of that name (signals.c). */
static inline void calm_mask(int how, const sigset_t *set, sigset_t *old)
{
    if (old)
        sigemptyset(old);
    syscall(SYS_rt_sigprocmask, how, set, old, 8);
}

#endif
