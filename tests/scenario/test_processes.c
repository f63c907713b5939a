/* SPDX-License-Identifier: MIT
 *
 * Every end that a process can have leaves its report; every child has its own. */
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(processes);

struct end {
    char how[16];
    char ended[16]; /* how the report marks it */
    int status;     /* in the report */
    int shell;      /* of memshim run */
};

ParameterizedTestParameters(processes, ends)
{
    static struct end ends[] = {
        {"return", "exit", 0, 0},    {"exit", "exit", 3, 3},       {"_exit", "exit", 4, 4},
        {"_Exit", "exit", 5, 5},     {"quick_exit", "exit", 6, 6}, {"syscall", "exit", 7, 7},
        {"abort", "signal", 6, 134}, {"segv", "signal", 11, 139},  {"kill", "signal", 9, 137},
        {"term", "signal", 15, 143},
    };
    return cr_make_param_array(struct end, ends, sizeof(ends) / sizeof(*ends));
}

ParameterizedTest(struct end *end, processes, ends)
{
    char *path = target_path("end_variants");
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(path, end->how), NULL);

    assert_same_text("lost 10 blocks of 100 bytes\n", traced.run.out, "stdout");
    cr_assert_eq(traced.run.status, end->shell, "%s: memshim run ended with %d, not %d\n%s", end->how,
                 traced.run.status, end->shell, traced.run.err);
    ASSERT_LEAKS(traced.report, 10, 1000, .function = "lose", .domain = "malloc");
    json_t *process = report_process(traced.report, 0);
    cr_assert_str_eq(process_text(process, "ended"), end->ended, "%s: the report says \"%s\"", end->how,
                     process_text(process, "ended"));
    cr_assert_eq(process_number(process, "status"), end->status, "%s: the report says status %lld", end->how,
                 process_number(process, "status"));
    cr_assert(json_is_false(json_object_get(process, "truncated")), "%s: truncated", end->how);
    free(path);
    traced_clear(&traced);
}

/* Without the launcher nobody is there to write the report of a killed process: its ledger is one. */
ParameterizedTestParameters(processes, ends_unattended)
{
    static struct end ends[] = {
        {"return", "exit", 0, 0},    {"_exit", "exit", 4, 4},     {"quick_exit", "exit", 6, 6},
        {"syscall", "killed", 0, 7}, {"abort", "killed", 0, 134}, {"segv", "killed", 0, 139},
        {"kill", "killed", 0, 137},
    };
    return cr_make_param_array(struct end, ends, sizeof(ends) / sizeof(*ends));
}

ParameterizedTest(struct end *end, processes, ends_unattended)
{
    char *path = target_path("end_variants");
    struct traced traced = trace(BY_PRELOAD, NULL, LIST(path, end->how), NULL);
    const char *ended = process_text(report_process(traced.report, 0), "ended");

    assert_same_text("lost 10 blocks of 100 bytes\n", traced.run.out, "stdout");
    cr_assert_eq(traced.run.status, end->shell, "%s: status %d", end->how, traced.run.status);
    ASSERT_LEAKS(traced.report, 10, 1000, .function = "lose", .domain = "malloc");
    bool marked = strcmp(ended, end->ended) == 0 || (strcmp(end->ended, "killed") == 0 && strcmp(ended, "signal") == 0);
    cr_assert(marked, "%s: the report says \"%s\", not \"%s\"", end->how, ended, end->ended);
    free(path);
    traced_clear(&traced);
}

/* The process id that a target printed is not at hand: the reports have it. */
static int pid_of(const json_t *report, const char *function)
{
    return (int)json_integer_value(json_object_get(report_leak(report, &(struct query){.function = function}), "pid"));
}

Test(processes, forked_children)
{
    char *path = target_path("fork_children");
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(path), NULL);

    assert_same_text("child ended: 0\nchild ended: 200\nchild ended: 900\n", traced.run.out, "stdout");
    cr_assert_eq(report_process_count(traced.report), 5, "%zu processes, not 5", report_process_count(traced.report));
    ASSERT_LEAKS(traced.report, 5, 250, .function = "lose", .caller = "first");
    ASSERT_LEAKS(traced.report, 7, 490, .function = "lose", .caller = "second");
    ASSERT_LEAKS(traced.report, 9, 810, .function = "lose", .caller = "grandchild");
    ASSERT_LEAKS(traced.report, 3 + 5 + 7 + 9, 90 + 250 + 490 + 810, .function = "lose");
    int first = pid_of(traced.report, "first"), second = pid_of(traced.report, "second");
    int grandchild = pid_of(traced.report, "grandchild");
    cr_assert(first != second && second != grandchild && first != grandchild);
    for (size_t i = 0; i < 5; i++) {
        json_t *process = report_process(traced.report, i);
        bool killed = process_number(process, "pid") == grandchild;
        const char *ended = process_text(process, "ended");
        bool exited = strcmp(ended, "exit") == 0;
        cr_assert(exited != killed, "process %lld of %d (killed: %d) is marked \"%s\"", process_number(process, "pid"),
                  grandchild, killed, ended);
    }
    free(path);
    traced_clear(&traced);
}

