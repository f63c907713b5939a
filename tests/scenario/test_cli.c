/* SPDX-License-Identifier: MIT
 *
 * The command line of the analyzer: exit codes, usage, output. */
#include "command.h"
#include "options.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(cli);

Test(cli, help_and_version)
{
    ASSERT_ENDS(2, "memshim", NULL);
    ASSERT_ENDS(2, "memshim:", "frobnicate");
    ASSERT_ENDS(2, "memshim:", "report");
    ASSERT_ENDS(2, "memshim:", "run");
    ASSERT_ENDS(2, "memshim:", "report", "--frobnicate", "x");
    ASSERT_ENDS(2, "memshim:", "report", "--format", "frob", "x");
    ASSERT_ENDS(0, NULL, "--help");
    struct outcome outcome = MEMSHIM("--version");
    cr_assert(outcome.status == 0 && strncmp(outcome.out, "memshim ", 8) == 0, "--version prints %s", outcome.out);
    outcome_clear(&outcome);
    static const char *const commands[] = {"run", "report", "gate", "info"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        outcome = MEMSHIM(commands[i], "--help");
        cr_assert(outcome.status == 0 && strstr(outcome.out, commands[i]), "%s --help: status %d\n%s", commands[i],
                  outcome.status, outcome.out);
        outcome_clear(&outcome);
    }
}

Test(cli, help_of_run_names_every_option)
{
    struct outcome outcome = MEMSHIM("run", "--help");
    size_t count = 0;
    const struct option_row *rows = options_rows(&count);

    cr_assert(count > 10);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, "output") == 0) /* is a folder here */
            continue;
        char *name = strdup(rows[i].name);
        for (char *c = name; *c; c++)
            *c = *c == '_' ? '-' : *c;
        cr_assert(strstr(outcome.out, rows[i].name) || strstr(outcome.out, name), "run --help has no \"%s\":\n%s",
                  rows[i].name, outcome.out);
        cr_assert(strstr(outcome.out, rows[i].help), "run --help has no \"%s\":\n%s", rows[i].help, outcome.out);
        free(name);
    }
    outcome_clear(&outcome);
}

/* The table in the README is made from the one in the code: here is noticed when it was not. */
Test(cli, readme_names_every_option)
{
    char *path = text_format("%s/README.md", test_variable("TEST_SOURCE"));
    size_t count = 0, size = 0;
    const struct option_row *rows = options_rows(&count);
    char *text = read_file(path, &size);

    for (size_t i = 0; i < count; i++) {
        char *row = rows[i].value[0] ? text_format("| `%s` | `%s` | %s |", rows[i].name, rows[i].value, rows[i].help)
                                     : text_format("| `%s` | ", rows[i].name);
        cr_assert(strstr(text, row), "README.md has no line %s", row);
        free(row);
    }
    free(text);
    free(path);
}

Test(cli, run_status)
{
    char *folder = folder_new();
    ASSERT_ENDS(127, "memshim:", "run", "-o", folder, "--", "/nonexistent/program");
    ASSERT_ENDS(126, "memshim:", "run", "-o", folder, "--", "/etc/passwd");
    ASSERT_ENDS(126, "memshim:", "run", "-o", folder, "--", "/");
    ASSERT_ENDS(0, NULL, "run", "-o", folder, "--", "true");
    ASSERT_ENDS(1, NULL, "run", "-o", folder, "--", "false");
    ASSERT_ENDS(42, NULL, "run", "-o", folder, "sh", "-c", "exit 42");
    ASSERT_ENDS(2, "stack", "run", "-o", folder, "--stack-depht=3", "--", "true");
    ASSERT_ENDS(2, "memshim:", "run", "-o", folder, "--stack-depth=many", "--", "true");
    folder_remove(folder);
}

/* By default the reports go to memshim-PID/ under the current folder, which is named at the end. */
Test(cli, default_folder)
{
    char *folder = folder_new(), *path = target_path("leak_in_loop");
    struct running running = spawn_start(LIST(memshim_path(), "run", path), NULL, folder);
    pid_t pid = running.pid;
    struct outcome outcome = spawn_finish(&running);
    char *reports = text_format("%s/memshim-%d", folder, (int)pid), *name = text_format("memshim-%d", (int)pid);

    cr_assert_eq(outcome.status, 0, "status %d\n%s", outcome.status, outcome.err);
    cr_assert_eq(access(reports, R_OK), 0, "no %s", reports);
    cr_assert(strstr(outcome.err, name), "%s is not named:\n%s", name, outcome.err);
    json_t *report = report_load(reports);
    ASSERT_LEAKS(report, 100, 6400, .function = "lose");
    json_decref(report);
    outcome_clear(&outcome);
    free(path);
    free(reports);
    free(name);
    folder_remove(folder);
}

