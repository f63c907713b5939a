/* SPDX-License-Identifier: MIT
 *
 * A lock for the cold paths of the shim (growing a table, storing a text): spins, then yields. Taken inside the guard of
 * thread.h only, so that no signal handler can meet a lock that its own thread holds; freed by hand in a forked child. A thread
 * that finds its own lock taken has left by a jump out of a signal handler what took it (jumps.c): it goes on with that. */
#ifndef SHIM_LOCK_H
#define SHIM_LOCK_H

#include "machine.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
    uintptr_t owner; /* the thread, 0 = free */
};

static inline bool lock_try(struct lock *lock)
{
    uintptr_t none = 0;

    return __atomic_compare_exchange_n(&lock->owner, &none, machine_thread_self(), false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static inline bool lock_is_own(const struct lock *lock)
{
    return __atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == machine_thread_self();
}

static inline void lock_take(struct lock *lock)
{
    for (unsigned tries = 0; !lock_try(lock) && !lock_is_own(lock); tries++)
        if (tries > 100)
            sched_yield();
}

static inline void lock_give(struct lock *lock)
{
    __atomic_store_n(&lock->owner, 0, __ATOMIC_RELEASE);
}

#endif
