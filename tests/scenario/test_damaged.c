/* SPDX-License-Identifier: MIT
 *
 * Input of the analyzer that is cut, empty, garbage or of another version. */
#include "command.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(damaged);

Test(damaged, input_that_is_no_report)
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

Test(damaged, truncated_report)
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

Test(damaged, damaged_report)
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

Test(damaged, damaged_ledger)
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
