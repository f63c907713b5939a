/* SPDX-License-Identifier: MIT
 *
 * A lock for the cold paths of the shim (growing a table, storing a text): spins, then yields. Taken inside the guard of
 * thread.h only, so that no signal handler can meet a lock that its own thread holds; freed by hand in a forked child. */
#ifndef SHIM_LOCK_H
#define SHIM_LOCK_H

#include <sched.h>
#include <stdbool.h>

struct lock {
    int taken;
};

static inline bool lock_try(struct lock *lock)
{
    return __atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void lock_take(struct lock *lock)
{
    for (unsigned tries = 0; !lock_try(lock); tries++)
        if (tries > 100)
            sched_yield();
}

static inline void lock_give(struct lock *lock)
{
    __atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}

#endif
