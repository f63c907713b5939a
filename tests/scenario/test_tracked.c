/* SPDX-License-Identifier: MIT
 *
 * What programs say of their memory themselves: regions, domains, labels. */
#include "pythons.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

TestSuite(tracked);

static struct traced run_target(const char *target, const char *mode, const char *options)
{
    char *program = target_path(target);
    const char *argv[] = {program, mode, NULL};
    struct traced traced = trace(BY_LAUNCHER, options, argv, NULL);

    cr_assert_eq(traced.run.status, 0, "%s: %d: %s", mode, traced.run.status, traced.run.err);
    free(program);
    return traced;
}

static struct traced run(const char *mode, const char *options)
{
    return run_target("track_use", mode, options);
}

static long long blocks_of_kind(const json_t *report, const char *domain, const char *kind, const char *function)
{
    long long blocks = 0;
    size_t i;
    const json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        size_t k;
        const json_t *frame;
        bool found = false;
        json_array_foreach(json_object_get(leak, "stack"), k, frame)
        {
            const char *name = json_string_value(json_object_get(frame, "function"));
            found |= name && strcmp(name, function) == 0;
        }
        if (found && strcmp(json_string_value(json_object_get(leak, "domain")), domain) == 0 &&
            strcmp(json_string_value(json_object_get(leak, "kind")), kind) == 0)
            blocks += json_integer_value(json_object_get(leak, "blocks"));
    }
    return blocks;
}

struct place {
    char where[8], options[32];
};

ParameterizedTestParameters(tracked, regions)
{
    static struct place places[] = {{"malloc", ""},        {"static", ""},         {"mmap", ""},
                                    {"malloc", "guard=1"}, {"malloc", "native=0"}, {"mmap", "guard=1"}};
    return cr_make_param_array(struct place, places, sizeof(places) / sizeof(*places));
}

ParameterizedTest(struct place *place, tracked, regions)
{
    struct traced traced = run(place->where, *place->options ? place->options : NULL);
    bool stacks = !strstr(place->options, "native");
    char *leaks = report_describe(traced.report);

    ASSERT_LEAKS(traced.report, 16, 1600, .domain = "arena", .function = stacks ? "item_new" : NULL);
    if (stacks) {
        cr_expect_eq(blocks_of_kind(traced.report, "arena", "definite", "lost_items"), 6, "%s", leaks);
        cr_expect_eq(blocks_of_kind(traced.report, "arena", "reachable", "work"), 8, "%s", leaks);
        cr_expect_eq(blocks_of_kind(traced.report, "arena", "possible", "work"), 2, "%s", leaks);
        cr_expect_eq(blocks_of_kind(traced.report, "malloc", "reachable", "outside_new"), 1, "%s", leaks);
        cr_expect_eq(blocks_of_kind(traced.report, "malloc", "reachable", "chunk_new"),
                     strcmp(place->where, "malloc") == 0, "%s", leaks);
    }
    free(leaks);
    traced_clear(&traced);
}

/* One record, in the domain as long as it is tracked. */
Test(tracked, blocks_of_the_allocator)
{
    const char *options[] = {NULL, "guard=1", "guard_pages=1"};

    for (int i = 0; i < 3; i++) {
        struct traced traced = run("named", options[i]);
        ASSERT_LEAKS(traced.report, 1, 500, .domain = "arena", .function = "named_new");
        ASSERT_LEAKS(traced.report, 1, 500, .domain = "malloc", .function = "named_new");
        traced_clear(&traced);
    }
}

Test(tracked, errors)
{
    struct traced traced = run("errors", NULL);
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "domain-7");
    traced_clear(&traced);
    traced = run("devices", NULL);
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "domain-12");
    traced_clear(&traced);
}

