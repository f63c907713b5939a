/* SPDX-License-Identifier: MIT
 *
 * The Python package memshim in every interpreter, bare and under memshim. The targets check what they see themselves; here their
 * ends are looked at, and what the reports say. */
#include "pythons.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct script {
    const struct python *python;
    char *path;
    char *environment, *program;
};

static struct script script_open(const struct python *python, const char *name)
{
    return (struct script){
        .python = python,
        .path = text_format("%s/tests/targets/%s", test_variable("TEST_SOURCE"), name),
        .environment = text_format("PYTHONPATH=%s", test_variable("TEST_PACKAGE")),
        .program = text_format("MEMSHIM_PROGRAM=%s", memshim_path()),
    };
}

static void script_close(struct script *script)
{
    free(script->path);
    free(script->environment);
    free(script->program);
}

static void assert_bare(const struct script *script, const char *first, const char *second)
{
    struct outcome bare =
        spawn_run(LIST(script->python->path, script->path, first, second), LIST(script->environment, script->program));

    cr_assert_eq(bare.status, 0, "Python %s, %s %s: %s%s", script->python->version, script->path, first, bare.out,
                 bare.err);
    outcome_clear(&bare);
}

static struct traced trace_script(const struct script *script, const char *first, const char *second)
{
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(script->python->path, script->path, first, second),
                                 LIST(script->environment, script->program));

    cr_assert_eq(traced.run.status, 0, "Python %s, %s %s: %s%s", script->python->version, script->path, first,
                 traced.run.out, traced.run.err);
    return traced;
}

/* For each interpreter. */
static void for_each(void (*function)(const struct python *python))
{
    struct python pythons[PYTHONS_MAX];
    size_t count = pythons_find(pythons);

    cr_assert_gt(count, 0);
    for (size_t i = 0; i < count; i++)
        function(&pythons[i]);
}

static int count_errors(const struct traced *traced, const char *kind, const char *domain)
{
    json_t *error;
    size_t i;
    int count = 0;

    json_array_foreach(json_object_get(traced->report, "errors"), i, error)
    {
        count += (!kind || strcmp(json_string_value(json_object_get(error, "kind")), kind) == 0) &&
                 (!domain || strcmp(json_string_value(json_object_get(error, "domain")), domain) == 0);
    }
    return count;
}

/* ---- handles ---- */

static void check_handles(const struct python *python)
{
    struct script script = script_open(python, "module_handles.py");

    assert_bare(&script, "good", NULL);
    assert_bare(&script, "bad", NULL);
    struct traced good = trace_script(&script, "good", NULL);
    cr_expect_eq(count_errors(&good, NULL, NULL), 0, "Python %s: %s", python->version, good.run.err);
    ASSERT_LEAKS(good.report, 0, 0, .domain = "handle");
    traced_clear(&good);
    struct traced bad = trace_script(&script, "bad", NULL);
    cr_expect_eq(count_errors(&bad, "invalid-argument", "handle"), 8);
    cr_expect_geq(count_errors(&bad, "invalid-handle", "handle"), 4);
    cr_expect_eq(count_errors(&bad, "handle-locked", "handle"), 2);
    cr_expect_eq(count_errors(&bad, "unbalanced-unlock", "handle"), 1);
    cr_expect_geq(count_errors(&bad, "double-free", "handle"), 1);
    ASSERT_LEAKS(bad.report, 0, 0, .domain = "handle");
    traced_clear(&bad);
    struct traced lost = trace_script(&script, "lost", NULL);
    ASSERT_LEAKS(lost.report, 1, 777, .domain = "handle", .type = "Forgotten", .function = "lost",
                 .language = "python");
    ASSERT_LEAKS(lost.report, 1, 0, .domain = "handle-lock", .type = "Forgotten", .function = "lost");
    traced_clear(&lost);
    script_close(&script);
}

Test(module, handles)
{
    for_each(check_handles);
}

/* ---- pools ---- */

static void check_pools(const struct python *python)
{
    struct script script = script_open(python, "module_pools.py");
    char *name = text_format("memshim-test-module-%d", (int)getpid());
    const char *cases[] = {"good", "waiting", "bad"};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_bare(&script, cases[i], name);
        struct traced traced = trace_script(&script, cases[i], name);
        if (strcmp(cases[i], "waiting") == 0)
            cr_expect_eq(count_errors(&traced, NULL, NULL), 0, "%s", traced.run.err);
        if (strcmp(cases[i], "bad") != 0)
            ASSERT_LEAKS(traced.report, 0, 0, .domain = "pool");
        ASSERT_LEAKS(traced.report, 0, 0, .domain = "pool-attachment");
        traced_clear(&traced);
    }
    struct traced lost = trace_script(&script, "lost", name);
    ASSERT_LEAKS(lost.report, 1, 1234, .domain = "pool", .function = "keep", .caller = "lost", .language = "python");
    ASSERT_LEAKS(lost.report, 1, 4321, .domain = "pool", .function = "keep", .caller = "die", .language = "python");
    ASSERT_LEAKS(lost.report, 1, 0, .domain = "pool-attachment", .type = name, .function = "lost");
    traced_clear(&lost);
    shm_unlink(name);
    script_close(&script);
    free(name);
}

