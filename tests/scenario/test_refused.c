/* SPDX-License-Identifier: MIT
 *
 * The options that let requests for memory fail: exactly those that the option names, in the way of the C library, and CPython
 * raises MemoryError. */
#include "pythons.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

TestSuite(refused, .timeout = 600);

struct program_case {
    char options[64];
    char expected[96]; /* the output of targets/refused.c */
    int refused;
};

/* Of 1000 new blocks of 100 bytes, 1000 that grow to 2000 bytes (two requests, the first may fail already), and one of 1 MiB.
 * What guard bytes and pages and sampling do is another way through the hooks, with the same result. */
static struct program_case program_cases[] = {
    {"verbosity=0", "new 0, resized 0, large block, wrong 0\n", 0},
    {"fail_every=10", "new 100, resized 200, large block, wrong 0\n", 300},
    {"fail_every=10:guard=1", "new 100, resized 200, large block, wrong 0\n", 300},
    {"fail_every=10:guard_pages=3", "new 100, resized 200, large block, wrong 0\n", 300},
    {"fail_every=1", "new 1000, resized 1000, large null, wrong 0\n", 2001},
    {"fail_every=1:sample=1000", "new 1000, resized 1000, large null, wrong 0\n", 2001},
    {"fail_above=1999", "new 0, resized 1000, large null, wrong 0\n", 1001},
    {"fail_above=2000", "new 0, resized 0, large null, wrong 0\n", 1},
    {"limit=50000", "new 500, resized 0, large null, wrong 0\n", 501},
    {"limit=50000:guard=1", "new 500, resized 0, large null, wrong 0\n", 501},
    {"limit=50000:guard_pages=3", "new 500, resized 0, large null, wrong 0\n", 501},
    {"limit_malloc=50000", "new 500, resized 0, large null, wrong 0\n", 501},
    {"limit_malloc=50000:guard=1", "new 500, resized 0, large null, wrong 0\n", 501},
    {"limit_malloc=50000:guard_pages=3", "new 500, resized 0, large null, wrong 0\n", 501},
    {"limit_obj=1:limit_raw=1", "new 0, resized 0, large block, wrong 0\n", 0},
    {"limit=1050000", "new 0, resized 0, large block, wrong 0\n", 0},
};

ParameterizedTestParameters(refused, program)
{
    return cr_make_param_array(struct program_case, program_cases, sizeof(program_cases) / sizeof(*program_cases));
}

ParameterizedTest(struct program_case *one, refused, program)
{
    char *path = target_path("refused"), *folder = folder_new();
    char *preload = text_format("LD_PRELOAD=%s", shim_path());
    char *options = text_format("MEMSHIM_OPTIONS=output=%s/%%p.jsonl:%s", folder, one->options);

    struct outcome outcome = spawn_run(LIST(path), LIST(preload, options));
    assert_same_text(one->expected, outcome.out, one->options);
    assert_same_text("", outcome.err, "stderr");
    cr_assert_eq(outcome.status, 0);
    struct outcome info = spawn_run(LIST(memshim_path(), "info", "--format", "json", folder), NULL);
    json_t *document = json_loads(info.out, 0, NULL);
    cr_assert(document, "%s", info.out);
    json_t *process = json_array_get(json_object_get(document, "processes"), 0);
    cr_assert_eq(process_number(process, "refused"), one->refused, "%s: %lld refused, not %d", one->options,
                 process_number(process, "refused"), one->refused);
    json_decref(document);
    outcome_clear(&info);
    outcome_clear(&outcome);
    free(preload);
    free(options);
    free(path);
    folder_remove(folder);
}

/* A program that is refused memory ends as it would without memory, and its children are judged on their own. */
Test(refused, children_begin_anew)
{
    char *path = target_path("refused"), *folder = folder_new();
    char *command = text_format("%s; %s", path, path);
    struct outcome outcome =
        spawn_run(LIST(memshim_path(), "run", "-o", folder, "--limit=50000", "--", "sh", "-c", command), NULL);

    assert_same_text("new 500, resized 0, large null, wrong 0\nnew 500, resized 0, large null, wrong 0\n", outcome.out,
                     "stdout");
    outcome_clear(&outcome);
    free(command);
    free(path);
    folder_remove(folder);
}

/* ---- CPython ---- */

struct script_case {
    const char *options, *way, *expected, *allocators;
};

ParameterizedTestParameters(refused, memory_error)
{
    static struct python pythons[PYTHONS_MAX];
    return cr_make_param_array(struct python, pythons, pythons_find(pythons));
}

ParameterizedTest(struct python *python, refused, memory_error)
{
    static const struct script_case cases[] = {
        {"limit=30M", "limit", "8 499500\n", "PYTHONMALLOC=default"},
        {"limit=30M:guard=1", "limit", "8 499500\n", "PYTHONMALLOC=default"},
        {"limit=30M", "limit", "8 499500\n", "PYTHONMALLOC=malloc"},
        {"limit=30M", "limit", "8 499500\n", "PYTHONMALLOC=debug"},
        {"limit_obj=30M:limit_mem=30M", "limit", "8 499500\n", "PYTHONMALLOC=default"},
        {"limit_obj=30M", "objects", "2 499500\n", "PYTHONMALLOC=malloc"},
        {"limit_obj=30M", "objects", "2 499500\n", "PYTHONMALLOC=debug"},
        {"fail_above=3M", "above", "4 499500\n", "PYTHONMALLOC=default"},
        {"fail_every=10000", "every", "2 499500\n", "PYTHONMALLOC=default"},
    };
    char *script = text_format("%s/tests/targets/refused.py", test_variable("TEST_SOURCE"));

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct outcome outcome = trace_without_report(cases[i].options, LIST(python->path, "-S", script, cases[i].way),
                                                      LIST(cases[i].allocators));
        cr_assert_eq(outcome.status, 0, "%s with %s: status %d\n%s", python->path, cases[i].options, outcome.status,
                     outcome.err);
        assert_same_text(cases[i].expected, outcome.out, cases[i].options);
        assert_same_text("", outcome.err, "stderr");
        outcome_clear(&outcome);
    }
    free(script);
}
