/* SPDX-License-Identifier: MIT
 *
 * Preloaded: a clock that goes back an hour each time it is read, and is sometimes before the epoch. */
#include <time.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *time)
{
    static long reads;

    (void)clock;
    time->tv_sec = 1700000000 - 3600 * __atomic_add_fetch(&reads, 1, __ATOMIC_RELAXED);
    time->tv_nsec = 999999999;
    if (reads % 5 == 0)
        time->tv_sec = -reads;
    return 0;
}