Test(tracked, pools)
{
    const char *options[] = {NULL, "guard=1"};

    for (int i = 0; i < 2; i++) {
        struct traced traced = run("pools", options[i]);
        ASSERT_LEAKS(traced.report, 40, 40, .domain = "arena", .function = "pool_alloc");
        ASSERT_LEAKS(traced.report, 0, 0, .domain = "domain-5");
        traced_clear(&traced);
    }
    struct traced traced = run("share", NULL);
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "arena");
    traced_clear(&traced);
}

Test(tracked, bare)
{
    char *program = target_path("track_use");
    struct outcome outcome = spawn_run(LIST(program, "malloc"), NULL);

    cr_expect_eq(outcome.status, 0);
    outcome_clear(&outcome);
    free(program);
}

/* ---- labels ---- */

/* Blocks of 100 bytes with the label, NULL = without any. */
static void assert_labelled(const json_t *report, const char *label, long long blocks)
{
    long long found = 0;
    size_t i;
    const json_t *leak;
    char *leaks = report_describe(report);

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        const char *its = json_string_value(json_object_get(leak, "label"));
        long long count = json_integer_value(json_object_get(leak, "blocks"));
        if (json_integer_value(json_object_get(leak, "bytes")) == 100 * count &&
            (label ? its && strcmp(its, label) == 0 : !its))
            found += count;
    }
    cr_expect_eq(found, blocks, "%s: %lld blocks, not %lld\n%s", label, found, blocks, leaks);
    free(leaks);
}

Test(labels, nest)
{
    const char *options[] = {NULL, "guard=1", "native=0", "self_check=7"};

    for (int i = 0; i < 4; i++) {
        struct traced traced = run_target("labels", "nest", options[i]);
        assert_labelled(traced.report, "outer", 2);
        assert_labelled(traced.report, "inner \"\\\n;", 2);
        assert_labelled(traced.report, NULL, 2);
        traced_clear(&traced);
    }
}

Test(labels, threads_have_their_own)
{
    struct traced traced = run_target("labels", "threads", NULL);
    assert_labelled(traced.report, "main", 1);
    assert_labelled(traced.report, "thread", 2);
    assert_labelled(traced.report, NULL, 2);
    traced_clear(&traced);
}

Test(labels, forked_child_goes_on)
{
    struct traced traced = run_target("labels", "forked", NULL);
    assert_labelled(traced.report, "fork", 2);
    traced_clear(&traced);
}

Test(labels, deep_and_wrong)
{
    struct traced traced = run_target("labels", "deep", NULL);
    assert_labelled(traced.report, "deep", 1);
    assert_labelled(traced.report, "deeper", 0);
    assert_labelled(traced.report, NULL, 1);
    traced_clear(&traced);
    traced = run_target("labels", "wrong", NULL);
    traced_clear(&traced);
}

/* Counted, and suppressed. */
Test(labels, ignored)
{
    struct traced traced = run_target("labels", "ignored", NULL);
    const json_t *leak = report_leak(traced.report, &(struct query){.function = "one_place"});

    cr_expect(json_is_true(json_object_get(leak, "ignored")));
    cr_expect(json_is_true(json_object_get(leak, "suppressed")));
    ASSERT_LEAKS(traced.report, 2, 200, .function = "one_place");
    cr_expect_eq(report_blocks(traced.report, "definite", NULL), 0);
    struct outcome gate = spawn_run(LIST(memshim_path(), "gate", traced.folder), NULL);
    cr_expect_eq(gate.status, 0, "%s", gate.out);
    outcome_clear(&gate);
    traced_clear(&traced);
}

Test(labels, quiet)
{
    struct traced traced = run_target("labels", "quiet", "guard=1");

    cr_expect(strstr(traced.run.err, "memshim: overflow: 1 byte at offset 30"), "%s", traced.run.err);
    cr_expect_not(strstr(traced.run.err, "memshim: overflow: 1 byte at offset 20"), "%s", traced.run.err);
    cr_expect_eq(json_array_size(json_object_get(traced.report, "errors")), 2);
    traced_clear(&traced);
}

