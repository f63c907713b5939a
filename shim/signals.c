/* SPDX-License-Identifier: MIT */
#include "signals.h"

#include "calm.h"
#include "compiler.h"
#include "ledger.h"
#include "lock.h"
#include "real.h"
#include "start.h"
#include "thread.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

_exported_ int sigaction(int number, const struct sigaction *action, struct sigaction *old);
_exported_ sighandler_t signal(int number, sighandler_t handler);
_exported_ sighandler_t __sysv_signal(int number, sighandler_t handler);
_exported_ sighandler_t sysv_signal(int number, sighandler_t handler);
_exported_ int sigprocmask(int how, const sigset_t *set, sigset_t *old);
_exported_ int pthread_sigmask(int how, const sigset_t *set, sigset_t *old);

static struct lock lock;         /* with all signals blocked */
static struct sigaction program; /* the program's action */
static signals_watcher watcher;

/* ---- what the program says ---- */

static void block_all(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    calm_mask(SIG_BLOCK, &all, before);
}

static void on_signal(int number, siginfo_t *info, void *context);

/* A signal that the program ignores is left to the kernel, which hands that on to what the program executes. */
static int install(const struct sigaction *action)
{
    if (action->sa_handler == SIG_IGN)
        return real.sigaction(SIGSEGV, action, NULL);
    struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (action->sa_handler != SIG_DFL)
        ours.sa_flags = SA_SIGINFO | (action->sa_flags & (SA_ONSTACK | SA_RESTART));
    sigfillset(&ours.sa_mask);
    return real.sigaction(SIGSEGV, &ours, NULL);
}

/* Its memory is the parent's, its actions are its own. */
static bool in_vfork_child(void)
{
    return *thread_generation != 0 && *thread_generation != THREAD_INACTIVE && ledger_header->pid != getpid();
}

static int exchange(const struct sigaction *action, struct sigaction *old)
{
    struct sigaction wanted, before;
    sigset_t mask;
    int result = 0;

    if (action)
        wanted = *action;
    block_all(&mask);
    lock_take(&lock);
    before = program;
    bool borrowed = action && in_vfork_child();
    if (action)
        result = borrowed ? real.sigaction(SIGSEGV, &wanted, NULL) : install(&wanted);
    if (action && result == 0 && !borrowed) {
        program = wanted;
        sigdelset(&program.sa_mask, SIGKILL);
        sigdelset(&program.sa_mask, SIGSTOP);
    }
    lock_give(&lock);
    calm_mask(SIG_SETMASK, &mask, NULL);
    if (old && result == 0)
        *old = before;
    return result;
}

int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    real_init();
    if (unlikely(number == SIGINT))
        start_interpreter_may_end();
    return number == SIGSEGV && watcher ? exchange(action, old) : real.sigaction(number, action, old);
}

static sighandler_t set_handler(sighandler_t handler, int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old = {0};

    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    sigemptyset(&action.sa_mask);
    if (!(flags & SA_NODEFER))
        sigaddset(&action.sa_mask, SIGSEGV);
    return exchange(&action, &old) < 0 ? SIG_ERR : old.sa_handler;
}

sighandler_t signal(int number, sighandler_t handler)
{
    real_init();
    return number == SIGSEGV && watcher ? set_handler(handler, SA_RESTART) : real.signal(number, handler);
}

/* The handler is reset when it runs. */
sighandler_t __sysv_signal(int number, sighandler_t handler)
{
    real_init();
    return number == SIGSEGV && watcher ? set_handler(handler, (int)SA_RESETHAND | SA_NODEFER)
                                        : real.sysv_signal(number, handler);
}

sighandler_t sysv_signal(int number, sighandler_t handler)
{
    return __sysv_signal(number, handler);
}

/* ---- the mask ----
 *
 * A fault while SIGSEGV is blocked ends the process without a handler. So it is not: it is noted that the program has blocked it,
 * and told so; after the fault has been looked at, the process ends as it would have. Where it is blocked for other
 * reasons (in a handler), it stays so. */

static _Thread_local bool blocked;

static bool is_blocked(void)
{
    sigset_t now;

    calm_mask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, SIGSEGV);
}

/* What of `set` is for the kernel; notes the rest. */
static const sigset_t *split(int how, const sigset_t *set, sigset_t *rest)
{
    bool with = sigismember(set, SIGSEGV);

    if (how == SIG_UNBLOCK || !with || is_blocked()) {
        if (with == (how == SIG_UNBLOCK))
            blocked = blocked && how == SIG_BLOCK;
        return set;
    }
    blocked = true;
    *rest = *set;
    sigdelset(rest, SIGSEGV);
    return rest;
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t rest;
    bool before = blocked;

    real_init();
    if (!watcher || in_vfork_child())
        return real.pthread_sigmask(how, set, old);
    if (set && (how == SIG_BLOCK || how == SIG_UNBLOCK || how == SIG_SETMASK))
        set = split(how, set, &rest);
    int result = real.pthread_sigmask(how, set, old);
    if (result == 0 && old && before)
        sigaddset(old, SIGSEGV);
    return result;
}

int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    int result = pthread_sigmask(how, set, old);

    if (!result)
        return 0;
    errno = result;
    return -1;
}

/* ---- a signal ---- */

/* The program's action for the signal that has come. */
static struct sigaction begin_action(void)
{
    lock_take(&lock);
    struct sigaction action = program;
    if (action.sa_flags & (int)SA_RESETHAND)
        program.sa_handler = SIG_DFL;
    lock_give(&lock);
    return action;
}

/* With the default action in place, the instruction faults again; a signal that was sent is sent again, to come when the
 * handler returns. */
static void act_by_default(siginfo_t *info)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    real.sigaction(SIGSEGV, &action, NULL);
    if (info->si_code <= 0)
        syscall(SYS_rt_tgsigqueueinfo, getpid(), (int)syscall(SYS_gettid), SIGSEGV, info);
}

static void run_handler(const struct sigaction *action, int number, siginfo_t *info, ucontext_t *context)
{
    sigset_t mask;

    sigemptyset(&mask);
    memcpy(&mask, &context->uc_sigmask, 8); /* what the kernel has written of it */
    sigorset(&mask, &mask, &action->sa_mask);
    if (!(action->sa_flags & SA_NODEFER))
        sigaddset(&mask, number);
    calm_mask(SIG_SETMASK, &mask, NULL);
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(number, info, context);
    else
        action->sa_handler(number);
}

/* A signal that was sent waits until the program lets it in: from here on it is really blocked. */
static void hold_back(siginfo_t *info, ucontext_t *context)
{
    sigset_t mask;

    memcpy(&mask, &context->uc_sigmask, 8);
    sigaddset(&mask, SIGSEGV);
    memcpy(&context->uc_sigmask, &mask, 8);
    blocked = false;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (int)syscall(SYS_gettid), SIGSEGV, info);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    if (info->si_code > 0)
        watcher(info, context);
    if (blocked) {
        if (info->si_code > 0)
            act_by_default(info);
        else
            hold_back(info, context);
        errno = saved;
        return;
    }
    struct sigaction action = begin_action();
    errno = saved;
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)
        act_by_default(info);
    else
        run_handler(&action, number, info, context);
}

void signals_watch(signals_watcher look)
{
    if (real.sigaction(SIGSEGV, NULL, &program) < 0 || program.sa_handler == SIG_IGN)
        return;
    watcher = look;
    install(&program);
}

void signals_fork_child(void)
{
    lock_give(&lock);
}
