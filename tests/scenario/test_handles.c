/* SPDX-License-Identifier: MIT
 *
 * memshim/handles.h under memshim: what is wrong is in the report with label and stacks, and nothing else is. */
#include "trace.h"

#include <criterion/criterion.h>
#include <string.h>

static struct traced trace_case(const char *name)
{
    char *program = target_path("handles_use");
    struct outcome bare = spawn_run(LIST(program, name), NULL);
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(program, name), NULL);

    cr_assert_eq(traced.run.status, bare.status, "%s: %d, bare %d: %s%s", name, traced.run.status, bare.status,
                 traced.run.out, traced.run.err);
    cr_assert_str_eq(traced.run.out, bare.out);
    outcome_clear(&bare);
    free(program);
    return traced;
}

/* The number of errors of a kind whose detail has `text`, each of which must have a stack through handles_use. */
static int errors_of(const struct traced *traced, const char *kind, const char *text)
{
    json_t *error;
    size_t i;
    int count = 0;

    json_array_foreach(json_object_get(traced->report, "errors"), i, error)
    {
        if (strcmp(json_string_value(json_object_get(error, "kind")), kind) ||
            !strstr(json_string_value(json_object_get(error, "detail")), text))
            continue;
        char *stack = json_dumps(json_object_get(error, "stack"), 0);
        cr_expect_str_eq(json_string_value(json_object_get(error, "domain")), "handle");
        cr_expect(strstr(stack, "handles_use.c") != NULL, "%s", stack);
        free(stack);
        count++;
    }
    return count;
}

static size_t error_count(const struct traced *traced)
{
    return json_array_size(json_object_get(traced->report, "errors"));
}

static void assert_clean(const char *name)
{
    struct traced traced = trace_case(name);

    cr_assert_eq(traced.run.status, 0);
    cr_expect_eq(error_count(&traced), 0, "%s", traced.run.err);
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "handle");
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "handle-lock");
    traced_clear(&traced);
}

Test(handles, good)
{
    assert_clean("good");
}

Test(handles, threads)
{
    assert_clean("threads");
}

Test(handles, arguments_that_cannot_be)
{
    struct traced traced = trace_case("arguments");

    cr_assert_eq(traced.run.status, 0);
    cr_expect_eq(errors_of(&traced, "invalid-argument", "\"Nothing\" of 0 bytes"), 1);
    cr_expect_eq(errors_of(&traced, "invalid-argument", "\"Less\" of -1 bytes"), 1);
    cr_expect_eq(errors_of(&traced, "invalid-argument", "null handle"), 2);
    cr_expect_eq(errors_of(&traced, "invalid-handle", "memshim_handle_free is called for 0x1234"), 1);
    cr_expect_eq(errors_of(&traced, "invalid-handle", "0xffffffffffffffff"), 1);
    cr_expect_eq(error_count(&traced), 6);
    traced_clear(&traced);
}

Test(handles, freed_ones)
{
    struct traced traced = trace_case("freed");

    cr_assert_eq(traced.run.status, 0);
    cr_expect_eq(errors_of(&traced, "double-free", "freed: \"Gone\""), 1);
    cr_expect_eq(errors_of(&traced, "double-free", "memshim_handle_free"), 2);
    cr_expect_eq(errors_of(&traced, "invalid-handle", "memshim_handle_size"), 1);
    json_t *error = json_array_get(json_object_get(traced.report, "errors"), 0);
    cr_expect_gt(json_array_size(json_object_get(error, "alloc_stack")), 0);
    cr_expect_gt(json_array_size(json_object_get(error, "free_stack")), 0);
    traced_clear(&traced);
}

Test(handles, locks)
{
    struct traced traced = trace_case("locked");

    cr_assert_eq(traced.run.status, 0);
    cr_expect_eq(errors_of(&traced, "unbalanced-unlock", "\"Busy\""), 2);
    cr_expect_eq(errors_of(&traced, "handle-locked", "\"Busy\" is resized"), 1);
    cr_expect_eq(errors_of(&traced, "handle-locked", "\"Busy\" is freed"), 1);
    cr_expect_eq(errors_of(&traced, "invalid-argument", "-1 bytes"), 1);
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "handle-lock");
    traced_clear(&traced);
}

Test(handles, stray_pointers)
{
    struct traced traced = trace_case("stray");

    cr_assert_eq(traced.run.status, 0);
    cr_expect_eq(errors_of(&traced, "overflow", "\"Stray\" of 40 bytes was written to at offset 40"), 1);
    cr_expect_eq(errors_of(&traced, "underflow", "offset -1"), 1);
    cr_expect_eq(errors_of(&traced, "use-after-free", "while it was not locked"), 1);
    cr_expect_eq(errors_of(&traced, "use-after-free", "before its resize, at offset 5"), 1);
    cr_expect_eq(error_count(&traced), 4);
    traced_clear(&traced);
}

Test(handles, lost_and_locked_by_label)
{
    struct traced traced = trace_case("lost");

    cr_assert_eq(traced.run.status, 0);
    ASSERT_LEAKS(traced.report, 1, 1000, .domain = "handle", .type = "Texture", .function = "make", .caller = "lost");
    ASSERT_LEAKS(traced.report, 1, 64, .domain = "handle", .type = "Frame");
    ASSERT_LEAKS(traced.report, 1, 0, .domain = "handle-lock", .type = "Frame", .function = "lock");
    json_t *leak = report_leak(traced.report, &(struct query){.domain = "handle"});
    cr_expect_str_eq(json_string_value(json_object_get(leak, "kind")), "definite");
    cr_expect(strstr(traced.run.err, "(handle, Texture)") != NULL, "%s", traced.run.err);
    traced_clear(&traced);
}

Test(handles, reporting_off)
{
    struct traced traced = trace_case("unreported");

    cr_assert_eq(traced.run.status, 0);
    cr_expect_eq(error_count(&traced), 0);
    ASSERT_LEAKS(traced.report, 1, 30, .domain = "handle");
    traced_clear(&traced);
}

Test(handles, fork)
{
    struct traced traced = trace_case("forked");

    cr_assert_eq(traced.run.status, 0, "%s%s", traced.run.out, traced.run.err);
    cr_expect_eq(error_count(&traced), 0);
    ASSERT_LEAKS(traced.report, 1, 5, .domain = "handle", .type = "Child's");
    ASSERT_LEAKS(traced.report, 1, 5, .domain = "handle");
    traced_clear(&traced);
}

/* The ledger knows them, whatever ends the process. */
Test(handles, killed)
{
    struct traced traced = trace_case("killed");

    ASSERT_LEAKS(traced.report, 1, 99, .domain = "handle", .type = "Held");
    ASSERT_LEAKS(traced.report, 1, 0, .domain = "handle-lock", .type = "Held");
    traced_clear(&traced);
}