/* Every format tells of it. */
Test(labels, formats)
{
    static const char *const formats[] = {"text",   "json",   "html", "markdown",  "sarif",      "junit",
                                          "github", "gitlab", "csv",  "collapsed", "speedscope", "dhat"};
    struct traced traced = run_target("labels", "nest", NULL);

    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        char *command = text_format("%s report --show=reachable --top 0 --format %s %s | grep -a -q outer",
                                    memshim_path(), formats[i], traced.folder);
        struct outcome outcome = spawn_run(LIST("sh", "-c", command), NULL);
        cr_expect_eq(outcome.status, 0, "%s", formats[i]);
        outcome_clear(&outcome);
        free(command);
    }
    struct outcome sums = spawn_run(LIST(memshim_path(), "report", "--group-by", "label", traced.folder), NULL);
    cr_expect(strstr(sums.out, "outer") && strstr(sums.out, "(no label)"), "%s", sums.out);
    outcome_clear(&sums);
    sums = spawn_run(LIST(memshim_path(), "report", "--filter", "label=inner", traced.folder), NULL);
    cr_expect(strstr(sums.out, "200 bytes in 2 blocks") && !strstr(sums.out, "outer"), "%s", sums.out);
    outcome_clear(&sums);
    traced_clear(&traced);
}

Test(labels, bare)
{
    char *program = target_path("labels");
    struct outcome outcome = spawn_run(LIST(program, "nest"), NULL);

    cr_expect_eq(outcome.status, 0);
    outcome_clear(&outcome);
    free(program);
}

/* ---- what extensions tell CPython ---- */

static void trace_extension(const struct python *python, const char *mode)
{
    char *script = text_format("%s/tests/targets/track_extension.py", test_variable("TEST_SOURCE"));
    char *extension = target_path("track_extension.so");
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(python->path, script, extension, mode), NULL);

    cr_assert_eq(traced.run.status, 0, "%s %s: %s", python->version, mode, traced.run.err);
    ASSERT_LEAKS(traced.report, 1, 5 << 20, .domain = "numpy", .function = "resize_array", .caller = "work");
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "numpy", .function = "keep_array");
    ASSERT_LEAKS(traced.report, 1, 8192, .domain = "domain-77", .function = "map_device");
    if (!mode) /* tracemalloc keeps something for each of them */
        ASSERT_LEAKS(traced.report, 0, 0, .domain = "malloc", .function = "resize_array");
    traced_clear(&traced);
    free(script);
    free(extension);
}

/* On static and shared interpreters alike, and tracemalloc sees what it would see. */
Test(tracked, extensions)
{
    struct python pythons[PYTHONS_MAX];
    size_t count = pythons_find(pythons);

    cr_assert_gt(count, 0);
    for (size_t i = 0; i < count; i++) {
        trace_extension(&pythons[i], NULL);
        if (i < 2)
            trace_extension(&pythons[i], "traced");
    }
}

/* Where there is a numpy: the data of arrays, once. */
Test(tracked, numpy)
{
    static const char code[] = "import os, numpy\n"
                               "def keep(): return numpy.arange(10000.0)\n"
                               "kept = [keep() for i in range(7)]\n"
                               "kept.append(numpy.zeros((100, 100)))\n"
                               "os._exit(0)\n";
    struct python pythons[PYTHONS_MAX];
    size_t count = pythons_find(pythons);

    for (size_t i = 0; i < count; i++) {
        struct outcome has = spawn_run(LIST(pythons[i].path, "-c", "import numpy"), NULL);
        if (has.status == 0) {
            struct traced traced = trace(BY_LAUNCHER, NULL, LIST(pythons[i].path, "-c", code), NULL);
            ASSERT_LEAKS(traced.report, 7, 560000, .domain = "numpy", .function = "keep", .language = "python");
            ASSERT_LEAKS(traced.report, 0, 0, .domain = "malloc", .function = "keep", .language = "python");
            traced_clear(&traced);
        }
        outcome_clear(&has);
    }
}