Test(processes, forks_of_busy_threads)
{
    struct traced traced = trace_target("fork_threads");
    assert_same_text("children that ended well: 40\n", traced.run.out, "stdout");
    cr_assert_eq(report_process_count(traced.report), 41, "%zu processes, not 41", report_process_count(traced.report));
    ASSERT_LEAKS(traced.report, 80, 1600, .function = "lose");
    traced_clear(&traced);
}

Test(processes, exec)
{
    struct traced traced = trace_target("exec_self");
    assert_same_text("first image\nsecond image\n", traced.run.out, "stdout");
    cr_assert_eq(traced.run.status, 6, "status %d", traced.run.status);
    cr_assert_eq(report_process_count(traced.report), 2, "%zu images, not 2", report_process_count(traced.report));
    json_t *one = report_process(traced.report, 0), *two = report_process(traced.report, 1);
    cr_assert_eq(process_number(one, "pid"), process_number(two, "pid"));
    cr_assert_str_eq(process_text(one, "ended"), "exec", "the first image is marked \"%s\"",
                     process_text(one, "ended"));
    cr_assert_str_eq(process_text(two, "ended"), "exit", "the second image is marked \"%s\"",
                     process_text(two, "ended"));
    ASSERT_LEAKS(traced.report, 5 + 7, 5 * 50 + 7 * 70, .function = "lose");
    traced_clear(&traced);
}

Test(processes, spawned_children)
{
    char *path = target_path("spawn_children"), *leaker = target_path("leak_in_loop");
    struct outcome bare = spawn_run(LIST(path, leaker), NULL);
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(path, leaker), NULL);

    assert_same_text(bare.out, traced.run.out, "stdout");
    ASSERT_LEAKS(traced.report, 4 * 100, 4 * 6400, .function = "lose", .caller = "work");
    ASSERT_LEAKS(traced.report, 4 * 100 + 2, 4 * 6400 + 44, .function = "lose");
    free(path);
    free(leaker);
    outcome_clear(&bare);
    traced_clear(&traced);
}

Test(processes, children_not_followed_when_not_wanted)
{
    char *path = target_path("fork_children"), *spawner = target_path("spawn_children");
    char *leaker = target_path("leak_in_loop");
    struct traced traced = trace(BY_LAUNCHER, "children=0", LIST(path), NULL);
    cr_assert_eq(report_process_count(traced.report), 1, "%zu reports of a program whose forks are not wanted",
                 report_process_count(traced.report));
    traced_clear(&traced);

    traced = trace(BY_LAUNCHER, "children=0", LIST(spawner, leaker), NULL);
    cr_assert_eq(report_process_count(traced.report), 1, "%zu reports of a program whose children are not wanted",
                 report_process_count(traced.report));
    ASSERT_LEAKS(traced.report, 2, 44, .function = "lose");
    traced_clear(&traced);
    free(path);
    free(spawner);
    free(leaker);
}

Test(processes, daemon_that_closes_all_files)
{
    char *path = target_path("close_files");
    for (enum trace_by by = BY_LAUNCHER; by <= BY_PRELOAD; by++) {
        struct traced traced = trace(by, NULL, LIST(path), NULL);
        cr_assert_eq(traced.run.status, 0, "status %d: descriptors are not as in the bare program", traced.run.status);
        ASSERT_LEAKS(traced.report, 12, 12 * 66, .function = "lose");
        traced_clear(&traced);
    }
    free(path);
}

Test(processes, resource_limits)
{
    static const char *const limits[] = {"fsize", "nofile", "as"};
    char *path = target_path("limits");

    for (size_t i = 0; i < 3; i++) {
        struct outcome bare = spawn_run(LIST(path, limits[i]), NULL);
        struct traced traced = trace(BY_LAUNCHER, NULL, LIST(path, limits[i]), NULL);
        assert_same_text(bare.out, traced.run.out, limits[i]);
        cr_assert_eq(bare.status, traced.run.status, "limit %s: status %d, bare %d", limits[i], traced.run.status,
                     bare.status);
        outcome_clear(&bare);
        traced_clear(&traced);
    }
    free(path);
}

Test(processes, privileges_dropped)
{
    if (getuid() != 0)
        cr_skip_test("only root can become another user");
    char *path = target_path("drop_privileges");
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(path), NULL);
    assert_same_text("dropped\n", traced.run.out, "stdout");
    ASSERT_LEAKS(traced.report, 12, 12 * 120, .function = "lose");
    free(path);
    traced_clear(&traced);
}

