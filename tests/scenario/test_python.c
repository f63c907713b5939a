/* SPDX-License-Identifier: MIT
 *
 * Python under the shim: every interpreter of this machine, every way to start one, every way to end. */
#include "python_tests.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(python);

static void assert_same(const struct python *python, const struct outcome *bare, const struct outcome *traced)
{
    char *what = text_format("stdout under Python %s (status %d, bare %d; stderr: %.600s)", python->version,
                             traced->status, bare->status, traced->err);

    assert_same_text(bare->out, traced->out, what);
    cr_assert_eq(bare->status, traced->status, "Python %s: status %d, bare %d\n%s", python->version, traced->status,
                 bare->status, traced->err);
    free(what);
}

/* Runs a script bare and traced, asserts that nothing differs, and returns the traced run. */
static struct traced same_as_bare(const struct python *python, const char *const *argv, const char *const *environment)
{
    struct outcome bare = spawn_run(argv, environment);
    struct traced traced = trace(BY_PRELOAD, NULL, argv, environment);

    assert_same(python, &bare, &traced.run);
    outcome_clear(&bare);
    return traced;
}

static void assert_same_without_report(const struct python *python, const char *const *argv,
                                       const char *const *environment)
{
    struct outcome bare = spawn_run(argv, environment), traced = trace_without_report(NULL, argv, environment);

    assert_same(python, &bare, &traced);
    assert_same_text(bare.err, traced.err, "stderr");
    outcome_clear(&bare);
    outcome_clear(&traced);
}

struct planted {
    const char *c_function, *domain;
    long long size;
    const char *python_function, *caller;
};

/* The four leaks of the example. */
static const struct planted planted[] = {
    {"copy_header", "malloc", 64, "read_request", "handle_request"},
    {"grow_buffer", "mem", 128, "prepare_answer", "handle_request"},
    {"open_journal", "raw", 96, "write_log", "handle_request"},
    {"make_token", "obj", 256, "sign_in", "handle_request"},
};

static void assert_planted(const json_t *report, long long blocks)
{
    for (size_t i = 0; i < sizeof(planted) / sizeof(*planted); i++) {
        const struct planted *leak = &planted[i];
        ASSERT_LEAKS(report, blocks, blocks * leak->size, .function = leak->c_function, .file = "leaky.c",
                     .domain = leak->domain);
        ASSERT_LEAKS(report, blocks, blocks * leak->size, .function = leak->python_function, .file = "app.py",
                     .language = "python", .caller = leak->caller, .domain = leak->domain);
    }
}

ParameterizedTestParameters(python, example)
{
    return all_pythons();
}

ParameterizedTest(struct python *python, python, example)
{
    char *extension = extension_variable(python), *script = script_path("quickstart/app.py");
    struct traced traced = same_as_bare(python, LIST(python->path, script), LIST(extension));

    assert_planted(traced.report, 100);
    json_t *process = report_process(traced.report, 0);
    cr_assert_str_eq(process_text(process, "python"), python->version, "the report says Python %s, it is %s",
                     process_text(process, "python"), python->version);
    cr_assert_eq(process_total(process, "dropped"), 0);
    free(extension);
    free(script);
    traced_clear(&traced);
}

/* Innermost first: the C function, then the Python function at the line of its call, then its callers. */
ParameterizedTestParameters(python, exercise)
{
    return all_pythons();
}

ParameterizedTest(struct python *python, python, exercise)
{
    static const char *const allocators[] = {"default", "pymalloc",     "malloc",
                                             "debug",   "malloc_debug", "pymalloc_debug"};
    char *script = script_path("exercise.py");

    for (size_t i = 0; i < sizeof(allocators) / sizeof(*allocators); i++) {
        char *variable = text_format("PYTHONMALLOC=%s", allocators[i]);
        assert_same_without_report(python, LIST(python->path, script), LIST(variable));
        free(variable);
    }
    assert_same_without_report(python, LIST(python->path, "-X", "dev", "-W", "ignore", script), NULL);
    assert_same_without_report(python, LIST(python->path, "-X", "tracemalloc=5", script), NULL);
    struct traced traced = same_as_bare(python, LIST(python->path, script), NULL);
    cr_assert_eq(process_total(report_process(traced.report, 0), "dropped"), 0);
    traced_clear(&traced);
    free(script);
}

ParameterizedTestParameters(python, allocator_variants)
{
    return all_pythons();
}

/* The example under each allocator: the same numbers, in the same domains. */
ParameterizedTest(struct python *python, python, allocator_variants)
{
    static const char *const variants[] = {"PYTHONMALLOC=malloc", "PYTHONMALLOC=debug", "PYTHONMALLOC=pymalloc",
                                           "PYTHONDEVMODE=1"};
    char *extension = extension_variable(python), *script = script_path("quickstart/app.py");

    for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++) {
        struct traced traced = same_as_bare(python, LIST(python->path, script), LIST(extension, variants[i]));
        assert_planted(traced.report, 100);
        traced_clear(&traced);
    }
    free(extension);
    free(script);
}