/* ---- arenas ---- */

static long long number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_integer(value), "no number \"%s\"", key);
    return json_integer_value(value);
}

static void assert_pinned(const struct python *python, const json_t *report)
{
    const json_t *arenas = json_object_get(report_process(report, 0), "arenas");
    const json_t *pin = json_array_get(json_object_get(report, "pins"), 0);
    double fragmentation = json_number_value(json_object_get(arenas, "fragmentation"));
    char *stack = json_dumps(json_object_get(pin, "stack"), 0);

    cr_expect_gt(number_of(arenas, "mapped"), 10, "%s", python->version);
    cr_expect_gt(number_of(arenas, "sparse"), 5, "%s", python->version);
    cr_expect_geq(number_of(arenas, "peak_bytes"), number_of(arenas, "bytes"));
    cr_expect_gt(number_of(arenas, "used_bytes"), number_of(arenas, "live_bytes"));
    cr_expect(fragmentation > 0.5 && fragmentation < 1, "%s: %f", python->version, fragmentation);
    cr_expect_gt(number_of(pin, "arenas"), 5);
    cr_expect_geq(number_of(pin, "blocks"), number_of(pin, "arenas"));
    cr_expect(stack && strstr(stack, "\"fill\"") && strstr(stack, "\"work\""), "%s: %s", python->version, stack);
    free(stack);
}

static void trace_arenas(const struct python *python, const char *end, int status)
{
    char *script = text_format("%s/tests/targets/pin_arenas.py", test_variable("TEST_SOURCE"));
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(python->path, script, end), NULL);

    cr_assert_eq(traced.run.status, status, "%s %s: %s", python->version, end, traced.run.err);
    assert_pinned(python, traced.report);
    struct outcome list = spawn_run(LIST(memshim_path(), "report", "--list", "arenas", traced.folder), NULL);
    cr_expect(strstr(list.out, "pin_arenas.py:11"), "%s: %s", python->version, list.out);
    outcome_clear(&list);
    list = spawn_run(LIST(memshim_path(), "info", traced.folder), NULL);
    cr_expect(strstr(list.out, " nearly empty; at most "), "%s: %s", python->version, list.out);
    if (report_process_count(traced.report) > 1) { /* of a forked child it is not known what its parent has there */
        const json_t *arenas = json_object_get(report_process(traced.report, 1), "arenas");
        cr_expect_gt(number_of(arenas, "mapped"), 10);
        cr_expect(json_is_null(json_object_get(arenas, "used_bytes")));
        cr_expect(strstr(list.out, "how much blocks use: those of the parent are not known"), "%s", list.out);
    }
    outcome_clear(&list);
    traced_clear(&traced);
    free(script);
}

Test(arenas, pinned)
{
    struct python pythons[PYTHONS_MAX];
    size_t count = pythons_find(pythons);

    for (size_t i = 0; i < count; i++)
        trace_arenas(&pythons[i], "exit", 0);
    trace_arenas(&pythons[0], "kill", 128 + 9);
    trace_arenas(&pythons[0], "fork", 0);
}

Test(arenas, sampled)
{
    struct python pythons[PYTHONS_MAX];
    char *script = text_format("%s/tests/targets/pin_arenas.py", test_variable("TEST_SOURCE"));

    cr_assert_gt(pythons_find(pythons), 0);
    struct traced traced = trace(BY_LAUNCHER, "sample=65536", LIST(pythons[0].path, script, "exit"), NULL);
    struct outcome info = spawn_run(LIST(memshim_path(), "info", traced.folder), NULL);
    cr_expect_gt(number_of(json_object_get(report_process(traced.report, 0), "arenas"), "mapped"), 10);
    cr_expect(strstr(info.out, "how much blocks use: only a sample of them is known"), "%s", info.out);
    outcome_clear(&info);
    traced_clear(&traced);
    free(script);
}
