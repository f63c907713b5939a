/* SPDX-License-Identifier: MIT
 *
 * Reports of processes that go on: by call, by signal, by request from outside; marks and growth. */
#include "pythons.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(snapshots);

/* Starts the target under memshim run with reports in `folder`, and waits for its line "ready". */
static struct running start(const char *folder, const char *mode, const char *option)
{
    char *program = target_path("snapshots"), *output = text_format("--output=%s", folder);
    const char *argv[] = {memshim_path(), "run", "-q", output, option ? option : "--verbosity=0", program, mode, NULL};
    struct running running = spawn_start(argv, NULL, NULL);
    char *line = spawn_read_line(&running);

    cr_assert_str_eq(line, "ready");
    free(line);
    free(output);
    free(program);
    return running;
}

/* The pid of the traced program: that of the only ledger in the folder. */
static char *pid_in(const char *folder)
{
    char *command = text_format("ls %s | sed -n 's/.*-\\([0-9]*\\).ledger$/\\1/p'", folder);
    struct outcome outcome = spawn_run(LIST("sh", "-c", command), NULL);
    char *pid = strndup(outcome.out, strcspn(outcome.out, "\n"));

    cr_assert(*pid, "no ledger in %s", folder);
    outcome_clear(&outcome);
    free(command);
    return pid;
}

/* The launcher hands the signal on. */
static void finish(struct running *running)
{
    kill(running->pid, SIGTERM);
    struct outcome outcome = spawn_finish(running);
    cr_assert_eq(outcome.status, 0, "%s", outcome.err);
    outcome_clear(&outcome);
}

static void assert_planted(const json_t *report, const char *few)
{
    char *leaks = report_describe(report);

    cr_expect_eq(report_blocks(report, "definite", "lose_many"), 200, "%s", leaks);
    cr_expect_eq(report_blocks(report, few, "lose_few"), 3, "%s", leaks);
    cr_expect_eq(report_blocks(report, "reachable", "keep"), 10, "%s", leaks);
    free(leaks);
}

Test(snapshots, by_call)
{
    char *folder = folder_new(), *program = target_path("snapshots"), *path = text_format("%s/x.jsonl", folder);
    const char *argv[] = {program, "call", path, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);
    /* -17 is -EEXIST */
    cr_assert_str_eq(traced.run.out, "1 alone\n-17 alone\n3 alone\n");
    json_t *report = report_load(path);

    assert_planted(report, "definite");
    cr_expect_eq(process_number(report_process(report, 0), "snapshot"), 1);
    cr_expect_str_eq(process_text(report_process(report, 0), "ended"), "unknown");
    json_decref(report);
    /* The folder of the run has one process: the third snapshot is of an earlier state. */
    cr_expect_eq(report_process_count(traced.report), 1);
    assert_planted(traced.report, "definite");
    traced_clear(&traced);
    folder_remove(folder);
    free(path);
    free(program);
}

Test(snapshots, while_threads_allocate)
{
    char *program = target_path("snapshots");
    const char *argv[] = {program, "threads", NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);
    char *last = text_format("%s/snapshots-%lld.snapshot-20.jsonl", traced.folder,
                             process_number(report_process(traced.report, 0), "pid"));
    json_t *report = report_load(last);

    for (int i = 1; i <= 20; i++) {
        char *line = text_format("%d alone\n", i);
        cr_assert(strstr(traced.run.out, line), "%s", traced.run.out);
        free(line);
    }
    /* The registers of a thread that waits cannot be seen: three blocks may be in them, two hundred not. */
    assert_planted(report, "possible");
    cr_expect_eq(process_total(report_process(traced.report, 0), "dropped"), 0);
    json_decref(report);
    traced_clear(&traced);
    free(last);
    free(program);
}

struct request {
    char mode[8], option[32];
};

ParameterizedTestParameters(snapshots, by_request)
{
    static struct request requests[] = {
        {"busy", ""}, {"idle", "--snapshot-signal=USR2"}, {"busy", "--snapshot-signal=12"}};
    return cr_make_param_array(struct request, requests, sizeof(requests) / sizeof(*requests));
}

ParameterizedTest(struct request *request, snapshots, by_request)
{
    char *folder = folder_new(), *path = text_format("%s/moved.json", folder);
    struct running running = start(folder, request->mode, *request->option ? request->option : NULL);
    char *pid = pid_in(folder);
    struct outcome first = spawn_run(LIST(memshim_path(), "snapshot", pid), NULL);
    struct outcome second = spawn_run(LIST(memshim_path(), "snapshot", "-o", path, pid), NULL);

    cr_assert_eq(first.status, 0, "%s", first.err);
    cr_assert_eq(second.status, 0, "%s", second.err);
    first.out[strcspn(first.out, "\n")] = '\0';
    cr_expect(strstr(first.out, ".snapshot-1.jsonl"), "%s", first.out);
    json_t *report = report_load(first.out), *moved = report_load(path), *newest = report_load(folder);
    assert_planted(report, "definite");
    assert_planted(moved, "definite");
    cr_expect_eq(process_number(report_process(moved, 0), "snapshot"), 2);
    cr_expect_eq(report_process_count(newest), 1); /* the ledger and the snapshot are of one process */
    finish(&running);
    json_decref(report);
    json_decref(moved);
    json_decref(newest);
    outcome_clear(&first);
    outcome_clear(&second);
    folder_remove(folder);
    free(pid);
    free(path);
}

