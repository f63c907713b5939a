/* SPDX-License-Identifier: MIT
 *
 * The command line of the analyzer: exit codes, wrong usage, input that is cut, empty, garbage or of another version. */
#include "options.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(cli);

static struct outcome memshim(const char *const *arguments)
{
    const char *argv[32] = {memshim_path()};
    size_t count = 1;

    for (; *arguments; arguments++)
        argv[count++] = *arguments;
    return spawn_run(argv, NULL);
}

#define MEMSHIM(...) memshim(LIST(__VA_ARGS__))

/* The command ends with `status`, and says on stderr what `text` (may be NULL) has in it. */
static void assert_ends(const char *const *arguments, int status, const char *text)
{
    struct outcome outcome = memshim(arguments);
    char *command = text_format("memshim %s %s %s", arguments[0] ? arguments[0] : "",
                                arguments[0] && arguments[1] ? arguments[1] : "",
                                arguments[0] && arguments[1] && arguments[2] ? arguments[2] : "");
    cr_assert_eq(outcome.status, status, "%s: status %d, not %d\n%s%s", command, outcome.status, status, outcome.out,
                 outcome.err);
    cr_assert(!text || strstr(outcome.err, text), "%s: \"%s\" is not in stderr:\n%s", command, text, outcome.err);
    free(command);
    outcome_clear(&outcome);
}

#define ASSERT_ENDS(status, text, ...) assert_ends(LIST(__VA_ARGS__), status, text)

static char *file_in(const char *folder, const char *name)
{
    return text_format("%s/%s", folder, name);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *out = fopen(path, "w");
    cr_assert(out && fwrite(bytes, 1, size, out) == size && fclose(out) == 0, "cannot write %s", path);
}

static char *read_file(const char *path, size_t *size)
{
    char *bytes = NULL;
    FILE *in = fopen(path, "r");
    cr_assert(in, "cannot read %s", path);
    fseek(in, 0, SEEK_END);
    *size = (size_t)ftell(in);
    rewind(in);
    bytes = malloc(*size + 1);
    cr_assert(bytes && fread(bytes, 1, *size, in) == *size);
    bytes[*size] = '\0';
    fclose(in);
    return bytes;
}

/* The only file in the folder that ends in `suffix`. */
static char *only_file(const char *folder, const char *suffix)
{
    char *command = text_format("ls %s/*%s", folder, suffix);
    struct outcome outcome = spawn_run(LIST("sh", "-c", command), NULL);
    char *path = strndup(outcome.out, strcspn(outcome.out, "\n"));
    cr_assert(outcome.status == 0 && path[0], "no %s in %s", suffix, folder);
    free(command);
    outcome_clear(&outcome);
    return path;
}

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

Test(cli, input_that_is_no_report)
{
    static const struct {
        const char *name, *text;
    } files[] = {
        {"empty.jsonl", ""},
        {"newline.jsonl", "\n"},
        {"garbage.jsonl", "\x7f\x45LF\x02\x01 garbage \xff\xfe\n"},
        {"text.jsonl", "this is a text\nof two lines\n"},
        {"other.jsonl", "{\"schema\": \"something else\"}\n"},
        {"array.jsonl", "[1, 2, 3]\n"},
        {"number.jsonl", "1\n"},
        {"version.jsonl", "{\"memshim\":999, \"schema\":\"memshim-report-lines/999\", \"pid\":1}\n"},
        {"type.jsonl", "{\"memshim\":\"one\"}\n"},
        {"empty.ledger", ""},
        {"garbage.ledger", "MSHMLEDG and not a ledger at all"},
    };
    char *folder = folder_new();

    ASSERT_ENDS(2, "memshim: ", "report", folder);
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char *path = file_in(folder, files[i].name);
        write_file(path, files[i].text, strlen(files[i].text));
        ASSERT_ENDS(2, path, "report", path);
        ASSERT_ENDS(2, path, "info", path);
        ASSERT_ENDS(2, path, "gate", path);
        struct outcome outcome = MEMSHIM("report", "--format", "json", path);
        cr_assert(!strchr(outcome.err, '\n') || strchr(outcome.err, '\n')[1] == '\0', "%s: more than one line:\n%s",
                  files[i].name, outcome.err);
        cr_assert(strncmp(outcome.err, "memshim: ", 9) == 0, "%s: %s", files[i].name, outcome.err);
        outcome_clear(&outcome);
        free(path);
    }
    ASSERT_ENDS(2, "memshim: /nonexistent", "report", "/nonexistent");
    folder_remove(folder);
}

