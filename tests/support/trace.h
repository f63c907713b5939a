/* SPDX-License-Identifier: MIT
 *
 * Running targets under memshim and asking the reports questions. Failures print the leaks that there were. */
#ifndef TESTS_TRACE_H
#define TESTS_TRACE_H

#include "spawn.h"

#include <jansson.h>
#include <stdbool.h>

/* A traced run. Given to traced_clear, which removes the folder; a failed test leaves it for inspection. */
struct traced {
    struct outcome run;
    char *folder;   /* with the reports */
    json_t *report; /* memshim report --format json of the folder */
};

enum trace_by {
    BY_LAUNCHER, /* memshim run */
    BY_PRELOAD,  /* LD_PRELOAD and MEMSHIM_OPTIONS alone */
};

/* Paths, from the environment that the build system sets. target_path is the caller's to free. */
const char *memshim_path(void);
const char *shim_path(void);
char *target_path(const char *name);

/* Runs argv traced, with shim options ("key=value:key=value", may be NULL), and loads the report. */
struct traced trace(enum trace_by by, const char *options, const char *const *argv, const char *const *environment);

/* Runs argv with the shim preloaded, for its output and end only. */
struct outcome trace_without_report(const char *options, const char *const *argv, const char *const *environment);

/* trace by the launcher for a target without arguments. */
struct traced trace_target(const char *name);

void traced_clear(struct traced *traced);

/* The document that `memshim report --format json --show startup PATH` prints, which must succeed. */
json_t *report_load(const char *path);

/* Which leaks count: fields that are NULL or 0 match any. */
struct query {
    int pid;
    const char *domain, *type;
    const char *function; /* of any frame of the stack */
    const char *file;     /* end of the file of that frame */
    const char *caller;   /* function of another frame further out */
    const char *language; /* of that frame */
    bool with_startup;    /* count blocks from before the program's own code, too */
};

struct sum {
    long long blocks, bytes;
    int groups;
};

struct sum report_sum(const json_t *report, const struct query *query);

/* Fails unless the leaks that match have exactly so many blocks and bytes: ASSERT_LEAKS(report, 1, 16, .domain = "mem") */
#define ASSERT_LEAKS(report, blocks, bytes, ...) \
    report_assert_sum(report, blocks, bytes, &(struct query){__VA_ARGS__}, __FILE__, __LINE__)

void report_assert_sum(const json_t *report, long long blocks, long long bytes, const struct query *query,
                       const char *file, int line);

/* The first leak that matches; fails the test when there is none. Borrowed. */
json_t *report_leak(const json_t *report, const struct query *query);

/* The first 20 leaks that are not of the start-up, one line each with up to 6 frames. The caller frees it. */
char *report_describe(const json_t *report);

/* Blocks of one kind whose stack has `function` in it (NULL: any), those of the start-up included, suppressed ones not. */
long long report_blocks(const json_t *report, const char *kind, const char *function);

size_t report_process_count(const json_t *report);
json_t *report_process(const json_t *report, size_t index);

/* A number or text of a process or its totals; fails the test when it is not there. */
long long process_total(const json_t *process, const char *key);
long long process_number(const json_t *process, const char *key);
const char *process_text(const json_t *process, const char *key);

#endif