/* Blocks change between recorded and passed over whenever they change their size. */
ParameterizedTestParameters(python, sampled)
{
    return all_pythons();
}

ParameterizedTest(struct python *python, python, sampled)
{
    static const char *const means[] = {"sample=100", "sample=10000", "sample=1000000", "sample=10000:guard=1"};
    static const char script[] = "import json\n"
                                 "data = [{'a': i, 'b': [str(i)] * 5} for i in range(2000)]\n"
                                 "for _ in range(5): data = json.loads(json.dumps(data))\n"
                                 "text = ' '.join(str(i) for i in range(20000)).split()\n"
                                 "grown = bytearray()\n"
                                 "for i in range(20000): grown += bytes(i % 50)\n"
                                 "print(len(data), len(text), len(grown))\n";
    struct outcome bare = spawn_run(LIST(python->path, "-c", script), NULL);

    for (size_t i = 0; i < sizeof(means) / sizeof(*means); i++) {
        const char *options = means[i];
        struct traced traced = trace(BY_PRELOAD, options, LIST(python->path, "-c", script), NULL);
        assert_same(python, &bare, &traced.run);
        cr_assert_eq(json_array_size(json_object_get(traced.report, "errors")), 0, "Python %s, %s: errors",
                     python->version, options);
        traced_clear(&traced);
    }
    outcome_clear(&bare);
}

/* From a mean of 64 KiB on pymalloc's free has no hook, but only where recorded blocks are seen to come back by that of the RAW
 * domain. */
ParameterizedTestParameters(python, sampled_free)
{
    return all_pythons();
}

ParameterizedTest(struct python *python, python, sampled_free)
{
    static const struct {
        const char *options, *environment, *argument, *by;
        int since; /* 3.x */
    } cases[] = {
        {"sample=65536", NULL, NULL, "interpreter", 0},
        {"sample=65535", NULL, NULL, "shim", 0},
        {"sample=65536", "PYTHONTRACEMALLOC=1", "stop", "interpreter", 0},
        {"sample=65536", "PYTHONMALLOC=malloc", NULL, "shim", 0},
        {"sample=65536", "PYTHONMALLOC=debug", NULL, "shim", 0},
        {"sample=65536", "PYTHONMALLOC=mimalloc", NULL, "shim", 13},
    };
    char *script = script_path("sampled_free.py");

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (python->minor < cases[i].since)
            continue;
        char *expected = text_format("blocks kept: True\nchild: 7\nfreed by: %s %s\n", cases[i].by, cases[i].by);
        struct traced traced = trace(BY_PRELOAD, cases[i].options, LIST(python->path, script, cases[i].argument),
                                     LIST(cases[i].environment));
        char *what = text_format("Python %s, %s, %s: %s", python->version, cases[i].options, cases[i].environment,
                                 traced.run.err);
        assert_same_text(expected, traced.run.out, what);
        cr_assert_eq(json_array_size(json_object_get(traced.report, "errors")), 0, "%s: errors", what);
        traced_clear(&traced);
        free(what);
        free(expected);
    }
    free(script);
}

/* tracemalloc keeps notes of its own, in raw blocks, from below whatever asks for memory. */
ParameterizedTestParameters(python, under_tracemalloc)
{
    return all_pythons();
}

ParameterizedTest(struct python *python, python, under_tracemalloc)
{
    char *extension = extension_variable(python), *script = script_path("quickstart/app.py");
    struct traced traced = same_as_bare(python, LIST(python->path, script), LIST(extension, "PYTHONTRACEMALLOC=3"));

    ASSERT_LEAKS(traced.report, 100, 6400, .function = "copy_header", .domain = "malloc");
    ASSERT_LEAKS(traced.report, 100, 12800, .function = "grow_buffer", .domain = "mem");
    ASSERT_LEAKS(traced.report, 100, 25600, .function = "make_token", .domain = "obj");
    traced_clear(&traced);
    free(extension);
    free(script);
}

struct python_end {
    char how[16];
    char ended[16];
    int status, shell;
};

ParameterizedTestParameters(python, ends)
{
    return some_pythons();
}