/* Whatever stands in the file: an answer or an error, in JSON that can be read, and never a crash. */
static void assert_survives(const char *path, const char *what, size_t at)
{
    struct outcome outcome = MEMSHIM("report", "--format", "json", path);
    cr_assert(outcome.status == 0 || outcome.status == 2, "%s at %zu (%s): status %d\n%.3000s", what, at, path,
              outcome.status, outcome.err);
    if (outcome.status == 0) {
        json_t *report = json_loads(outcome.out, 0, NULL);
        cr_assert(report, "%s at %zu (%s): the answer is not JSON", what, at, path);
        json_decref(report);
    } else {
        cr_assert(strncmp(outcome.err, "memshim: ", 9) == 0, "%s at %zu (%s): %s", what, at, path, outcome.err);
    }
    outcome_clear(&outcome);
}

Test(cli, truncated_report)
{
    struct traced traced = trace_target("leak_family");
    char *path = only_file(traced.folder, ".jsonl"), *cut = file_in(traced.folder, "cut.jsonl");
    size_t size = 0, lines = 0;
    char *text = read_file(path, &size);
    size_t first = (size_t)(strchr(text, '\n') - text) + 1;

    for (size_t at = 0; at < size; at += at < first ? first / 8 + 1 : size / 40 + 1) {
        write_file(cut, text, at);
        assert_survives(cut, "cut", at);
    }
    for (size_t at = first; at < size; at = (size_t)(strchr(text + at, '\n') - text) + 1) {
        if (lines++ % 16)
            continue;
        write_file(cut, text, at);
        json_t *report = report_load(cut);
        cr_assert(json_is_true(json_object_get(report_process(report, 0), "truncated")),
                  "a report cut after %zu bytes does not say so", at);
        json_decref(report);
    }
    free(text);
    free(path);
    free(cut);
    traced_clear(&traced);
}

/* Deterministic: a failure can be repeated. */
static unsigned next_random(unsigned *state)
{
    *state = *state * 1103515245 + 12345;
    return *state >> 8;
}

Test(cli, damaged_report)
{
    struct traced traced = trace_target("leak_family");
    char *path = only_file(traced.folder, ".jsonl"), *damaged = file_in(traced.folder, "damaged.jsonl");
    size_t size = 0;
    char *text = read_file(path, &size);
    unsigned state = 1;

    for (int i = 0; i < 60; i++) {
        char *copy = malloc(size);
        memcpy(copy, text, size);
        for (int j = 0; j < 1 + i % 5; j++) {
            size_t at = next_random(&state) % size;
            /* Digits become other digits, so that the line stays JSON and its numbers lie. */
            bool digit = copy[at] >= '0' && copy[at] <= '9';
            copy[at] = digit && i % 2 ? (char)('0' + next_random(&state) % 10) : (char)next_random(&state);
        }
        write_file(damaged, copy, size);
        assert_survives(damaged, "damage", (size_t)i);
        free(copy);
    }
    free(text);
    free(path);
    free(damaged);
    traced_clear(&traced);
}

Test(cli, damaged_ledger)
{
    char *folder = folder_new(), *program = target_path("end_variants");
    char *preload = text_format("LD_PRELOAD=%s", shim_path());
    char *options = text_format("MEMSHIM_OPTIONS=output=%s/%%p.jsonl", folder);
    struct outcome outcome = spawn_run(LIST(program, "kill"), LIST(preload, options));
    char *path = only_file(folder, ".ledger"), *damaged = file_in(folder, "damaged.ledger");
    size_t size = 0;
    char *bytes = read_file(path, &size);
    unsigned state = 7;

    cr_assert_eq(outcome.status, 137);
    for (size_t at = 0; at < size; at += size / 20 + 1) {
        write_file(damaged, bytes, at);
        assert_survives(damaged, "cut", at);
    }
    for (int i = 0; i < 60; i++) {
        char *copy = malloc(size);
        memcpy(copy, bytes, size);
        for (int j = 0; j < 200; j++)
            copy[i % 2 ? next_random(&state) % 30000 : (size_t)next_random(&state) * 16 % size] =
                (char)next_random(&state);
        memcpy(copy, bytes, 16); /* or else it is refused at once */
        write_file(damaged, copy, size);
        assert_survives(damaged, "damage", (size_t)i);
        free(copy);
    }
    outcome_clear(&outcome);
    free(bytes);
    free(path);
    free(damaged);
    free(program);
    free(preload);
    free(options);
    folder_remove(folder);
}

/* Wrong options never stop the program: one line each, and the default holds. */
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
