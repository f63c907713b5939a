/* SPDX-License-Identifier: MIT
 *
 * The lock of a pool, and waiting for a free. Errors are negative errno. */
#ifndef CLIENT_POOL_LOCK_H
#define CLIENT_POOL_LOCK_H

#include "pool_format.h"

/* Takes the lock; mends the pool when its owner died. -EIDRM: the pool is destroyed; -ENOTRECOVERABLE; -EDEADLK: this thread has
 * it (a signal handler of its own calls in). */
int pool_lock(struct pool_view *view);
void pool_unlock(struct pool_view *view);

/* Something was freed: those that wait shall look again. Under the lock. */
void pool_wake(struct pool_view *view);

/* Under the lock, which is given up: waits until pool_wake is called, for `left` nanoseconds at most (below 0: without
 * limit), but no longer than some tenths of a second, because the one who would have called it may have been killed. Returns
 * 0 or -EINTR. */
int pool_wait(struct pool_view *view, int64_t left);

/* The same without the lock, unless header->freed is not `seen` any more. */
int pool_wait_word(struct pool_view *view, uint32_t seen, int64_t left);

#endif