Test(module, pools)
{
    for_each(check_pools);
}

/* ---- scopes ---- */

static void check_scopes(const struct python *python)
{
    struct script script = script_open(python, "module_scopes.py");
    char *extension = python_extension(python);
    const char *rounds = getenv("TEST_REPEAT") ? "1000" : "5";

    assert_bare(&script, "", rounds);
    struct traced traced = trace_script(&script, extension ? extension : "", rounds);
    cr_expect_str_eq(traced.run.out, "measured\n");
    traced_clear(&traced);
    script_close(&script);
    free(extension);
}

Test(module, scopes)
{
    for_each(check_scopes);
}

static void expect_output(const struct script *script, const char *first, const char *second, const char *output)
{
    struct traced traced = trace_script(script, first, second);

    cr_expect_str_eq(traced.run.out, output, "%s", script->python->version);
    traced_clear(&traced);
}

/* The first time counts, hence a new process for each. */
static void check_clean_scopes(const struct python *python)
{
    static const char *const some[] = {"lists", "calls",  "exceptions", "jsons",    "regex",   "sqlite", "classes",
                                       "aio",   "big",    "threads",    "decimals", "imports", "files",  "structs",
                                       "sub",   "hashes", "zones",      "warned",   "tmpdirs", "tmpdir"};
    static const char *const more[] = {
        "dicts",   "sets",    "gens",    "fstrings", "instances", "strformat", "imports_c", "generators",
        "ctyped",  "bytesy",  "slots",   "props",    "attrs",     "ints",      "ctx",       "evals",
        "uni",     "matcher", "sorting", "dt",       "copies",    "enums",     "abcs",      "dataclass",
        "ntuple",  "urls",    "tpe",     "fnm",      "tb",        "weak",      "csvs",      "typings",
        "sockets", "randoms", "itert",   "xmls",     "secure"};
    struct script script = script_open(python, "scope_clean.py");

    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        expect_output(&script, "2", some[i], "clean\n");
    for (size_t i = 0; getenv("TEST_REPEAT") && i < sizeof(more) / sizeof(more[0]); i++)
        expect_output(&script, "3", more[i], "clean\n");
    expect_output(&script, getenv("TEST_REPEAT") ? "1000" : "100", "lists", "clean\n");
    script_close(&script);
}

Test(module, clean_scopes)
{
    for_each(check_clean_scopes);
}

/* Nothing is imported yet. */
static void check_first_scopes(const struct python *python)
{
    static const char *const names[] = {"hashes", "secure",   "zones", "named_zones", "tmpdir",  "warned",
                                        "sqlite", "decimals", "xmls",  "compressed",  "resolved"};
    struct script script = script_open(python, "scope_first.py");

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        expect_output(&script, getenv("TEST_REPEAT") ? "3" : "1", names[i], "clean\n");
    script_close(&script);
}

Test(module, first_scopes)
{
    for_each(check_first_scopes);
}

static void check_planted_scopes(const struct python *python)
{
    struct script script = script_open(python, "scope_planted.py");

    expect_output(&script, NULL, NULL, "found\n");
    script_close(&script);
}

Test(module, planted_scopes)
{
    for_each(check_planted_scopes);
}

/* ---- buffers ---- */

static void check_buffers(const struct python *python)
{
    struct script script = script_open(python, "module_buffers.py");
    char *extension = python_compile(python, "module_buffers.c", "buffers");

    if (extension) {
        assert_bare(&script, extension, NULL);
        struct traced traced = trace_script(&script, extension, NULL);
        bool numpy = strstr(traced.run.out, "numpy");
        ASSERT_LEAKS(traced.report, 3 + numpy, 0, .domain = "buffer");
        ASSERT_LEAKS(traced.report, 1, 0, .domain = "buffer", .function = "keep", .caller = "watch",
                     .type = "bytes: 10 bytes, format B, shape (10,), readonly");
        ASSERT_LEAKS(traced.report, numpy, 0, .domain = "buffer", .function = "watch", .language = "python",
                     .file = "module_buffers.py", .type = "numpy.ndarray: 96 bytes, format d, shape (3, 4), writable");
        ASSERT_LEAKS(traced.report, 2, 0, .domain = "buffer", .function = "keep", .caller = "forget",
                     .type = "array.array: 40 bytes, format i, shape (10,), writable");
        json_t *leak = report_leak(traced.report, &(struct query){.domain = "buffer"});
        cr_expect_str_eq(json_string_value(json_object_get(leak, "kind")), "definite");
        traced_clear(&traced);
    }
    script_close(&script);
    free(extension);
}

