/* SPDX-License-Identifier: MIT
 *
 * memshim report --why: what holds a block, from a variable on, and what lost blocks point to it. */
#include "pythons.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

TestSuite(why);

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* The answer for the first leak that matches. The caller gives it back. */
static json_t *explain(const struct traced *traced, const struct query *query)
{
    const char *fingerprint = text_of(report_leak(traced->report, query), "fingerprint");
    char *digits = text_format("%.12s", fingerprint);
    struct outcome run =
        spawn_run(LIST(memshim_path(), "report", "--format", "json", "--why", digits, traced->folder), NULL);
    json_error_t error;

    cr_assert_eq(run.status, 0, "%s", run.err);
    json_t *answer = json_loads(run.out, 0, &error);
    cr_assert(answer, "%s: %s", error.text, run.out);
    cr_assert_geq(json_array_size(answer), 1);
    outcome_clear(&run);
    free(digits);
    return answer;
}

/* The link of this role, n-th from 0; NULL: there is none. */
static const json_t *link_of(const json_t *answer, const char *role, size_t n)
{
    size_t i;
    json_t *link;

    json_array_foreach(json_object_get(json_array_get(answer, 0), "why"), i, link)
    {
        if (strcmp(text_of(link, "role"), role) == 0 && n-- == 0)
            return link;
    }
    return NULL;
}

static bool has_name(const json_t *answer, const char *name)
{
    const json_t *link;

    for (size_t n = 0; (link = link_of(answer, "holder", n)); n++)
        if (strcmp(text_of(link, "name"), name) == 0)
            return true;
    return false;
}

static struct traced trace_shape(const char *shape)
{
    char *program = target_path("leak_kinds");
    const char *argv[] = {program, shape, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);
    const json_t *process = json_array_get(json_object_get(traced.report, "processes"), 0);

    cr_assert_eq(json_array_size(json_object_get(process, "lacks")), 0, "the report lacks something");
    free(program);
    return traced;
}

Test(why, variable)
{
    struct traced traced = trace_shape("in_data");
    json_t *answer = explain(&traced, &(struct query){.function = "make"});
    const json_t *root = link_of(answer, "root", 0);

    cr_assert(link_of(answer, "block", 0));
    cr_expect_str_eq(text_of(root, "root"), "data");
    cr_expect_str_eq(text_of(root, "variable"), "kept");
    cr_expect_eq(json_integer_value(json_object_get(root, "offset")) % 8, 0);
    cr_expect_null(link_of(answer, "holder", 0));
    json_decref(answer);
    traced_clear(&traced);
}

/* Of a lost chain the one that is definitely lost has nobody who points to it, and the others hang on it. */
Test(why, lost_chain)
{
    struct traced traced = trace_shape("lost_chain");
    json_t *answer = explain(&traced, &(struct query){.function = "make"});
    const json_t *block = link_of(answer, "block", 0);
    const json_t *referrer = link_of(answer, "referrer", 0);

    cr_assert(block);
    cr_expect_null(link_of(answer, "root", 0));
    if (strcmp(text_of(block, "kind"), "definite") == 0) {
        cr_expect_null(referrer);
    } else {
        cr_expect_str_eq(text_of(link_of(answer, "holder", 0), "domain"), "malloc");
        cr_expect(referrer);
    }
    json_decref(answer);
    traced_clear(&traced);
}

Test(why, lost_cycle)
{
    struct traced traced = trace_shape("lost_cycle");
    json_t *answer = explain(&traced, &(struct query){.function = "make"});
    const json_t *referrer = link_of(answer, "referrer", 0);

    cr_expect_null(link_of(answer, "root", 0));
    cr_assert(referrer);
    cr_expect_str_eq(text_of(referrer, "kind"), "indirect");
    json_decref(answer);
    traced_clear(&traced);
}

Test(why, refusals)
{
    struct traced traced = trace_shape("in_data");
    struct outcome none = spawn_run(LIST(memshim_path(), "report", "--why", "123456789abc", traced.folder), NULL);
    struct outcome short_one = spawn_run(LIST(memshim_path(), "report", "--why", "12", traced.folder), NULL);
    struct outcome format =
        spawn_run(LIST(memshim_path(), "report", "--why", "123456", "--format", "sarif", traced.folder), NULL);

    cr_expect_eq(none.status, 2);
    cr_expect(strstr(none.err, "no leak has the fingerprint"), "%s", none.err);
    cr_expect_eq(short_one.status, 2);
    cr_expect_eq(format.status, 2);
    outcome_clear(&none);
    outcome_clear(&short_one);
    outcome_clear(&format);
    traced_clear(&traced);
}

/* ---- Python ---- */

ParameterizedTestParameters(why, globals)
{
    static struct python pythons[PYTHONS_MAX];
    return cr_make_param_array(struct python, pythons, pythons_find(pythons));
}

ParameterizedTest(struct python *python, why, globals)
{
    char *script = text_format("%s/tests/targets/keep_in_cache.py", test_variable("TEST_SOURCE"));
    const char *argv[] = {python->path, script, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);
    json_t *answer = explain(&traced, &(struct query){.domain = "obj", .type = "bytearray"});
    const json_t *root = link_of(answer, "root", 0);

    cr_expect_str_eq(text_of(link_of(answer, "block", 0), "type"), "bytearray", "%s", python->path);
    cr_expect_str_eq(text_of(root, "root"), "data", "%s", python->path);
    /* 3.10 keeps its free lists, which may lead there, too, in a block. */
    cr_expect((has_name(answer, "cache") && has_name(answer, "entries")) || python->minor == 10, "%s", python->path);
    json_decref(answer);
    traced_clear(&traced);
    free(script);
}

ParameterizedTestParameters(why, attributes)
{
    static struct python pythons[PYTHONS_MAX];
    return cr_make_param_array(struct python, pythons, pythons_find(pythons));
}

/* Names of attributes stand apart from the values, in another place for each range of versions. */
ParameterizedTest(struct python *python, why, attributes)
{
    char *script = text_format("%s/tests/targets/keep_in_attributes.py", test_variable("TEST_SOURCE"));
    const char *argv[] = {python->path, script, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);
    json_t *answer = explain(&traced, &(struct query){.domain = "obj", .type = "bytearray"});

    cr_expect(has_name(answer, ".content"), "%s", python->path);
    json_decref(answer);
    traced_clear(&traced);
    free(script);
}
