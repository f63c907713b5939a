/* SPDX-License-Identifier: MIT */
#include "pause.h"

#include "compiler.h"
#include "thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#define PATIENCE_NS 1000000000 /* for threads inside an event: one takes some microseconds */
#define WAIT_NS 50000000       /* the one who paused may be gone */
#define NAP_NS 20000

static int taken;
static uint32_t generation;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* All threads see what this one has written, and this one what they wrote before. Where the kernel has no such call, stores
 * become visible within far less than a nap. */
static void barrier(void)
{
    static bool registered;

    if (!registered)
        registered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    if (!registered || syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool pause_begin(void)
{
    if (__atomic_exchange_n(&taken, 1, __ATOMIC_ACQUIRE))
        return false;
    int saved = errno;
    generation = *thread_generation;
    *thread_generation = THREAD_PAUSED;
    barrier();
    int64_t end = now() + PATIENCE_NS;
    bool out;
    while (!(out = thread_others_are_out()) && now() < end)
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    if (!out)
        pause_end();
    errno = saved;
    return out;
}

void pause_end(void)
{
    int saved = errno;

    __atomic_store_n(thread_generation, generation, __ATOMIC_RELEASE);
    __atomic_store_n(&taken, 0, __ATOMIC_RELEASE);
    syscall(SYS_futex, thread_generation, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    errno = saved;
}

__attribute__((noinline)) void pause_wait(void)
{
    const struct timespec limit = {.tv_nsec = WAIT_NS};

    __builtin_unwind_init();
    while (*thread_generation == THREAD_PAUSED)
        syscall(SYS_futex, thread_generation, FUTEX_WAIT_PRIVATE, THREAD_PAUSED, &limit, NULL, 0);
}

void pause_fork_child(void)
{
    taken = 0;
}

const volatile void *pause_place(void)
{
    return thread_generation;
}