struct collection {
    char main[16], option[40];
    bool collected;
};

ParameterizedTestParameters(snapshots, garbage_first)
{
    static struct collection all[] = {
        {"python", "--snapshot-signal=USR2", true},
        {"c", "--snapshot-signal=USR2", false},
        {"alone", "--snapshot-signal=USR2", false},
        {"python", "--verbosity=0", true},
        {"c", "--verbosity=0", false},
    };
    return cr_make_param_array(struct collection, all, sizeof(all) / sizeof(*all));
}

/* Where the main thread does not get there, the snapshot comes without a collection, and says so. */
ParameterizedTest(struct collection *collection, snapshots, garbage_first)
{
    char *folder = folder_new(), *output = text_format("--output=%s", folder);
    char *script = text_format("%s/tests/targets/collect_first.py", test_variable("TEST_SOURCE"));
    struct running running = spawn_start(LIST(memshim_path(), "run", "-q", output, "--snapshot-collect=1",
                                              collection->option, "/usr/bin/python3", script, collection->main),
                                         NULL, NULL);
    char *line = spawn_read_line(&running);
    cr_assert_str_eq(line, "ready");
    char *pid = pid_in(folder);

    for (int i = 0; i < 2; i++) {
        struct outcome snapshot = spawn_run(LIST(memshim_path(), "snapshot", pid), NULL);
        cr_assert_eq(snapshot.status, 0, "%s %s: %s", collection->main, collection->option, snapshot.err);
        snapshot.out[strcspn(snapshot.out, "\n")] = '\0';
        struct outcome info = spawn_run(LIST(memshim_path(), "info", snapshot.out), NULL);
        cr_expect_eq(strstr(info.out, "garbage was not collected") == NULL, collection->collected, "%s %s: %s",
                     collection->main, collection->option, info.out);
        json_t *report = report_load(snapshot.out);
        cr_expect_eq(report_blocks(report, "reachable", "make_garbage") == 0, collection->collected, "%s %s",
                     collection->main, collection->option);
        json_decref(report);
        outcome_clear(&info);
        outcome_clear(&snapshot);
    }
    kill(atoi(pid), SIGKILL);
    struct outcome end = spawn_finish(&running);
    outcome_clear(&end);
    folder_remove(folder);
    free(line);
    free(pid);
    free(script);
    free(output);
}

Test(snapshots, nobody_answers)
{
    char *folder = folder_new();
    struct running running = start(folder, "idle", NULL);
    char *pid = pid_in(folder), *itself = text_format("%d", (int)getpid());
    struct outcome none = spawn_run(LIST(memshim_path(), "snapshot", "--timeout=0", pid), NULL);
    struct outcome untraced = spawn_run(LIST(memshim_path(), "snapshot", itself), NULL);
    struct outcome nobody = spawn_run(LIST(memshim_path(), "snapshot", "4194304"), NULL);
    struct outcome nonsense = spawn_run(LIST(memshim_path(), "snapshot", "12x"), NULL);

    cr_expect_eq(none.status, 1);
    cr_expect(strstr(none.err, "has written no snapshot within 0 s"), "%s", none.err);
    cr_expect_eq(untraced.status, 2);
    cr_expect(strstr(untraced.err, "is not traced"), "%s", untraced.err);
    cr_expect_eq(nobody.status, 2);
    cr_expect(strstr(nobody.err, "no such process"), "%s", nobody.err);
    cr_expect_eq(nonsense.status, 2);
    finish(&running);
    outcome_clear(&none);
    outcome_clear(&untraced);
    outcome_clear(&nobody);
    outcome_clear(&nonsense);
    folder_remove(folder);
    free(itself);
    free(pid);
}

