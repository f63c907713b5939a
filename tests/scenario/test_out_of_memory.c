/* SPDX-License-Identifier: MIT
 *
 * The analyzer with one request for memory refused, each in turn: every command ends with an error line and the exit code
 * that goes with it, or with what it would have said anyway. */
#include "trace.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(out_of_memory);

#define REQUESTS_MAX 20000

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

static void assert_all_end_well(const char *const *arguments)
{
    bool refused = true;
    struct outcome whole = run_with(arguments, 0, &refused);
    cr_assert_not(refused);
    cr_assert_leq(whole.status, 1, "%s: %s", arguments[0], whole.err);
    int nth;
    for (nth = 1; nth < REQUESTS_MAX; nth++) {
        struct outcome outcome = run_with(arguments, nth, &refused);
        if (!refused) {
            outcome_clear(&outcome);
            break;
        }
        bool said = strstr(outcome.err, "memshim: ") && strstr(outcome.err, "memory");
        cr_assert(outcome.status == whole.status ? strcmp(outcome.out, whole.out) == 0 : outcome.status == 3 && said,
                  "memshim %s, request %d: status %d\n%s\nnot %d\n%s\n%s", arguments[0], nth, outcome.status,
                  outcome.out, whole.status, whole.out, outcome.err);
        outcome_clear(&outcome);
    }
    cr_assert(nth > 50 && nth < REQUESTS_MAX, "%s: %d requests", arguments[0], nth);
    outcome_clear(&whole);
}

#define ASSERT_ALL_END_WELL(...) assert_all_end_well(LIST(__VA_ARGS__))

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