Test(cli, fail_on)
{
    char *folder = folder_new(), *path = target_path("leak_in_loop");
    ASSERT_ENDS(0, NULL, "run", "-o", folder, "--fail-on", "definite", "--", "true");
    ASSERT_ENDS(23, NULL, "run", "-o", folder, "--fail-on", "definite,reachable", "--", path);
    ASSERT_ENDS(42, NULL, "run", "-o", folder, "--fail-on", "definite,reachable", "--error-exitcode", "42", "--", path);
    ASSERT_ENDS(9, NULL, "run", "-o", folder, "--fail-on", "definite,reachable", "sh", "-c", "exit 9");
    ASSERT_ENDS(2, "memshim:", "run", "-o", folder, "--fail-on", "nonsense", "--", path);
    free(path);
    folder_remove(folder);
}

Test(cli, gate)
{
    struct traced traced = trace_target("leak_in_loop");
    char *path = target_path("leak_in_loop");

    ASSERT_ENDS(0, NULL, "gate", "--max-blocks", "1000", "--max-bytes", "1M", traced.folder);
    ASSERT_ENDS(1, NULL, "gate", "--max-blocks", "10", traced.folder);
    ASSERT_ENDS(1, NULL, "gate", "--max-bytes", "100", traced.folder);
    ASSERT_ENDS(1, NULL, "gate", "--max-bytes", "100", "--", path);
    ASSERT_ENDS(0, NULL, "gate", "--max-bytes", "1G", "--", path);
    ASSERT_ENDS(2, "memshim:", "gate", "--max-bytes", "everything", traced.folder);
    ASSERT_ENDS(2, "memshim:", "gate", "/nonexistent");
    ASSERT_ENDS(2, "memshim:", "gate");
    free(path);
    traced_clear(&traced);
}

/* A leak under a baseline passes, and fails again when it grows; a rule that matches nothing is told. */
Test(cli, baseline_and_suppressions)
{
    struct traced traced = trace_target("leak_in_loop");
    char *folder = folder_new(), *baseline = file_in(folder, "baseline.supp"), *rules = file_in(folder, "rules.supp");
    size_t size;

    ASSERT_ENDS(0, "accepts 1 leak, 6400 bytes in 100 blocks", "gate", "--write-baseline", baseline, traced.folder);
    ASSERT_ENDS(0, NULL, "gate", "--baseline", baseline, traced.folder);
    ASSERT_ENDS(0, "accepts 1 leak", "gate", "--baseline", baseline, "--write-baseline", baseline, traced.folder);
    ASSERT_ENDS(1, "no baseline of a run that failed", "gate", "--write-baseline", baseline, "--reports", folder, "--",
                "false");
    ASSERT_ENDS(0, NULL, "gate", "--baseline", baseline, traced.folder);
    ASSERT_ENDS(0, NULL, "diff", "--suppressions", baseline, traced.folder, traced.folder);
    ASSERT_ENDS(0, NULL, "diff", "--tolerance", "5%", traced.folder, traced.folder);
    ASSERT_ENDS(2, "--tolerance", "diff", "--tolerance", "much", traced.folder, traced.folder);
    char *text = read_file(baseline, &size), *limit = strstr(text, "max-blocks=100");
    cr_assert(limit && !strchr(text, '/'), "not a baseline, or with a path of this machine:\n%s", text);
    memcpy(limit, "max-blocks=099", 14);
    write_file(baseline, text, size);
    ASSERT_ENDS(1, "the leak has grown beyond its limit", "gate", "--baseline", baseline, traced.folder);
    free(text);

    const char known[] = "leak:lose # known\nleak:gone\n";
    write_file(rules, known, strlen(known));
    ASSERT_ENDS(0, ":2: nothing is suppressed by \"leak:gone\"", "gate", "--suppressions", rules, traced.folder);
    ASSERT_ENDS(1, NULL, "gate", "--suppressions", rules, "--unused-suppressions", "error", traced.folder);
    ASSERT_ENDS(0, ":2: nothing is suppressed by", "diff", "--suppressions", rules, traced.folder, traced.folder);
    ASSERT_ENDS(1, ":2: nothing is suppressed by", "diff", "--suppressions", rules, "--unused-suppressions", "error",
                traced.folder, traced.folder);
    struct outcome outcome = MEMSHIM("report", "--suppressions", rules, traced.folder);
    cr_assert(strstr(outcome.out, "suppressed: 100 blocks, 6,400 bytes (--show suppressed)"), "%s", outcome.out);
    outcome_clear(&outcome);
    char *path = target_path("leak_in_loop");
    ASSERT_ENDS(0, NULL, "run", "-q", "-o", folder, "--fail-on", "definite", "--suppressions", rules, "--", path);
    ASSERT_ENDS(2, "rules.supp:1: not a suppression", "gate", "--baseline", (write_file(rules, "x\n", 2), rules),
                traced.folder);
    free(path);
    free(baseline);
    free(rules);
    folder_remove(folder);
    traced_clear(&traced);
}