/* Starts endless under the launcher and waits until it has lost its blocks. */
static struct running start_endless(const char *folder)
{
    char *path = target_path("endless");
    struct running running = spawn_start(LIST(memshim_path(), "run", "-o", folder, "--", path), NULL, NULL);
    char *line = spawn_read_line(&running);
    cr_assert_str_eq(line, "ready", "endless printed \"%s\"", line);
    free(line);
    free(path);
    return running;
}

Test(processes, report_of_a_running_process)
{
    char *folder = folder_new();
    struct running running = start_endless(folder);

    json_t *report = report_load(folder);
    ASSERT_LEAKS(report, 1000, 40000, .function = "lose");
    json_t *process = report_process(report, 0);
    cr_assert_str_eq(process_text(process, "ended"), "unknown", "a running process is marked \"%s\"",
                     process_text(process, "ended"));

    /* In the middle of its loop. */
    kill((pid_t)process_number(process, "pid"), SIGKILL);
    struct outcome outcome = spawn_finish(&running);
    cr_assert_eq(outcome.status, 137, "status %d after SIGKILL", outcome.status);
    json_decref(report);
    report = report_load(folder);
    ASSERT_LEAKS(report, 1000, 40000, .function = "lose");
    cr_assert_eq(report_process_count(report), 1, "%zu reports", report_process_count(report));
    cr_assert_eq(process_number(report_process(report, 0), "status"), 9);
    struct sum rest = report_sum(report, &(struct query){.function = "main"});
    cr_assert(rest.blocks <= 1002, "%lld blocks instead of 1000, one in flight, and stdout's", rest.blocks);
    json_decref(report);
    outcome_clear(&outcome);
    folder_remove(folder);
}

Test(processes, signals_reach_the_program)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    signal(SIGHUP, SIG_DFL); /* nohup has it ignored, and what is ignored is inherited */
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        char *folder = folder_new();
        struct running running = start_endless(folder);
        kill(running.pid, signals[i]);
        struct outcome outcome = spawn_finish(&running);
        cr_assert_eq(outcome.status, 128 + signals[i], "signal %d: memshim run ended with %d", signals[i],
                     outcome.status);
        json_t *report = report_load(folder);
        ASSERT_LEAKS(report, 1000, 40000, .function = "lose");
        json_decref(report);
        outcome_clear(&outcome);
        folder_remove(folder);
    }
}

/* The launcher is killed, the program goes on: its report is written all the same. */
Test(processes, launcher_killed)
{
    char *folder = folder_new();
    struct running running = start_endless(folder);
    json_t *report = report_load(folder);
    pid_t program = (pid_t)process_number(report_process(report, 0), "pid");

    json_decref(report);
    kill(running.pid, SIGKILL);
    kill(program, SIGTERM);
    struct outcome outcome = spawn_finish(&running);
    report = report_load(folder);
    ASSERT_LEAKS(report, 1000, 40000, .function = "lose");
    json_decref(report);
    outcome_clear(&outcome);
    folder_remove(folder);
}

Test(processes, static_program_runs_untraced)
{
    char *folder = folder_new(), *path = target_path("static_program");
    if (spawn_run(LIST("test", "-x", path), NULL).status)
        cr_skip_test("no static C library");
    struct outcome outcome = spawn_run(LIST(memshim_path(), "run", "-o", folder, "--", path), NULL);
    cr_assert_eq(outcome.status, 0, "status %d\n%s", outcome.status, outcome.err);
    assert_same_text("static\n", outcome.out, "stdout");
    cr_assert(strstr(outcome.err, "memshim:"), "not a word about the missing report:\n%s", outcome.err);
    outcome_clear(&outcome);
    free(path);
    folder_remove(folder);
}

Test(processes, shell_pipeline)
{
    char *folder = folder_new(), *path = target_path("leak_in_loop");
    char *command = text_format("%s | cat; %s >/dev/null; echo $0 \"$1\"; exit 9", path, path);
    struct outcome outcome =
        spawn_run(LIST(memshim_path(), "run", "-o", folder, "sh", "-c", command, "name", "an argument"), NULL);

    cr_assert_eq(outcome.status, 9, "status %d\n%s", outcome.status, outcome.err);
    assert_same_text("lost 100 blocks of 64 bytes\nname an argument\n", outcome.out, "stdout");
    json_t *report = report_load(folder);
    ASSERT_LEAKS(report, 200, 12800, .function = "lose");
    json_decref(report);
    outcome_clear(&outcome);
    free(path);
    free(command);
    folder_remove(folder);
}
