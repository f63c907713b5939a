/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <criterion/criterion.h>
#include <pty.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(progress);

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Work that takes a second and a half, or is over at once. */
static void work(uint64_t total, bool fast)
{
    double end = seconds() + 1.5;

    progress_begin();
    progress_step("reading", total);
    progress_add(50);
    while (!fast && seconds() < end)
        progress_add(0);
    progress_end();
}

/* What the terminal of a process that works gets. */
static char *shown(uint64_t total, bool fast)
{
    static char text[65536];
    int terminal;
    size_t size = 0;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);

    cr_assert_geq(child, 0);
    if (child == 0) {
        work(total, fast);
        _exit(0);
    }
    for (ssize_t got; size < sizeof(text) - 1 && (got = read(terminal, text + size, sizeof(text) - 1 - size)) > 0;)
        size += (size_t)got;
    text[size] = '\0';
    close(terminal);
    waitpid(child, NULL, 0);
    return text;
}

Test(progress, long_work_is_shown_and_wiped)
{
    char *text = shown(200, false);

    cr_expect(strstr(text, "\rreading: 25%\033[K"), "\"%s\"", text);
    cr_expect_str_eq(strrchr(text, '\r'), "\r\033[K", "nothing is left");
}

Test(progress, what_has_no_known_size_has_no_percentage)
{
    char *text = shown(0, false);

    cr_expect(strstr(text, "\rreading ..\033[K"), "\"%s\"", text);
}

Test(progress, short_work_is_not_shown)
{
    cr_expect_str_eq(shown(200, true), "");
}

Test(progress, nothing_is_shown_to_a_file)
{
    int ends[2];
    char byte;

    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        work(200, false);
        _exit(0);
    }
    close(ends[1]);
    cr_expect_eq(read(ends[0], &byte, 1), 0, "not a byte, up to the end");
    waitpid(child, NULL, 0);
}
