/* SPDX-License-Identifier: MIT
 *
 * The analyzer with one request for memory refused, each in turn: every command ends with an error line and the exit code
 * that goes with it, or with what it would have said anyway. */
#include "trace.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(out_of_memory);

#define REQUESTS_MAX 200000

static const char *golden(const char *name)
{
    static char paths[4][512];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/tests/golden/mixed/%s", test_variable("TEST_SOURCE"), name);
    return path;
}

/* memshim with its `nth` request refused; *ret_refused says whether there were so many. */
static struct outcome run_with(const char *const *arguments, int nth, bool *ret_refused)
{
    const char *argv[32] = {memshim_path()};
    size_t count = 1;
    char *mark = text_format("/tmp/memshim-mark-%d", (int)getpid()), *variable = text_format("FAIL_MARK=%s", mark);
    char *number = text_format("FAIL_NTH=%d", nth);
    char *preload = text_format("LD_PRELOAD=%s/fail_nth.so", test_variable("TEST_TARGETS"));

    for (; *arguments; arguments++)
        argv[count++] = *arguments;
    unlink(mark);
    struct outcome outcome = spawn_run(argv, LIST(preload, number, variable));
    *ret_refused = access(mark, F_OK) == 0;
    unlink(mark);
    free(preload);
    free(number);
    free(variable);
    free(mark);
    return outcome;
}

/* Whether it ended with what it would have said anyway, or with an error line and the exit code for that. */
static bool ended_well(const struct outcome *outcome, const struct outcome *whole)
{
    bool said = strstr(outcome->err, "memshim: ") && strstr(outcome->err, "memory");
    if (outcome->status != whole->status)
        return outcome->status == 3 && said;
    return outcome->out_size == whole->out_size && memcmp(outcome->out, whole->out, whole->out_size) == 0;
}

/* `step`: every so many of the first requests, and few of the thousands after them, unless it is 1 or TEST_REPEAT asks for all. */
static int next(int nth, int step)
{
    return nth + (step == 1 || getenv("TEST_REPEAT") ? 1 : nth < 300 ? step : 1009);
}

/* With one request refused after the other; there are at least `least`. */
static void assert_end_well(const char *const *arguments, int step, int least,
                            bool (*is_good)(const struct outcome *outcome, const struct outcome *whole))
{
    bool refused = true;
    struct outcome whole = run_with(arguments, 0, &refused);
    cr_assert_not(refused);
    cr_assert_leq(whole.status, 1, "%s: %s", arguments[0], whole.err);
    int nth;
    for (nth = 1; nth < REQUESTS_MAX; nth = next(nth, step)) {
        struct outcome outcome = run_with(arguments, nth, &refused);
        if (!refused) {
            outcome_clear(&outcome);
            break;
        }
        cr_assert(is_good(&outcome, &whole), "memshim %s, request %d: status %d\n%s\nnot %d\n%s\n%s", arguments[0], nth,
                  outcome.status, outcome.out, whole.status, whole.out, outcome.err);
        outcome_clear(&outcome);
    }
    cr_assert(nth > least && nth < REQUESTS_MAX, "%s: %d requests", arguments[0], nth);
    outcome_clear(&whole);
}

#define ASSERT_ALL_END_WELL(...) assert_end_well(LIST(__VA_ARGS__), 1, 50, ended_well)
#define ASSERT_SOME_END_WELL(...) assert_end_well(LIST(__VA_ARGS__), 5, 50, ended_well)

Test(out_of_memory, report)
{
    ASSERT_ALL_END_WELL("report", "--show", "all", golden("one.jsonl"), golden("two.jsonl"));
}

Test(out_of_memory, tables)
{
    ASSERT_ALL_END_WELL("report", "--group-by", "function", "--filter", "domain=*", golden("one.jsonl"));
    ASSERT_ALL_END_WELL("report", "--list", "leaks", golden("one.jsonl"));
    ASSERT_ALL_END_WELL("report", "--list", "allocations", golden("one.jsonl"));
    ASSERT_ALL_END_WELL("report", "--list", "errors", golden("one.jsonl"));
}

Test(out_of_memory, formats)
{
    static const char *const formats[] = {"json",      "markdown",   "sarif", "junit",       "github", "gitlab",
                                          "collapsed", "speedscope", "dhat",  "openmetrics", "csv",    "suppressions"};
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
        ASSERT_ALL_END_WELL("export", "--format", formats[i], golden("one.jsonl"));
}

Test(out_of_memory, pprof)
{
    if (!getenv("TEST_PPROF"))
        cr_skip_test("this build has no pprof");
    ASSERT_ALL_END_WELL("export", "--format", "pprof", golden("one.jsonl"));
}

Test(out_of_memory, html)
{
    if (!getenv("TEST_HTML"))
        cr_skip_test("this build has no html");
    ASSERT_ALL_END_WELL("report", "--format", "html", golden("one.jsonl"));
    ASSERT_ALL_END_WELL("diff", "--format", "html", golden("one.jsonl"), golden("two.jsonl"));
}

