/* SPDX-License-Identifier: MIT
 *
 * Starting programs from tests and collecting what they print and how they end. Whatever goes wrong with that itself
 * fails the running Criterion test. */
#ifndef TESTS_SPAWN_H
#define TESTS_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

/* A program that runs: its output comes through pipes. */
struct running {
    pid_t pid;
    int out, err;
};

/* What a program left. Given to outcome_clear. */
struct outcome {
    int status; /* exit status, or 128 + signal, as shells have it */
    char *out, *err;
    size_t out_size, err_size; /* without the NUL that follows */
};

/* Lists for the functions below end in NULL: LIST("a", "b"). */
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Starts argv[0] (looked up in PATH), with the "NAME=value" texts of `environment` (may be NULL) on top of this
 * environment and `folder` (NULL: this one) as its current folder. */
struct running spawn_start(const char *const *argv, const char *const *environment, const char *folder);

/* Reads from its output until it has printed a whole line; the line without its end. The caller frees it. */
char *spawn_read_line(struct running *running);

/* Waits for the end of the program and of its output. A program that takes minutes hangs: it is killed and the test
 * fails. */
struct outcome spawn_finish(struct running *running);

/* Start and finish. */
struct outcome spawn_run(const char *const *argv, const char *const *environment);

void outcome_clear(struct outcome *outcome);

/* A text made as by printf. The caller frees it. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The value of an environment variable that the build system sets for tests; fails the test without it. */
const char *test_variable(const char *name);

/* A new empty folder. The caller frees the name and removes the folder with folder_remove. */
char *folder_new(void);
void folder_remove(char *folder);

/* Fails the test with both texts if they differ. */
void assert_same_text(const char *expected, const char *got, const char *what);

#endif