/* The option's words, and the tables that it makes of a report. */
Test(cli, groups_lists_and_filters)
{
    struct traced traced = trace_target("leak_in_loop");
    static const char *const by[] = {"function", "file", "module", "type", "thread", "domain"};
    for (size_t i = 0; i < sizeof(by) / sizeof(*by); i++) {
        struct outcome outcome = MEMSHIM("report", "--group-by", by[i], traced.folder);
        cr_assert(outcome.status == 0 && strstr(outcome.out, "6,400"), "--group-by %s: %d\n%s", by[i], outcome.status,
                  outcome.out);
        outcome_clear(&outcome);
    }
    static const char *const lists[][3] = {
        {"leaks", "calls", "6,400"}, {"allocations", "bytes", "leak_in_loop.c"}, {"errors", "calls", "function"}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        struct outcome outcome = MEMSHIM("report", "--list", lists[i][0], "--sort", lists[i][1], traced.folder);
        cr_assert(outcome.status == 0 && strstr(outcome.out, lists[i][2]), "--list %s: %d\n%s", lists[i][0],
                  outcome.status, outcome.out);
        outcome_clear(&outcome);
    }
    struct outcome outcome = MEMSHIM("report", "--filter", "function=^lose$", "--group-by", "stack", traced.folder);
    cr_assert(strstr(outcome.out, "SUMMARY (of what --filter lets pass): 1 leak"), "%s", outcome.out);
    outcome_clear(&outcome);
    ASSERT_ENDS(0, NULL, "gate", "--filter", "function=other", traced.folder);
    ASSERT_ENDS(1, NULL, "gate", "--filter", "function=lose", traced.folder);
    ASSERT_ENDS(0, NULL, "report", "--list", "leaks", "--format", "csv", traced.folder);
    ASSERT_ENDS(2, "format \"sarif\" is not for tables", "report", "--list", "leaks", "--format", "sarif",
                traced.folder);
    ASSERT_ENDS(2, "is not one of stack, function", "report", "--group-by", "colour", traced.folder);
    ASSERT_ENDS(2, "is not one of errors, leaks, allocations", "report", "--list", "", traced.folder);
    ASSERT_ENDS(2, "is not one of calls", "report", "--sort", "x", traced.folder);
    ASSERT_ENDS(2, "--filter", "report", "--filter", "x", traced.folder);
    traced_clear(&traced);
}

Test(cli, text_report)
{
    struct traced traced = trace_target("leak_in_loop");
    struct outcome outcome = MEMSHIM("report", traced.folder);
    static const char *const expected[] = {"6,400 bytes in 100 blocks", "lose", "work", "leak_in_loop.c"};

    cr_assert_eq(outcome.status, 0, "status %d\n%s", outcome.status, outcome.err);
    for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
        cr_assert(strstr(outcome.out, expected[i]), "\"%s\" is missing in\n%s", expected[i], outcome.out);
    cr_assert(!strstr(outcome.out, "\033["), "colours in a pipe");
    outcome_clear(&outcome);

    outcome = MEMSHIM("info", traced.folder);
    cr_assert_eq(outcome.status, 0, "status %d\n%s", outcome.status, outcome.err);
    cr_assert(strstr(outcome.out, "leak_in_loop"), "info does not name the program:\n%s", outcome.out);
    outcome_clear(&outcome);
    traced_clear(&traced);
}

Test(cli, output_file)
{
    struct traced traced = trace_target("leak_in_loop");
    char *path = file_in(traced.folder, "out.json");
    size_t size = 0;

    ASSERT_ENDS(0, NULL, "report", "--format", "json", "-o", path, traced.folder);
    char *text = read_file(path, &size);
    json_t *report = json_loads(text, 0, NULL);
    cr_assert(report, "not JSON: %s", text);
    ASSERT_LEAKS(report, 100, 6400, .function = "lose");
    json_decref(report);
    free(text);
    ASSERT_ENDS(2, "memshim:", "report", "-o", "/nonexistent/folder/out", traced.folder);
    struct outcome outcome =
        spawn_run(LIST("sh", "-c", "$0 report $1 >/dev/full", memshim_path(), traced.folder), NULL);
    cr_assert(outcome.status == 3 || outcome.status == 2, "status %d when stdout is full", outcome.status);
    outcome_clear(&outcome);
    free(path);
    traced_clear(&traced);
}