Test(out_of_memory, gate)
{
    ASSERT_ALL_END_WELL("gate", golden("one.jsonl"));
}

Test(out_of_memory, diff)
{
    ASSERT_ALL_END_WELL("diff", golden("one.jsonl"), golden("two.jsonl"));
    ASSERT_ALL_END_WELL("diff", "--format", "json", golden("one.jsonl"), golden("two.jsonl"));
}

Test(out_of_memory, info_and_merge)
{
    ASSERT_ALL_END_WELL("info", golden("one.jsonl"));
    ASSERT_ALL_END_WELL("merge", "-o", "-", golden("one.jsonl"), golden("two.jsonl"));
}

/* Of a program that exists: with its symbols, so that libdw is refused memory, too. Not the names in the C library, some of which
 * come from a second debug file: whether that is missing or memory was out is more than libdw tells. */
Test(out_of_memory, symbols)
{
    char *folder = folder_new(), *target = target_path("leak_in_loop"), *report = text_format("%s/r.jsonl", folder);
    char *options = text_format("MEMSHIM_OPTIONS=output=%s", report),
         *preload = text_format("LD_PRELOAD=%s", shim_path());
    char *baseline = text_format("%s/memshim.supp", folder), *whole = text_format("%s/whole.jsonl.zst", folder);
    struct outcome outcome = spawn_run(LIST(target), LIST(options, preload));

    cr_assert_eq(outcome.status, 0, "%s", outcome.err);
    outcome_clear(&outcome);
    ASSERT_SOME_END_WELL("report", report);
    ASSERT_SOME_END_WELL("report", "--self-contained", "-o", whole, report);
    ASSERT_SOME_END_WELL("gate", "--write-baseline", baseline, report);
    ASSERT_SOME_END_WELL("gate", "--baseline", baseline, report);
    free(baseline);
    free(whole);
    free(preload);
    free(options);
    free(report);
    free(target);
    folder_remove(folder);
}

/* What the program printed is there whole, if it ran; memshim itself ends by no signal. */
static bool ran_or_refused(const struct outcome *outcome, const struct outcome *whole)
{
    bool ran = strcmp(outcome->out, whole->out) == 0, refused = !*outcome->out;
    return outcome->status < 128 && (ran || refused) && (ran || strstr(outcome->err, "memory"));
}

Test(out_of_memory, launcher)
{
    char *folder = folder_new(), *target = target_path("leak_in_loop"), *reports = text_format("%s/reports", folder);

    assert_end_well(LIST("run", "-o", reports, "--", target), 3, 50, ran_or_refused);
    free(reports);
    free(target);
    folder_remove(folder);
}

/* The verdict is the same, or there is none; the folder with the reports has another name each time. */
static bool judged_or_refused(const struct outcome *outcome, const struct outcome *whole)
{
    if (outcome->status == whole->status)
        return strstr(outcome->out, "100 blocks definitely lost") && strstr(outcome->out, "gate failed");
    return outcome->status == 3 && strstr(outcome->err, "memory");
}

Test(out_of_memory, gate_of_a_command)
{
    char *folder = folder_new(), *target = target_path("leak_in_loop"),
         *reports = text_format("--reports=%s/reports", folder);

    assert_end_well(LIST("gate", reports, "--", target), 5, 50, judged_or_refused);
    free(reports);
    free(target);
    folder_remove(folder);
}

/* The first 12 digits of the fingerprint of the leak in the function. The caller frees them. */
static char *fingerprint_of(const json_t *report, const char *function)
{
    const json_t *leak = report_leak(report, &(struct query){.function = function});

    return text_format("%.12s", json_string_value(json_object_get(leak, "fingerprint")));
}

Test(out_of_memory, why)
{
    char *target = target_path("leak_kinds");
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(target, "in_data"), NULL);
    char *fingerprint = fingerprint_of(traced.report, "make");

    ASSERT_SOME_END_WELL("report", "--why", fingerprint, traced.folder);
    free(fingerprint);
    traced_clear(&traced);
    free(target);
}

/* Of a process that answers. */
Test(out_of_memory, snapshot)
{
    char *folder = folder_new(), *target = target_path("snapshots"), *report = text_format("%s/s.jsonl", folder);
    char *options = text_format("MEMSHIM_OPTIONS=output=%s/r.jsonl:snapshot_signal=USR2", folder),
         *preload = text_format("LD_PRELOAD=%s", shim_path());
    struct running running = spawn_start(LIST(target, "idle"), LIST(options, preload), NULL);
    char *line = spawn_read_line(&running), *pid = text_format("%d", (int)running.pid);

    cr_assert_str_eq(line, "ready");
    assert_end_well(LIST("snapshot", "-o", report, pid), 1, 5, ended_well);
    kill(running.pid, SIGTERM);
    struct outcome outcome = spawn_finish(&running);
    cr_assert_eq(outcome.status, 0, "%s", outcome.err);
    outcome_clear(&outcome);
    free(line);
    free(pid);
    free(preload);
    free(options);
    free(report);
    free(target);
    folder_remove(folder);
}
