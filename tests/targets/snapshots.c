/* SPDX-License-Identifier: MIT
 *
 * A program that goes on after its snapshots. Prints what memshim_snapshot returns, one line for each call.
 *
 *   call PATH      loses blocks and takes snapshots: with a path, with the same path again, without a path
 *   threads        takes snapshots while other threads allocate, and one waits
 *   busy           loses blocks, prints a line, and allocates until SIGTERM
 *   idle           loses blocks, prints a line, and allocates nothing until SIGTERM
 *   grow           keeps more and more in one place, as much as before in another, between marks
 *   off            switches recording off and on */
#include "memshim/memshim.h"
#include "target.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define SNAPSHOTS 20

static void *volatile kept[10];
static volatile bool stop;

VISIBLE static void lose_few(void)
{
    lose(3, 72);
    NO_TAIL_CALL();
}

VISIBLE static void lose_many(void)
{
    lose(200, 64);
    NO_TAIL_CALL();
}

VISIBLE static void keep(void)
{
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
        kept[i] = malloc(32);
}

static void plant(void)
{
    /* What was lost last may have its address lie about somewhere. */
    lose_few();
    lose_many();
    keep();
    char wiped[4096];
    use(memset(wiped, 0, sizeof(wiped))); /* no pointers are left on the stack */
}

/* A snapshot is no child of the program's. */
static void say(int result)
{
    int error = waitpid(-1, NULL, WNOHANG) < 0 ? errno : 0;
    printf("%d %s\n", result, error == ECHILD ? "alone" : "child");
    fflush(stdout);
}

static void *allocate(void *nothing)
{
    while (!stop)
        free(malloc(100));
    return nothing;
}

static void *wait_for_end(void *nothing)
{
    struct pollfd none;
    while (!stop)
        poll(&none, 0, 10);
    return nothing;
}

static void run_threads(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, i == 0 ? wait_for_end : allocate, NULL);
    for (int i = 0; i < SNAPSHOTS; i++)
        say(memshim_snapshot(NULL));
    stop = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void end(int number)
{
    (void)number;
    stop = true;
}

static void run_until_end(bool allocates)
{
    signal(SIGTERM, end);
    puts("ready");
    fflush(stdout);
    while (!stop) {
        for (int i = 0; allocates && i < 100; i++)
            free(malloc(100));
        if (!allocates)
            poll(NULL, 0, 1000);
    }
}

struct item {
    struct item *next;
    char text[40];
};

static struct item *endless;
static struct item *volatile ring[16];

VISIBLE static void grow_without_end(void)
{
    struct item *item = malloc(sizeof(*item));
    item->next = endless;
    endless = item;
}

VISIBLE static void replace_one(unsigned n)
{
    free(ring[n % 16]);
    ring[n % 16] = malloc(sizeof(struct item));
}

static void grow(void)
{
    unsigned n = 0;

    for (int mark = 0; mark < 12; mark++) {
        for (int i = 0; i < 50; i++)
            replace_one(n++);
        for (int i = 0; i < 7; i++)
            grow_without_end();
        printf("%d\n", memshim_mark(mark == 0 ? "first" : NULL));
    }
}

VISIBLE static void lose_recorded(void)
{
    lose(4, 32);
    NO_TAIL_CALL();
}

VISIBLE static void lose_unrecorded(void)
{
    lose(4, 32);
    NO_TAIL_CALL();
}

static void switch_off(void)
{
    struct memshim_stats before, between, after;
    void *volatile early = malloc(1000);

    lose_recorded();
    memshim_get_stats(&before, sizeof(before));
    printf("%d", memshim_recording(0));
    lose_unrecorded();
    memshim_get_stats(&between, sizeof(between));
    free(early);
    memshim_get_stats(&after, sizeof(after));
    printf(" %d\n", memshim_recording(1));
    printf("%llu %llu %llu\n", between.allocations - before.allocations, after.frees - between.frees,
           after.freed_bytes - between.freed_bytes);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "grow") == 0) {
        grow();
        return 0;
    }
    if (strcmp(what, "off") == 0) {
        switch_off();
        return 0;
    }
    plant();
    if (strcmp(what, "call") == 0 && argc > 2) {
        say(memshim_snapshot(argv[2]));
        say(memshim_snapshot(argv[2]));
        say(memshim_snapshot(NULL));
    } else if (strcmp(what, "threads") == 0) {
        run_threads();
    } else {
        run_until_end(strcmp(what, "busy") == 0);
    }
    return 0;
}
