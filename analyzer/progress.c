/* SPDX-License-Identifier: MIT
 *
 * See progress.h. */
#include "progress.h"

#include "compiler.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define DELAY_MS 1000
#define INTERVAL_MS 200

static struct {
    bool on, shown;
    const char *what;
    uint64_t done, total;
    int64_t next; /* when it is shown (again) */
} progress;

static int64_t milliseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void progress_begin(void)
{
    progress.on = isatty(STDERR_FILENO) && tcgetpgrp(STDERR_FILENO) == getpgrp();
    progress.next = milliseconds() + DELAY_MS;
}

void progress_step(const char *what, uint64_t total)
{
    progress.what = what;
    progress.total = total;
    progress.done = 0;
}

static void show(void)
{
    if (progress.total > 0)
        fprintf(stderr, "\r%s: %d%%\033[K", progress.what,
                (int)(100 * ((double)MIN(progress.done, progress.total) / (double)progress.total)));
    else
        fprintf(stderr, "\r%s ..\033[K", progress.what);
    progress.shown = true;
}

void progress_add(uint64_t done)
{
    if (!progress.on || !progress.what)
        return;
    progress.done += done;
    int64_t now = milliseconds();
    if (now < progress.next)
        return;
    progress.next = now + INTERVAL_MS;
    show();
}

void progress_end(void)
{
    if (progress.shown)
        fputs("\r\033[K", stderr);
    progress.on = progress.shown = false;
}