Test(snapshots, marks_and_growth)
{
    char *program = target_path("snapshots");
    const char *argv[] = {program, "grow", NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);
    const json_t *growth = json_object_get(traced.report, "growth"), *one = json_array_get(growth, 0);
    const json_t *frame = json_array_get(json_object_get(one, "stack"), 0);

    cr_assert_str_eq(traced.run.out, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n");
    cr_assert_eq(json_array_size(growth), 1, "one stack grows, the other only replaces");
    cr_expect_float_eq(json_real_value(json_object_get(one, "blocks_per_interval")), 7, 1e-9);
    cr_expect_float_eq(json_real_value(json_object_get(one, "bytes_per_interval")), 7 * 48, 1e-9);
    cr_expect_eq(json_integer_value(json_object_get(one, "last_blocks")), 12 * 7);
    cr_expect_eq(json_integer_value(json_object_get(one, "intervals")), 11);
    cr_expect_str_eq(json_string_value(json_object_get(frame, "function")), "grow_without_end");
    struct outcome gate = spawn_run(LIST(memshim_path(), "gate", "--fail-on", "growth", traced.folder), NULL);
    cr_expect_eq(gate.status, 1);
    cr_expect(strstr(gate.out, "1 growing stack: --fail-on growth"), "%s", gate.out);
    outcome_clear(&gate);
    traced_clear(&traced);
    free(program);
}

static bool grows_in(const json_t *growth, const char *function)
{
    size_t i, k;
    json_t *item, *frame;

    json_array_foreach(growth, i, item) json_array_foreach(
        json_object_get(item, "stack"), k,
        frame) if (strcmp(json_string_value(json_object_get(frame, "function")), function) == 0) return true;
    return false;
}

ParameterizedTestParameters(snapshots, garbage_is_no_growth)
{
    static struct python pythons[PYTHONS_MAX];
    return cr_make_param_array(struct python, pythons, pythons_find(pythons));
}

/* The collector is off: what it would have freed keeps nothing, whenever it would have come. Of a process that is killed that is
 * not known. */
ParameterizedTest(struct python *python, snapshots, garbage_is_no_growth)
{
    static const struct {
        const char *intervals, *end;
        bool kept, garbage;
    } runs[] = {{"5", "exit", true, false},
                {"5", "kill", false, false},
                {"5", "_exit", true, false},
                {"20", "kill", true, true}};
    size_t count = strcmp(python->path, "/usr/bin/python3") == 0 ? 4 : 2;
    char *script = text_format("%s/tests/targets/grow_garbage.py", test_variable("TEST_SOURCE"));

    for (size_t i = 0; i < count; i++) {
        struct traced traced =
            trace(BY_LAUNCHER, NULL, LIST(python->path, script, runs[i].intervals, runs[i].end), NULL);
        const json_t *growth = json_object_get(traced.report, "growth");
        const char *what = runs[i].end;
        cr_expect_eq(json_array_size(growth), 2 * runs[i].kept + runs[i].garbage, "%s %s: %zu", python->path, what,
                     json_array_size(growth));
        cr_expect_eq(grows_in(growth, "keep"), runs[i].kept, "%s %s", python->path, what);
        cr_expect_eq(grows_in(growth, "hold"), runs[i].kept, "%s %s: it becomes garbage at the end", python->path,
                     what);
        cr_expect_eq(grows_in(growth, "make_garbage"), runs[i].garbage, "%s %s", python->path, what);
        traced_clear(&traced);
    }
    free(script);
}

Test(snapshots, recording_off_and_on)
{
    char *program = target_path("snapshots");
    const char *argv[] = {program, "off", NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);

    cr_assert_str_eq(traced.run.out, "1 0\n0 1 1000\n");
    cr_expect_eq(report_blocks(traced.report, "definite", "lose_recorded"), 4);
    cr_expect_eq(report_blocks(traced.report, "definite", "lose_unrecorded"), 0);
    traced_clear(&traced);
    free(program);
}

/* ---- Python ---- */

static bool is_set(const json_t *leak, const char *key)
{
    return json_is_true(json_object_get(leak, key));
}

static bool is_accused(const json_t *leak)
{
    const char *kind = json_string_value(json_object_get(leak, "kind"));
    const char *sure = json_string_value(json_object_get(json_object_get(leak, "references"), "confidence"));

    if (is_set(leak, "startup") || is_set(leak, "interpreter") || is_set(leak, "suppressed"))
        return false;
    return strcmp(kind, "definite") == 0 || strcmp(kind, "possible") == 0 ||
           (sure && (strcmp(sure, "medium") == 0 || strcmp(sure, "high") == 0));
}

static int count_accused(const json_t *report)
{
    int count = 0;
    size_t i;
    json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        count += is_accused(leak);
    }
    return count;
}

ParameterizedTestParameters(snapshots, nothing_is_lost)
{
    static struct python pythons[PYTHONS_MAX];
    size_t count = pythons_find(pythons);
    return cr_make_param_array(struct python, pythons, count);
}

ParameterizedTest(struct python *python, snapshots, nothing_is_lost)
{
    char *folder = folder_new(), *variable = text_format("SNAPSHOTS=%s", folder);
    char *script = text_format("%s/tests/clean/snapshots.py", test_variable("TEST_SOURCE"));
    const char *argv[] = {python->path, script, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, LIST(variable));
    json_t *report = report_load(folder);
    char *leaks = report_describe(report);

    cr_assert_str_empty(traced.run.out);
    cr_expect_eq(report_process_count(report), 7);
    cr_assert_eq(count_accused(report), 0, "%s\n%s", python->path, leaks);
    free(leaks);
    json_decref(report);
    traced_clear(&traced);
    folder_remove(folder);
    free(script);
    free(variable);
}
