/* SPDX-License-Identifier: MIT
 *
 * A condition variable of the C library is not made for processes that are killed while they wait: a futex word that only counts
 * up is. */
#include "pool_lock.h"

#include "compiler.h"
#include "pool_heap.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#define WAIT_MAX 200000000 /* ns */

int pool_lock(struct pool_view *view)
{
    struct pool_header *header = view->header;
    int result = pthread_mutex_lock(&header->mutex);

    if (result == EOWNERDEAD) {
        pool_heap_rebuild(view);
        header->recoveries++;
        result = pthread_mutex_consistent(&header->mutex);
        if (result)
            pthread_mutex_unlock(&header->mutex);
        else
            pool_wake(view);
    }
    if (result == 0 && __atomic_load_n(&header->state, __ATOMIC_ACQUIRE) != POOL_LIVE) {
        pool_unlock(view);
        result = EIDRM;
    }
    return -result;
}

void pool_unlock(struct pool_view *view)
{
    pthread_mutex_unlock(&view->header->mutex);
}

void pool_wake(struct pool_view *view)
{
    struct pool_header *header = view->header;

    __atomic_add_fetch(&header->freed, 1, __ATOMIC_RELEASE);
    if (__atomic_load_n(&header->waiting, __ATOMIC_ACQUIRE))
        syscall(SYS_futex, &header->freed, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int pool_wait_word(struct pool_view *view, uint32_t seen, int64_t left)
{
    struct pool_header *header = view->header;
    int64_t wait = left < 0 ? WAIT_MAX : MIN(left, (int64_t)WAIT_MAX);
    struct timespec time = {.tv_nsec = wait};

    __atomic_add_fetch(&header->waiting, 1, __ATOMIC_ACQ_REL);
    long result = syscall(SYS_futex, &header->freed, FUTEX_WAIT, seen, &time, NULL, 0);
    int error = result < 0 ? errno : 0;
    __atomic_sub_fetch(&header->waiting, 1, __ATOMIC_ACQ_REL);
    return error == EINTR ? -EINTR : 0;
}

int pool_wait(struct pool_view *view, int64_t left)
{
    uint32_t seen = __atomic_load_n(&view->header->freed, __ATOMIC_ACQUIRE);

    pool_unlock(view);
    return pool_wait_word(view, seen, left);
}
