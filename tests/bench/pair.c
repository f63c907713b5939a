/* SPDX-License-Identifier: MIT
 *
 * Times pairs of malloc and free at the end of a chain of calls: pair DEPTH THREADS COUNT [SIZE] prints the nanoseconds that one
 * thread takes for a pair: CPU time for THREADS 1, which other programs disturb little; wall time for several, which
 * have to run at the same time, and for -1, which is one thread to compare them with. Blocks have SIZE bytes, or 24, 64, 200 and 1000 in turn.
 * Preload something to time it. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))
#define THREADS_MAX 64

static long count;
static int depth;
static size_t only_size;

static inline void *use(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

/* Several places that allocate, as in a program. */
#define LEAF(name, size) \
    NOINLINE static void name(void) \
    { \
        free(use(malloc(only_size ? only_size : (size)))); \
        __asm__ volatile(""); \
    }
LEAF(small, 24)
LEAF(middle, 64)
LEAF(large, 200)
LEAF(largest, 1000)

NOINLINE static void loop(void)
{
    for (long i = 0; i < count / 4; i++) {
        small();
        middle();
        large();
        largest();
    }
    __asm__ volatile("");
}

NOINLINE static void descend(int left)
{
    if (left <= 1)
        loop();
    else
        descend(left - 1);
    __asm__ volatile("");
}

static void *thread(void *unused)
{
    /* main or the thread's start, this one, loop, and a leaf: the rest is descend. */
    descend(depth - 4);
    return unused;
}

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: pair DEPTH THREADS COUNT [SIZE]\n");
        return 2;
    }
    depth = atoi(argv[1]);
    only_size = argc > 4 ? (size_t)atol(argv[4]) : 0;
    int thread_count = abs(atoi(argv[2]));
    bool cpu = atoi(argv[2]) == 1;
    count = 4000;
    thread(NULL); /* first use of everything */
    count = atol(argv[3]);
    if (thread_count < 1 || thread_count > THREADS_MAX || count < 4)
        return 2;
    clockid_t clock = cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    double start = now(clock);
    for (int i = 1; i < thread_count; i++)
        if (pthread_create(&threads[i], NULL, thread, NULL))
            return 1;
    thread(NULL);
    for (int i = 1; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    printf("%.2f\n", (now(clock) - start) / (double)count);
    return 0;
}
