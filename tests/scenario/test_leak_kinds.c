/* SPDX-License-Identifier: MIT
 *
 * The kinds that the leak scan gives: exact counts for every shape of loss, and nothing definite or possible for clean
 * programs on every interpreter there is. */
#include "pythons.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(leak_kinds);

struct shape {
    char name[32];
    int definite, indirect, possible, reachable;
};

ParameterizedTestParameters(leak_kinds, shapes)
{
    static struct shape shapes[] = {
        {"lost_block", 10, 0, 0, 0},      {"lost_chain", 1, 9, 0, 0},       {"lost_cycle", 1, 9, 0, 0},
        {"middle_only", 0, 0, 10, 0},     {"in_freed_block", 10, 0, 0, 0},  {"in_data", 0, 0, 0, 10},
        {"in_thread_local", 0, 0, 0, 10}, {"in_specific", 0, 0, 0, 10},     {"on_stack", 0, 0, 0, 10},
        {"on_other_stack", 0, 0, 0, 10},  {"on_ended_stack", 10, 0, 0, 0},  {"on_dead_stack", 10, 0, 0, 0},
        {"in_register", 0, 0, 0, 10},     {"lost_tree", 1, 9, 0, 0},        {"beside_stack", 0, 0, 0, 10},
        {"above_stack", 10, 0, 0, 0},     {"on_ended_stacks", 20, 0, 0, 0}, {"in_parents_blocks", 0, 0, 0, 10},
    };
    return cr_make_param_array(struct shape, shapes, sizeof(shapes) / sizeof(*shapes));
}

ParameterizedTest(struct shape *shape, leak_kinds, shapes)
{
    char *program = target_path("leak_kinds");
    const char *argv[] = {program, shape->name, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);

    cr_assert_eq(report_blocks(traced.report, "definite", "make"), shape->definite, "%s", shape->name);
    cr_assert_eq(report_blocks(traced.report, "indirect", "make"), shape->indirect, "%s", shape->name);
    cr_assert_eq(report_blocks(traced.report, "possible", "make"), shape->possible, "%s", shape->name);
    cr_assert_eq(report_blocks(traced.report, "reachable", "make"), shape->reachable, "%s", shape->name);
    traced_clear(&traced);
    free(program);
}

/* Objects of the program's of which the reference audit is fairly sure that a reference was lost. */
static long long count_accused(const json_t *report)
{
    long long objects = 0;
    size_t i;
    json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        const json_t *said = json_object_get(leak, "references");
        const char *confidence = json_string_value(json_object_get(said, "confidence"));
        if (confidence && strcmp(confidence, "low") != 0 && !json_is_true(json_object_get(leak, "startup")) &&
            !json_is_true(json_object_get(leak, "interpreter")) && !json_is_true(json_object_get(leak, "suppressed")))
            objects += json_integer_value(json_object_get(said, "objects")) +
                       json_integer_value(json_object_get(said, "cycles"));
    }
    return objects;
}

/* ---- clean programs ---- */

static const char *const clean[] = {"nothing.py",           "imports.py",     "work.py",      "end_at_once.py",
                                    "end_in_the_middle.py", "packages.py",    "databases.py", "processes.py",
                                    "library.py",           "interpreters.py"};

struct clean_case {
    char python[512];
    char script[64];
};

ParameterizedTestParameters(leak_kinds, clean_programs)
{
    enum { SCRIPTS = sizeof(clean) / sizeof(*clean) };
    static struct clean_case cases[PYTHONS_MAX * SCRIPTS];
    static struct python pythons[PYTHONS_MAX];
    size_t found = pythons_find(pythons), count = 0;

    for (size_t i = 0; i < found; i++)
        for (size_t k = 0; k < SCRIPTS; k++, count++) {
            snprintf(cases[count].python, sizeof(cases[count].python), "%.511s", pythons[i].path);
            snprintf(cases[count].script, sizeof(cases[count].script), "%s", clean[k]);
        }
    return cr_make_param_array(struct clean_case, cases, count);
}

ParameterizedTest(struct clean_case *test, leak_kinds, clean_programs)
{
    char script[4096];
    snprintf(script, sizeof(script), "%s/tests/clean/%s", getenv("TEST_SOURCE"), test->script);
    const char *argv[] = {test->python, script, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);
    char *leaks = report_describe(traced.report);

    cr_assert_eq(traced.run.status, 0, "%s %s", test->python, test->script);
    cr_assert_eq(report_blocks(traced.report, "definite", NULL) + report_blocks(traced.report, "possible", NULL), 0,
                 "%s %s\n%s", test->python, test->script, leaks);
    cr_assert_eq(count_accused(traced.report), 0, "%s %s", test->python, test->script);
    free(leaks);
    traced_clear(&traced);
}

/* ---- addresses in ints ---- */

ParameterizedTestParameters(leak_kinds, ints)
{
    static struct python pythons[PYTHONS_MAX];
    return cr_make_param_array(struct python, pythons, pythons_find(pythons));
}

/* As ctypes and cffi keep pointers. */
ParameterizedTest(struct python *python, leak_kinds, ints)
{
    char *script = text_format("%s/tests/targets/keep_in_ints.py", test_variable("TEST_SOURCE"));
    const char *argv[] = {python->path, script, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);

    /* With the ints, which from 3.14 on may be such that others have had before. */
    cr_expect_geq(report_blocks(traced.report, "reachable", "keep_address"), 10, "%s", python->path);
    cr_expect_eq(report_blocks(traced.report, "indirect", NULL), 0, "%s", python->path);
    cr_expect_eq(report_blocks(traced.report, "definite", "forget_address"), 10, "%s", python->path);
    cr_expect_eq(report_blocks(traced.report, "definite", NULL), 10, "%s", python->path);
    traced_clear(&traced);
    free(script);
}

/* ---- objects without their last DECREF ---- */

ParameterizedTestParameters(leak_kinds, lost_objects)
{
    static struct python pythons[PYTHONS_MAX];
    return cr_make_param_array(struct python, pythons, pythons_find(pythons));
}

ParameterizedTest(struct python *python, leak_kinds, lost_objects)
{
    static const struct {
        const char *function;
        int definite;
    } losses[] = {{"lose_instances", 7}};
    char script[4096];
    snprintf(script, sizeof(script), "%s/tests/targets/lose_objects.py", getenv("TEST_SOURCE"));
    const char *argv[] = {python->path, script, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);

    for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++)
        cr_assert_eq(report_blocks(traced.report, "definite", losses[i].function), losses[i].definite, "%s: %s",
                     python->path, losses[i].function);
    /* The address of the newest one may still lie about, in the int that the call returned. */
    long long raw = report_blocks(traced.report, "definite", "lose_raw");
    cr_assert(raw == 4 || raw == 3, "%s: %lld raw blocks", python->path, raw);
    const char *type = "__main__.Thing";
    size_t i;
    json_t *leak;
    long long things = 0, floats = 0; /* floats come from a free list: with the stack of an earlier one */
    json_array_foreach(json_object_get(traced.report, "leaks"), i, leak)
    {
        const char *name = json_string_value(json_object_get(leak, "type"));
        if (name && strcmp(name, type) == 0)
            things += json_integer_value(json_object_get(leak, "blocks"));
        if (name && strcmp(name, "float") == 0 &&
            strcmp(json_string_value(json_object_get(leak, "kind")), "definite") == 0)
            floats += json_integer_value(json_object_get(leak, "blocks"));
    }
    cr_assert_eq(floats, 17, "%s: %lld floats", python->path, floats);
    cr_assert_eq(things, 7, "%s", python->path);
    traced_clear(&traced);
}