ParameterizedTest(struct python *python, python, ends)
{
    static const struct python_end ends[] = {
        {"return", "exit", 0, 0},   {"_exit", "exit", 11, 11},   {"sys.exit", "exit", 12, 12}, {"raise", "exit", 1, 1},
        {"kill", "signal", 9, 137}, {"abort", "signal", 6, 134}, {"segv", "signal", 11, 139},
    };
    char *extension = extension_variable(python), *script = script_path("lose_and_end.py");

    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        const struct python_end *end = &ends[i];
        struct traced traced = trace(BY_LAUNCHER, NULL, LIST(python->path, script, end->how), LIST(extension));
        cr_assert_eq(traced.run.status, end->shell, "Python %s, %s: status %d, not %d\n%s", python->version, end->how,
                     traced.run.status, end->shell, traced.run.err);
        ASSERT_LEAKS(traced.report, 30, 30 * 256, .function = "make_token", .domain = "obj");
        json_t *process = report_process(traced.report, 0);
        cr_assert_str_eq(process_text(process, "ended"), end->ended, "Python %s, %s: marked \"%s\"", python->version,
                         end->how, process_text(process, "ended"));
        cr_assert_eq(process_number(process, "status"), end->status, "Python %s, %s: report has status %lld",
                     python->version, end->how, process_number(process, "status"));
        traced_clear(&traced);
    }
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(python->path, script, "exec"), LIST(extension));
    assert_same_text("lost 30 tokens\nsecond image\n", traced.run.out, "stdout");
    ASSERT_LEAKS(traced.report, 30, 30 * 256, .function = "make_token", .domain = "obj");
    cr_assert_eq(report_process_count(traced.report), 2, "%zu reports, not 2", report_process_count(traced.report));
    traced_clear(&traced);
    free(extension);
    free(script);
}

ParameterizedTestParameters(python, multiprocessing)
{
    return some_pythons();
}

ParameterizedTest(struct python *python, python, multiprocessing)
{
    static const char *const methods[] = {"fork", "spawn", "forkserver"};
    char *extension = extension_variable(python), *script = script_path("lose_children.py");

    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        struct traced traced = trace(BY_LAUNCHER, NULL, LIST(python->path, script, methods[i]), LIST(extension));
        assert_same_text("exit codes: [0, 0, 0]\n", traced.run.out, methods[i]);
        ASSERT_LEAKS(traced.report, 61, 61 * 256, .function = "make_token", .domain = "obj");
        int with_leaks = 0;
        for (size_t j = 0; j < report_process_count(traced.report); j++) {
            int pid = (int)process_number(report_process(traced.report, j), "pid");
            struct sum sum = report_sum(traced.report, &(struct query){.pid = pid, .function = "make_token"});
            with_leaks += sum.blocks == 1 || sum.blocks == 10 || sum.blocks == 20 || sum.blocks == 30;
        }
        cr_assert_eq(with_leaks, 4, "Python %s, %s: %d processes with 1, 10, 20, 30 tokens:\n%s", python->version,
                     methods[i], with_leaks, report_describe(traced.report));
        traced_clear(&traced);
    }
    free(extension);
    free(script);
}

ParameterizedTestParameters(python, subprocesses_and_threads)
{
    return some_pythons();
}

ParameterizedTest(struct python *python, python, subprocesses_and_threads)
{
    char *extension = extension_variable(python), *script = script_path("lose_in_subprocess.py");
    struct traced traced = same_as_bare(python, LIST(python->path, script), LIST(extension));
    ASSERT_LEAKS(traced.report, 5, 5 * 256, .function = "make_token", .domain = "obj");
    traced_clear(&traced);
    free(script);

    script = script_path("lose_in_threads.py");
    traced = same_as_bare(python, LIST(python->path, script), LIST(extension));
    ASSERT_LEAKS(traced.report, 200, 200 * 256, .function = "make_token", .domain = "obj");
    ASSERT_LEAKS(traced.report, 200, 200 * 64, .function = "copy_header", .domain = "malloc");
    ASSERT_LEAKS(traced.report, 80, 80 * 256, .function = "make_token", .domain = "obj", .caller = "descend");
    ASSERT_LEAKS(traced.report, 40, 40 * 256, .function = "make_token", .domain = "obj", .caller = "generate");
    ASSERT_LEAKS(traced.report, 40, 40 * 256, .function = "make_token", .domain = "obj", .caller = "wait");
    /* Qualified names came with 3.11. */
    ASSERT_LEAKS(traced.report, 40, 40 * 64, .function = "copy_header", .domain = "malloc",
                 .caller = python->minor >= 11 ? "Last.__del__" : "__del__");
    traced_clear(&traced);
    free(script);
    free(extension);
}

ParameterizedTestParameters(python, module_and_venv)
{
    return some_pythons();
}