Test(cli, same_report_twice)
{
    struct traced traced = trace_target("leak_family");
    struct outcome one = MEMSHIM("report", "--format", "json", traced.folder);
    struct outcome two = MEMSHIM("report", "--format", "json", traced.folder);
    assert_same_text(one.out, two.out, "a second report of the same folder");
    outcome_clear(&one);
    outcome_clear(&two);
    traced_clear(&traced);
}

/* Equal across runs: nothing in it depends on addresses, process ids or the order of events. */
Test(cli, fingerprints_are_stable)
{
    struct traced one = trace_target("leak_family"), two = trace_target("leak_family");
    static const char *const functions[] = {"lose_malloc", "lose_strdup", "lose_mapped"};

    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
        const struct query query = {.function = functions[i]};
        const char *a = json_string_value(json_object_get(report_leak(one.report, &query), "fingerprint"));
        const char *b = json_string_value(json_object_get(report_leak(two.report, &query), "fingerprint"));
        cr_assert(a && b && strlen(a) >= 16, "%s: no fingerprint", functions[i]);
        cr_assert_str_eq(a, b, "%s: %s in one run, %s in the next", functions[i], a, b);
    }
    traced_clear(&one);
    traced_clear(&two);
}

Test(cli, wrong_options_in_the_environment)
{
    char *folder = folder_new(), *path = target_path("leak_in_loop");
    char *preload = text_format("LD_PRELOAD=%s", shim_path());
    char *options =
        text_format("MEMSHIM_OPTIONS=output=%s/%%n-%%p%%%%.jsonl:stack_depht=5:stack_depth=none:native", folder);
    struct outcome outcome = spawn_run(LIST(path), LIST(preload, options));
    int lines = 0;

    cr_assert_eq(outcome.status, 0, "status %d", outcome.status);
    assert_same_text("lost 100 blocks of 64 bytes\n", outcome.out, "stdout");
    for (const char *c = outcome.err; *c; c++)
        lines += *c == '\n';
    cr_assert_eq(lines, 3, "%d lines for 3 wrong options:\n%s", lines, outcome.err);
    cr_assert(strstr(outcome.err, "stack_depht") && strstr(outcome.err, "stack_depth"), "no hint:\n%s", outcome.err);
    char *report_path = only_file(folder, "%.jsonl");
    cr_assert(strstr(report_path, "/leak_in_loop-"), "the report is called %s", report_path);
    json_t *report = report_load(report_path);
    ASSERT_LEAKS(report, 100, 6400, .function = "lose", .caller = "work");
    json_decref(report);
    outcome_clear(&outcome);
    free(report_path);
    free(path);
    free(preload);
    free(options);
    folder_remove(folder);
}

/* What is written is what the published schemas say. */
Test(cli, schemas)
{
    struct traced traced = trace_target("leak_family");
    char *validator = text_format("%s/tests/validate_schema.py", test_variable("TEST_SOURCE"));
    char *lines = only_file(traced.folder, ".jsonl"), *document = file_in(traced.folder, "report.json");

    ASSERT_ENDS(0, NULL, "report", "--format", "json", "-o", document, traced.folder);
    struct outcome outcome = spawn_run(LIST("/usr/bin/python3", validator, lines, document), NULL);
    if (outcome.status == 77)
        cr_skip_test("python3-jsonschema is not installed");
    cr_assert_eq(outcome.status, 0, "status %d\n%s%s", outcome.status, outcome.out, outcome.err);
    outcome_clear(&outcome);
    free(validator);
    free(lines);
    free(document);
    traced_clear(&traced);
}

Test(cli, valgrind)
{
    struct outcome there = spawn_run(LIST("valgrind", "--version"), NULL);
    if (there.status || getenv("TEST_SANITIZED"))
        cr_skip_test("valgrind is not installed, or this build has sanitizers");
    struct traced traced = trace_target("leak_family");
    static const char *const formats[] = {"text", "json"};

    for (size_t i = 0; i < 2; i++) {
        struct outcome outcome =
            spawn_run(LIST("valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
                           "--show-leak-kinds=definite,possible", "--errors-for-leak-kinds=definite,possible",
                           memshim_path(), "report", "--format", formats[i], traced.folder),
                      NULL);
        cr_assert_eq(outcome.status, 0, "valgrind, format %s: status %d\n%.5000s", formats[i], outcome.status,
                     outcome.err);
        outcome_clear(&outcome);
    }
    outcome_clear(&there);
    traced_clear(&traced);
}