Test(module, buffers)
{
    for_each(check_buffers);
}

/* ---- labels and regions ---- */

static long long labelled(const json_t *report, const char *label)
{
    long long blocks = 0;
    const json_t *leak;
    size_t i;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        const char *its = json_string_value(json_object_get(leak, "label"));
        if (its && strcmp(its, label) == 0)
            blocks += json_integer_value(json_object_get(leak, "bytes")) / 5000; /* of these there are some */
    }
    return blocks;
}

static void check_labels(const struct python *python)
{
    struct script script = script_open(python, "module_labels.py");

    assert_bare(&script, NULL, NULL);
    struct traced traced = trace_script(&script, NULL, NULL);
    cr_expect_eq(labelled(traced.report, "loading"), 3, "%s", python->version);
    cr_expect_eq(labelled(traced.report, "parsing"), 1, "%s", python->version);
    cr_expect_eq(labelled(traced.report, "thread"), 1, "%s", python->version);
    ASSERT_LEAKS(traced.report, 1, 4096, .domain = "device", .function = "keep_region", .language = "python");
    json_t *leak = report_leak(traced.report, &(struct query){.function = "make_ignored", .language = "python"});
    cr_expect(json_is_true(json_object_get(leak, "ignored")));
    traced_clear(&traced);
    script_close(&script);
}

Test(module, labels)
{
    for_each(check_labels);
}

/* ---- examples of documents ---- */

static void check_documented(const struct python *python)
{
    struct script script = script_open(python, "module_documented.py");
    char *extension = python_compile(python, "documented.c", "documented");

    if (extension) {
        assert_bare(&script, extension, "good");
        assert_bare(&script, extension, "limit");
        struct traced traced = trace_script(&script, extension, "good");
        ASSERT_LEAKS(traced.report, 1, 0, .domain = "buffer", .function = "take_buffer",
                     .type = "documented.Plane: 48 bytes, format i, shape (3, 4), writable");
        cr_expect_gt(report_blocks(traced.report, "definite", "leak_example"), 0, "%s", python->version);
        cr_expect_gt(report_blocks(traced.report, "definite", "allocation_leak"), 0, "%s", python->version);
        cr_expect_eq(count_errors(&traced, NULL, NULL), 0, "%s", python->version);
        traced_clear(&traced);
        traced = trace(BY_LAUNCHER, "guard=1", LIST(python->path, script.path, extension, "bad"),
                       LIST(script.environment, script.program));
        cr_expect_eq(traced.run.status, 0, "%s: %s", python->version, traced.run.err);
        cr_expect_eq(count_errors(&traced, "domain-mismatch", "mem"), 1, "%s: %s", python->version, traced.run.err);
        traced_clear(&traced);
        traced = trace(BY_LAUNCHER, "limit_obj=60M:limit_mem=60M", LIST(python->path, script.path, extension, "limit"),
                       LIST(script.environment, script.program));
        cr_expect_eq(traced.run.status, 0, "%s: %s", python->version, traced.run.err);
        traced_clear(&traced);
    }
    script_close(&script);
    free(extension);
}

Test(module, documented)
{
    for_each(check_documented);
}

/* ---- the launcher ---- */

static void check_launcher(const struct python *python)
{
    struct script script = script_open(python, "module_handles.py");
    char *folder = folder_new();
    const char *environment[] = {script.environment, script.program, NULL};
    struct outcome run =
        spawn_run(LIST(python->path, "-m", "memshim", "run", "-o", folder, script.path, "lost"), environment);

    cr_expect_eq(run.status, 0, "%s", run.err);
    cr_expect(strstr(run.err, "(handle, Forgotten)") != NULL, "%s", run.err);
    outcome_clear(&run);
    run = spawn_run(LIST(python->path, "-m", "memshim", "run", "-q", "-o", folder, "-c", "raise SystemExit(7)"),
                    environment);
    cr_expect_eq(run.status, 7, "%s", run.err);
    outcome_clear(&run);
    run = spawn_run(LIST(python->path, "-m", "memshim", "info", folder), environment);
    cr_expect_eq(run.status, 0, "%s", run.err);
    outcome_clear(&run);
    folder_remove(folder);
    script_close(&script);
}

static void try_stub(const struct python *python)
{
    struct script script = script_open(python, "module_stub.py");

    assert_bare(&script, NULL, NULL);
    script_close(&script);
}

Test(module, stub)
{
    for_each(try_stub);
}

Test(module, launcher)
{
    for_each(check_launcher);
}