ParameterizedTest(struct python *python, python, module_and_venv)
{
    char *folder = python_extension(python);
    if (!folder)
        cr_skip_test("Python %s has no headers", python->version);
    char *path = text_format("PYTHONPATH=%s:%s/tests/targets/quickstart", folder, test_variable("TEST_SOURCE"));
    struct traced traced = same_as_bare(python, LIST(python->path, "-m", "app"), LIST(path));
    assert_planted(traced.report, 100);
    traced_clear(&traced);

    char *venv = folder_new(), *inside = text_format("%s/bin/python", venv);
    struct outcome made = spawn_run(LIST(python->path, "-m", "venv", "--without-pip", venv), NULL);
    if (made.status == 0) {
        traced = same_as_bare(python, LIST(inside, "-m", "app"), LIST(path));
        assert_planted(traced.report, 100);
        traced_clear(&traced);
    }
    outcome_clear(&made);
    folder_remove(venv);
    free(inside);
    free(path);
    free(folder);
}

/* PYTHONHOME for a program that embeds it. The caller frees it. */
static char *python_home(const struct python *python)
{
    char *home = text_format("PYTHONHOME=%s", python->path);

    for (int i = 0; i < 2 && strrchr(home, '/'); i++)
        *strrchr(home, '/') = '\0';
    return home;
}

ParameterizedTestParameters(python, embedded)
{
    return all_pythons();
}

/* A program that loads libpython late, and initializes it three times. */
ParameterizedTest(struct python *python, python, embedded)
{
    if (!python->library[0])
        cr_skip_test("Python %s has no shared library", python->version);
    char *extension = extension_variable(python), *program = target_path("embed_python");
    char *home = python_home(python);
    const char *code = "import leaky, json\nfor i in range(50): leaky.token(); leaky.resize()";
    struct traced traced = same_as_bare(python, LIST(program, python->library, code, "3"), LIST(extension, home));

    ASSERT_LEAKS(traced.report, 150, 150 * 256, .function = "make_token", .domain = "obj");
    ASSERT_LEAKS(traced.report, 150, 150 * 128, .function = "grow_buffer", .domain = "mem");
    traced_clear(&traced);
    free(extension);
    free(program);
    free(home);
}

ParameterizedTestParameters(python, unknown_version)
{
    return all_pythons();
}

/* The same library under a version number that nobody knows: native stacks, blocks of all domains, and a line that says so. */
ParameterizedTest(struct python *python, python, unknown_version)
{
    if (!python->library[0])
        cr_skip_test("Python %s has no shared library", python->version);
    char *extension = extension_variable(python), *program = target_path("embed_python");
    char *fake = target_path("fake_version.so");
    char *preload = text_format("LD_PRELOAD=%s:%s", fake, python->library);
    char *home = python_home(python);
    const char *code = "import leaky\nfor i in range(50): leaky.token()";
    struct traced traced =
        trace(BY_LAUNCHER, NULL, LIST(program, python->library, code, "1"), LIST(extension, preload, home));
    json_t *process = report_process(traced.report, 0), *lacks = json_object_get(process, "lacks");

    assert_same_text("failed: 0\n", traced.run.out, "stdout");
    cr_assert_str_eq(process_text(process, "python"), "3.99.0");
    cr_assert_eq(json_array_size(lacks), 1, "Python %s: %zu lines", python->version, json_array_size(lacks));
    cr_assert(strstr(json_string_value(json_array_get(lacks, 0)), "there are no Python stacks"));
    ASSERT_LEAKS(traced.report, 50, 50 * 256, .function = "make_token", .domain = "obj");
    ASSERT_LEAKS(traced.report, 0, 0, .language = "python", .with_startup = true);
    traced_clear(&traced);
    free(extension);
    free(program);
    free(fake);
    free(preload);
    free(home);
}

/* What the interpreter keeps for life by its own doing is not shown as the program's leaks. */
Test(python, nothing_lost_by_nothing)
{
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST("/usr/bin/python3", "-c", "pass"), NULL);
    struct sum objects = report_sum(traced.report, &(struct query){.domain = "obj"});
    cr_assert_eq(traced.run.status, 0);
    cr_assert_leq(objects.blocks, 20, "python3 -c pass leaves %lld objects:\n%s", objects.blocks,
                  report_describe(traced.report));
    traced_clear(&traced);
}

Test(python, numpy)
{
    const char *code = "import numpy as n\na = n.arange(90000, dtype=float).reshape(300, 300)\n"
                       "print(n.__version__, (a @ a).sum(), n.linalg.solve(a[:3, :3] + n.eye(3), [1, 2, 3]).round(6))";
    struct outcome found = spawn_run(LIST("/usr/bin/python3", "-c", "import numpy"), NULL);
    if (found.status)
        cr_skip_test("python3-numpy is not installed");
    struct outcome bare = spawn_run(LIST("/usr/bin/python3", "-c", code), NULL);
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST("/usr/bin/python3", "-c", code), NULL);
    assert_same_text(bare.out, traced.run.out, "numpy's results");
    cr_assert_eq(traced.run.status, 0, "status %d\n%s", traced.run.status, traced.run.err);
    outcome_clear(&found);
    outcome_clear(&bare);
    traced_clear(&traced);
}
