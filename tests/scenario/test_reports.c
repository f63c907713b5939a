/* SPDX-License-Identifier: MIT
 *
 * Reports that travel: several in one file, compressed, with symbols inside, cut and damaged on the way; and exports. */
#include "trace.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(reports);

static struct outcome memshim(const char *const *arguments)
{
    const char *argv[32] = {memshim_path()};
    size_t count = 1;

    for (; *arguments; arguments++)
        argv[count++] = *arguments;
    return spawn_run(argv, NULL);
}

/* Runs it, fails unless it ends so, and returns its output, the caller's to free. */
static char *output_of(int status, const char *const *arguments)
{
    struct outcome outcome = memshim(arguments);
    cr_assert_eq(outcome.status, status, "memshim %s: status %d\n%s%s", arguments[0], outcome.status, outcome.out,
                 outcome.err);
    char *text = strdup(status ? outcome.err : outcome.out);
    outcome_clear(&outcome);
    return text;
}

#define OUTPUT(...) output_of(0, LIST(__VA_ARGS__))
#define ERRORS(status, ...) output_of(status, LIST(__VA_ARGS__))

static void expect_error(const char *want, char *got)
{
    cr_assert(strstr(got, want), "\"%s\" is not in:\n%s", want, got);
    free(got);
}

/* The same report from both. */
static void assert_same_report(const char *one, const char *other)
{
    char *a = OUTPUT("report", "--format", "json", "--show", "all", one);
    char *b = OUTPUT("report", "--format", "json", "--show", "all", other);
    assert_same_text(a, b, other);
    free(a);
    free(b);
}

/* The first `part` of 100 parts of a file, and then `tail`. */
static char *cut_file(const char *path, int part, const char *tail)
{
    char *cut = text_format("%s.cut.jsonl", path), *bytes = calloc(1, 1 << 22);
    FILE *in = fopen(path, "r"), *out = fopen(cut, "w");
    cr_assert(in && out && bytes);
    size_t size = fread(bytes, 1, 1 << 22, in);
    cr_assert(fwrite(bytes, 1, size * (size_t)part / 100, out) > 0 && fputs(tail, out) >= 0);
    fclose(in);
    fclose(out);
    free(bytes);
    return cut;
}

Test(reports, many_reports_are_one)
{
    char *program = target_path("leak_in_loop"), *twice = text_format("%s; %s; true", program, program);
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST("sh", "-c", twice), NULL);
    char *folder = folder_new(), *plain = text_format("%s/all.jsonl", folder), *packed = text_format("%s.zst", plain);

    cr_assert(report_process_count(traced.report) > 1);
    free(OUTPUT("merge", "-o", plain, traced.folder));
    assert_same_report(traced.folder, plain);
    struct outcome outcome = memshim(LIST("merge", "-o", packed, plain));
    if (outcome.status == 3 && strstr(outcome.err, strerror(ENOSYS)))
        cr_skip("built without zstd");
    cr_assert_eq(outcome.status, 0, "%s", outcome.err);
    outcome_clear(&outcome);
    assert_same_report(plain, packed);
    free(OUTPUT("merge", "-o", plain, packed, packed));
    char *text = OUTPUT("info", plain);
    free(text);
    expect_error("/nonexistent", ERRORS(2, "merge", "-o", packed, "/nonexistent"));
    expect_error("-o FILE", ERRORS(2, "merge", plain));
    expect_error("no report", ERRORS(2, "merge", "-o", packed));

    /* What is cut or damaged is read up to there, and says so. */
    static const char *const tails[] = {"", "garbage in place of the rest"};
    for (size_t i = 0; i < sizeof(tails) / sizeof(*tails); i++) {
        char *cut = cut_file(plain, 40, tails[i]);
        text = OUTPUT("report", cut);
        cr_assert(strstr(text, "the report is truncated"), "%s", text);
        free(text);
        char *again = text_format("%s/again.jsonl", folder);
        free(OUTPUT("merge", "-o", again, cut, packed));
        text = OUTPUT("info", "--format", "json", again);
        cr_assert(strstr(text, "\"truncated\": true") || strstr(text, "\"truncated\":true"), "%s", text);
        free(text);
        free(again);
        free(cut);
    }
    char *damaged = cut_file(packed, 60, "garbage in place of the rest");
    expect_error("cut before its first line", ERRORS(2, "report", damaged));
    free(damaged);
    free(twice);
    free(program);
    free(plain);
    free(packed);
    folder_remove(folder);
    traced_clear(&traced);
}

/* The program is gone, as on another machine: the names are in the report. */
Test(reports, symbols_inside)
{
    char *folder = folder_new(), *program = target_path("leak_in_loop"), *copy = text_format("%s/leaks", folder);
    char *command = text_format("cp %s %s", program, copy), *reports = text_format("%s/r", folder);
    char *whole = text_format("%s/whole.jsonl", folder);
    struct outcome outcome = spawn_run(LIST("sh", "-c", command), NULL);

    outcome_clear(&outcome);
    free(OUTPUT("run", "-q", "-o", reports, "--", copy));
    char *before = OUTPUT("report", "--format", "json", reports);
    free(OUTPUT("report", "--self-contained", "-o", whole, reports));
    assert_same_report(reports, whole);
    cr_assert_eq(unlink(copy), 0);
    char *without = OUTPUT("report", reports), *with = OUTPUT("report", "--format", "json", whole);
    cr_assert_not(strstr(without, "leak_in_loop.c"), "%s", without);
    assert_same_text(before, with, "without the program");
    free(OUTPUT("merge", "--self-contained", "-o", whole, whole));
    free(with);
    with = OUTPUT("report", "--format", "json", whole);
    assert_same_text(before, with, "once more");
    free(with);
    free(without);
    free(before);
    free(whole);
    free(reports);
    free(command);
    free(copy);
    free(program);
    folder_remove(folder);
}

Test(reports, exports)
{
    struct traced traced = trace_target("leak_in_loop");
    char *folder = folder_new(), *csv = text_format("csv=%s/a.csv", folder), *sarif = text_format("sarif=%s/a", folder);

    free(OUTPUT("export", traced.folder, csv, sarif));
    cr_assert_eq(access(csv + 4, R_OK) | access(sarif + 6, R_OK), 0);
    char *text = OUTPUT("export", "--format", "collapsed", traced.folder);
    cr_assert(strstr(text, "lose 6400"), "%s", text);
    free(text);
    expect_error("no format", ERRORS(2, "export", traced.folder));
    expect_error("unknown format", ERRORS(2, "export", "--format", "x", traced.folder));
    expect_error("no report", ERRORS(2, "export", csv));
    expect_error("x=y", ERRORS(2, "export", traced.folder, "x=y", sarif));
    free(csv);
    free(sarif);
    folder_remove(folder);
    traced_clear(&traced);
}
