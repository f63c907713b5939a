/* SPDX-License-Identifier: MIT
 *
 * Memory errors under guard=1: each target's one error is found, with block, offset and stacks; without the error nothing is
 * reported. */
#include "pythons.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(guard);

/* Each error is looked for TEST_REPEAT times: scripts/test --long says 50. Then one interpreter must do. */
static size_t rounds(void)
{
    const char *repeat = getenv("TEST_REPEAT");
    return repeat ? (size_t)atol(repeat) : 1;
}

static size_t find_pythons(struct python *pythons)
{
    size_t count = pythons_find(pythons);
    return rounds() > 1 && count > 1 ? 1 : count;
}

#define LONG 3600 /* seconds for all rounds */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool has_frame(const json_t *error, const char *stack, const char *function)
{
    size_t index;
    json_t *frame;

    json_array_foreach(json_object_get(error, stack), index,
                       frame) if (strcmp(text_of(frame, "function"), function) == 0) return true;
    return false;
}

static struct traced run(const char *options, const char *const *argv)
{
    struct traced traced = trace(BY_LAUNCHER, options, argv, NULL);

    cr_assert_eq(traced.run.status, 0, "status %d\n%s", traced.run.status, traced.run.err);
    return traced;
}

static json_t *only_error(const struct traced *traced, const char *what)
{
    json_t *errors = json_object_get(traced->report, "errors");

    cr_assert_eq(json_array_size(errors), 1, "%s: %zu errors\n%s", what, json_array_size(errors), traced->run.err);
    return json_array_get(errors, 0);
}

struct expected {
    const char *name, *kind, *detail;
    int size;
    const char *found, *allocated, *freed; /* functions in the stacks */
};

static const struct expected errors[] = {
    {"overflow", "overflow", "1 byte at offset 13 ", 13, "drop_block", "make_block", NULL},
    {"overflow-aligned", "overflow", "3 bytes at offset 100 ", 100, "drop_block", "overflow_aligned", NULL},
    {"overflow-kept", "overflow", "1 byte at offset 14 ", 13, NULL, "make_block", NULL},
    {"overflow-checked", "overflow", "1 byte at offset 14 ", 13, "overflow_checked", "make_block", NULL},
    {"overflow-realloc", "overflow", "2 bytes at offset 13 ", 13, "overflow_realloc", "make_block", NULL},
    {"underflow", "underflow", "1 byte at offset -1 ", 13, "drop_block", "make_block", NULL},
    {"underflow-far", "underflow", "16 bytes at offset -16 ", 13, "drop_block", "make_block", NULL},
    {"prefix", "underflow", "16 bytes at offset -32 ", 13, "drop_block", "make_block", NULL},
    {"prefix-kept", "underflow", "16 bytes at offset -32 ", 13, NULL, "make_block", NULL},
    {"prefix-late", "underflow", "16 bytes at offset -32 ", 40, NULL, "make_block", "drop_block"},
    {"use-after-free", "use-after-free", "2 bytes at offset 7 ", 40, NULL, "make_block", "drop_block"},
    {"use-after-realloc", "use-after-free", "2 bytes at offset 7 ", 40, NULL, "make_block", "use_after_realloc"},
    {"double-free", "double-free", "freed before", 40, "drop_block", "make_block", "drop_block"},
    {"free-inside", "invalid-free", "offset 48 of a block of 100 bytes", 100, "drop_block", "make_block", NULL},
    {"free-stack", "invalid-free", "into the stack", 0, "drop_block", NULL, NULL},
    {"free-static", "invalid-free", "to static data", 0, "drop_block", NULL, NULL},
};

static void check_error(const json_t *error, const struct expected *expected)
{
    cr_assert_str_eq(text_of(error, "kind"), expected->kind, "%s: %s", expected->name, text_of(error, "kind"));
    cr_assert(strstr(text_of(error, "detail"), expected->detail), "%s: '%s'", expected->name, text_of(error, "detail"));
    cr_assert_eq(json_integer_value(json_object_get(error, "size")), expected->size, "%s", expected->name);
    cr_assert(!expected->found || has_frame(error, "stack", expected->found), "%s: stack", expected->name);
    cr_assert(!expected->allocated || has_frame(error, "alloc_stack", expected->allocated), "%s: alloc_stack",
              expected->name);
    cr_assert(!expected->freed || has_frame(error, "free_stack", expected->freed), "%s: free_stack", expected->name);
}

#define ERRORS (sizeof(errors) / sizeof(errors[0]))

Test(guard, every_error_of_the_c_library_is_found, .timeout = LONG)
{
    char *target = target_path("guard_errors");

    for (size_t n = 0; n < ERRORS * rounds(); n++) {
        size_t i = n % ERRORS;
        struct traced traced = run("guard=1", LIST(target, errors[i].name));
        check_error(only_error(&traced, errors[i].name), &errors[i]);
        traced_clear(&traced);
    }
    free(target);
}

/* What memshim itself has before a block is gone, and with it the way back to the block's record. */
Test(guard, blocks_without_their_prefix_are_known, .timeout = LONG)
{
    /* found when a new request takes the block */
    static const struct expected late = {
        "prefix-late-pushed-out", "underflow", "16 bytes at offset -32 ", 40, "make_block", "make_block", "drop_block"};
    char *target = target_path("guard_errors");

    for (size_t n = 0; n < rounds(); n++) {
        struct traced traced = run("guard=1:quarantine=20k", LIST(target, late.name));
        check_error(only_error(&traced, late.name), &late);
        traced_clear(&traced);
        traced = run("guard=1:quarantine=20k", LIST(target, late.name, "fixed"));
        cr_assert_eq(json_array_size(json_object_get(traced.report, "errors")), 0, "%s", traced.run.err);
        traced_clear(&traced);
        traced = run("guard=1", LIST(target, "prefix-twice"));
        json_t *list = json_object_get(traced.report, "errors");
        cr_assert_eq(json_array_size(list), 2, "%s", traced.run.err);
        cr_expect_str_eq(text_of(json_array_get(list, 0), "kind"), "underflow");
        cr_expect_str_eq(text_of(json_array_get(list, 1), "kind"), "double-free");
        traced_clear(&traced);
    }
    free(target);
}

Test(guard, corrected_programs_have_no_errors, .timeout = LONG)
{
    char *target = target_path("guard_errors");

    for (size_t n = 0; n < ERRORS * rounds(); n++) {
        size_t i = n % ERRORS;
        struct traced traced = run("guard=1", LIST(target, errors[i].name, "fixed"));
        cr_assert_eq(json_array_size(json_object_get(traced.report, "errors")), 0, "%s\n%s", errors[i].name,
                     traced.run.err);
        traced_clear(&traced);
    }
    free(target);
}

/* Blocks that threads are at work on look damaged for a moment. */
Test(guard, checks_while_other_threads_work_find_nothing, .timeout = LONG)
{
    static const char *const options[] = {"guard=1", "guard=1:guard_pages=2", "guard=1:quarantine=100k"};
    char *target = target_path("check_while_busy");

    for (size_t n = 0; n < 3 * rounds(); n++) {
        struct traced traced = run(options[n % 3], LIST(target));
        cr_assert_eq(json_array_size(json_object_get(traced.report, "errors")), 0, "%s", traced.run.err);
        traced_clear(&traced);
    }
    free(target);
}

Test(guard, abort_on_error_leaves_the_evidence)
{
    char *target = target_path("guard_errors");
    struct traced traced = trace(BY_LAUNCHER, "guard=1:abort_on_error=1", LIST(target, "overflow"), NULL);

    cr_assert_eq(traced.run.status, 134, "status %d", traced.run.status);
    check_error(only_error(&traced, "overflow"), &errors[0]);
    traced_clear(&traced);
    free(target);
}

/* ---- inaccessible pages ---- */

struct access {
    const char *name, *kind, *detail, *found;
};

static const struct access accesses[] = {
    {"overflow-read", "overflow-read", "read at offset 69 of a block of 64 bytes (malloc)", "look_at"},
    {"underflow-read", "underflow-read", "read at offset -3 of a block of 64 bytes (malloc)", "look_at"},
    {"use-after-free-read", "use-after-free-read", "read at offset 7 of a freed block of 40 bytes (malloc)", "look_at"},
    {"overflow-write", "overflow", "write at offset 64 of a block of 64 bytes (malloc)", "change"},
    {"use-after-free-write", "use-after-free", "write at offset 7 of a freed block of 40 bytes (malloc)", "change"},
};

static const json_t *error_with(const struct traced *traced, const char *detail)
{
    size_t index;
    json_t *error;

    json_array_foreach(json_object_get(traced->report, "errors"), index,
                       error) if (strcmp(text_of(error, "detail"), detail) == 0) return error;
    return NULL;
}

static void check_access(const char *target, const struct access *access, const char *options, const char *how,
                         int status)
{
    struct traced traced = trace(BY_LAUNCHER, options, LIST(target, access->name, how), NULL);
    const json_t *error = error_with(&traced, access->detail);

    cr_assert_eq(traced.run.status, status, "%s %s: status %d\n%s", access->name, how, traced.run.status,
                 traced.run.err);
    cr_assert(error, "%s %s: no '%s'\n%s", access->name, how, access->detail, traced.run.err);
    cr_assert_str_eq(text_of(error, "kind"), access->kind);
    cr_assert(has_frame(error, "stack", access->found), "%s: stack", access->name);
    cr_assert(has_frame(error, "alloc_stack", "make_block"), "%s: alloc_stack", access->name);
    cr_assert_eq(has_frame(error, "free_stack", "drop_block"), strstr(access->name, "free") != NULL, "%s: free_stack",
                 access->name);
    traced_clear(&traced);
}

/* And what the program does with the signal is what it does without memshim. */
Test(guard, bad_accesses_to_pages_are_found, .timeout = LONG)
{
    static const struct {
        const char *how;
        int status;
    } handlers[] = {{"default", 139}, {"exit", 3},      {"small", 3},         {"recover", 0},
                    {"reset", 139},   {"blocked", 139}, {"blocked-exit", 139}};
    static const char *const options[] = {"guard_pages=1", "guard_pages=1:guard=1"};
    char *target = target_path("guard_pages");

    for (size_t with = 0; with < 2 * rounds(); with++)
        for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++)
            for (size_t k = 0; k < sizeof(handlers) / sizeof(handlers[0]); k++)
                check_access(target, &accesses[i], options[with % 2], handlers[k].how, handlers[k].status);
    free(target);
}

Test(guard, other_faults_are_the_programs_own, .timeout = 120)
{
    static const char *const causes[] = {"sent", "null-pointer"};
    static const char *const handlers[] = {"default", "exit", "small", "recover", "reset", "blocked", "blocked-exit"};
    char *target = target_path("guard_pages");

    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < sizeof(handlers) / sizeof(handlers[0]); k++) {
            struct outcome bare = spawn_run(LIST(target, causes[i], handlers[k]), NULL);
            struct traced traced = trace(BY_LAUNCHER, "guard_pages=1", LIST(target, causes[i], handlers[k]), NULL);
            cr_assert_eq(traced.run.status, bare.status, "%s %s: %d, bare %d", causes[i], handlers[k],
                         traced.run.status, bare.status);
            cr_assert_eq(json_array_size(json_object_get(traced.report, "errors")), 0);
            traced_clear(&traced);
            outcome_clear(&bare);
        }
    }
    free(target);
}

Test(guard, blocks_on_pages_are_checked_at_their_free, .timeout = 120)
{
    static const struct access wrong[] = {
        {"slack", "overflow", "1 byte at offset 62 of a block of 60 bytes (malloc) changed: 78", "drop_block"},
        {"double-free", "double-free", "free of a block of 40 bytes (malloc) that was freed before", "drop_block"},
        {"free-inside", "invalid-free", "free of a pointer to offset 48 of a block of 100 bytes (malloc)",
         "drop_block"},
    };
    char *target = target_path("guard_pages");

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct traced traced = run("guard_pages=1", LIST(target, wrong[i].name));
        const json_t *error = only_error(&traced, wrong[i].name);
        cr_assert_str_eq(text_of(error, "kind"), wrong[i].kind);
        cr_assert_str_eq(text_of(error, "detail"), wrong[i].detail);
        cr_assert(has_frame(error, "stack", wrong[i].found));
        cr_assert(has_frame(error, "alloc_stack", "make_block"));
        traced_clear(&traced);
    }
    free(target);
}

/* faulthandler, which goes on to the default action, writes what it writes without memshim. */
static void python_access(const char *python, const char *what, const char *domain, const char *kind)
{
    char *script = text_format("%s/tests/targets/guard_python.py", test_variable("TEST_SOURCE"));
    struct traced traced =
        trace(BY_LAUNCHER, "guard_pages=50", LIST(python, "-X", "faulthandler", script, what, domain), NULL);
    json_t *error = json_array_get(json_object_get(traced.report, "errors"), 0);

    cr_assert_eq(traced.run.status, 139, "%s %s %s: status %d\n%s", python, what, domain, traced.run.status,
                 traced.run.err);
    cr_assert_str_eq(text_of(error, "kind"), kind, "%s %s %s\n%s", python, what, domain, traced.run.err);
    cr_assert(has_frame(error, "stack", what) && has_frame(error, "alloc_stack", "make"), "%s %s %s", python, what,
              domain);
    cr_assert(strstr(traced.run.err, "Fatal Python error: Segmentation fault"), "%s", traced.run.err);
    traced_clear(&traced);
    free(script);
}

Test(guard, bad_reads_of_python_programs_are_found, .timeout = LONG)
{
    static const char *const all[] = {"raw", "mem", "obj", "malloc"};
    struct python pythons[PYTHONS_MAX];
    size_t count = find_pythons(pythons);

    for (size_t i = 0; i < count * rounds(); i++) {
        for (size_t k = 0; k < 4; k++) {
            python_access(pythons[i % count].path, "read_over", all[k], "overflow-read");
            python_access(pythons[i % count].path, "read_late", all[k], "use-after-free-read");
        }
    }
}

Test(guard, pages_change_no_program, .timeout = 120)
{
    static const char *const options[] = {"guard_pages=1", "guard_pages=3:guard=1", "guard_pages=2:sample=1000"};
    static const char *const names[] = {"new_delete", "alignment", "zero_sizes", "usable_size", "errno_kept"};
    char *pages = target_path("guard_pages");

    for (size_t with = 0; with < 3; with++) {
        struct traced traced = run(options[with], LIST(pages, "clean"));
        cr_assert_eq(json_array_size(json_object_get(traced.report, "errors")), 0, "%s", traced.run.err);
        traced_clear(&traced);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            char *target = target_path(names[i]);
            struct outcome bare = spawn_run(LIST(target), NULL);
            traced = trace(BY_LAUNCHER, options[with], LIST(target), NULL);
            cr_assert_eq(traced.run.status, bare.status, "%s %s: %d\n%s", names[i], options[with], traced.run.status,
                         traced.run.err);
            traced_clear(&traced);
            outcome_clear(&bare);
            free(target);
        }
    }
    free(pages);
}

/* ---- C++, and sizes that the program names ---- */

Test(guard, mismatched_releases_are_found_with_and_without_guard_bytes, .timeout = LONG)
{
    static const char *const cases[] = {"new-free",        "malloc-delete", "array-delete", "new-delete-array",
                                        "memalign-delete", "delete-size",   "free-size",    "new-realloc"};
    static const char *const options[] = {"guard=0", "guard=1"};
    char *target = target_path("mismatched_free");

    for (size_t with = 0; access(target, X_OK) == 0 && with < 2 * rounds(); with++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct traced traced = run(options[with % 2], LIST(target, cases[i]));
            cr_assert_str_eq(text_of(only_error(&traced, cases[i]), "kind"), "mismatched-free");
            traced_clear(&traced);
        }
        struct traced traced = run(options[with % 2], LIST(target, "fitting"));
        cr_assert_eq(json_array_size(json_object_get(traced.report, "errors")), 0, "%s", traced.run.err);
        traced_clear(&traced);
    }
    free(target);
}

/* ---- CPython's domains ---- */

static void python_case(const char *python, const char *const *arguments, const char *options, const char *kind,
                        const char *detail)
{
    char *script = text_format("%s/tests/targets/guard_python.py", test_variable("TEST_SOURCE"));
    const char *second = arguments[1] ? arguments[1] : NULL, *third = second ? arguments[2] : NULL;
    struct traced traced = run(options, (const char *const[]){python, script, arguments[0], second, third, NULL});
    json_t *list = json_object_get(traced.report, "errors");

    cr_assert_eq(json_array_size(list), kind ? 1 : 0, "%s %s %s: %zu errors\n%s", python, arguments[0], second,
                 json_array_size(list), traced.run.err);
    if (kind) {
        cr_assert_str_eq(text_of(json_array_get(list, 0), "kind"), kind);
        cr_assert(strstr(text_of(json_array_get(list, 0), "detail"), detail), "%s",
                  text_of(json_array_get(list, 0), "detail"));
    }
    traced_clear(&traced);
    free(script);
}

static const char *const domains[] = {"raw", "mem", "obj", "malloc"};

/* Small, larger than what CPython's own heap serves, emptied, and of the size that it had. */
static void resized_blocks(const char *python)
{
    static const char *const sizes[] = {"0", "24", "700"};

    for (size_t i = 0; i < 3; i++) {
        char *detail = text_format("1 byte at offset %s of a block of %s bytes", sizes[i], sizes[i]);
        python_case(python, LIST("overflow_resized", i % 2 ? "obj" : "mem", sizes[i]), "guard=1", "overflow", detail);
        free(detail);
    }
    python_case(python, LIST("resized", "obj"), "guard=1", NULL, NULL);
}

static void python_errors(const char *python)
{
    for (size_t i = 0; i < 4; i++) {
        python_case(python, LIST("clean", domains[i]), "guard=1", NULL, NULL);
        python_case(python, LIST("overflow", domains[i]), "guard=1", "overflow", "1 byte at offset 24 ");
        python_case(python, LIST("late_write", domains[i]), "guard=1", "use-after-free", "1 byte at offset 3 ");
        python_case(python, LIST("late_write_served", domains[i]), "guard=1:quarantine=64k", "use-after-free",
                    "1 byte at offset 3 ");
        python_case(python, LIST("twice", domains[i]), "guard=1", "double-free", "freed before");
        python_case(python, LIST("late_prefix", domains[i]), "guard=1", "underflow", "16 bytes at offset -32 ");
        python_case(python, LIST("kept_prefix", domains[i]), "guard=1", "underflow", "16 bytes at offset -32 ");
    }
    python_case(python, LIST("late_write_served", "mem", "1000"), "guard=1:quarantine=64k", "use-after-free",
                "1 byte at offset 3 ");
    python_case(python, LIST("late_write_served", "malloc", "1000"), "guard=1:quarantine=64k", "use-after-free",
                "1 byte at offset 3 ");
    resized_blocks(python);
    python_case(python, LIST("unlocked", "mem"), "guard=1", "gil-not-held", "PyMem_Malloc is called");
    python_case(python, LIST("unlocked", "obj"), "guard=1", "gil-not-held", "PyObject_Malloc is called");
    python_case(python, LIST("unlocked", "raw"), "guard=1", NULL, NULL);
    python_case(python, LIST("in_subinterpreter"), "guard=1", NULL, NULL);
    python_case(python, LIST("in_subinterpreter"), "guard=1:quarantine=64k", NULL, NULL);
}

Test(guard, every_error_of_pythons_domains_is_found, .timeout = LONG)
{
    struct python pythons[PYTHONS_MAX];
    size_t count = find_pythons(pythons);

    for (size_t i = 0; i < count * rounds(); i++)
        python_errors(pythons[i % count].path);
}

/* What it did wrong, by kind, against what was found. */
static void random_errors(const char *python, const char *options, size_t seed, const char *largest)
{
    char *script = text_format("%s/tests/targets/guard_random.py", test_variable("TEST_SOURCE"));
    char *number = text_format("%zu", seed);
    struct traced traced = run(options, LIST(python, script, number, "100", largest));
    json_t *expected = json_loads(traced.run.out, 0, NULL), *found = json_object(), *error, *count;
    const char *kind;
    size_t index;

    json_array_foreach(json_object_get(traced.report, "errors"), index, error)
    {
        json_int_t before = json_integer_value(json_object_get(found, text_of(error, "kind")));
        json_object_set_new(found, text_of(error, "kind"),
                            json_integer(before + json_integer_value(json_object_get(error, "count"))));
    }
    json_object_foreach(expected, kind, count)
        cr_expect_eq(json_integer_value(count), json_integer_value(json_object_get(found, kind)),
                     "%s %s, seed %s: %lld of %lld errors found: %s", python, options, number,
                     json_integer_value(json_object_get(found, kind)), json_integer_value(count), kind);
    cr_assert_eq(json_object_size(expected), json_object_size(found), "%s %s, seed %s", python, options, number);
    json_decref(expected);
    json_decref(found);
    traced_clear(&traced);
    free(number);
    free(script);
}

Test(guard, random_errors_among_random_work_are_found, .timeout = LONG)
{
    struct python pythons[PYTHONS_MAX];
    size_t count = find_pythons(pythons);

    for (size_t i = 0; i < count * rounds(); i++) {
        random_errors(pythons[i % count].path, "guard=1", i, "300000");
        random_errors(pythons[i % count].path, "guard=1:quarantine=64k", i, "440");
    }
}

/* What the interpreter frees when it ends a process for such a call is its own affair. */
Test(guard, the_last_steps_of_a_fatal_error_are_no_error, .timeout = LONG)
{
    static const char code[] = "import ctypes; ctypes.CDLL(None).PyThreadState_Get()";
    struct python pythons[PYTHONS_MAX];
    size_t count = find_pythons(pythons);

    for (size_t i = 0; i < count; i++) {
        struct traced traced =
            trace(BY_LAUNCHER, "guard=1", LIST(pythons[i].path, "-X", "faulthandler", "-c", code), NULL);
        cr_assert(strstr(traced.run.err, "Fatal Python error"), "%s: %s", pythons[i].path, traced.run.err);
        cr_assert_eq(json_array_size(json_object_get(traced.report, "errors")), 0, "%s: %s", pythons[i].path,
                     traced.run.err);
        traced_clear(&traced);
    }
}

/* CPython itself runs on silently. */
Test(guard, an_overrun_in_an_extension_is_found, .timeout = 120)
{
    char *script = text_format("%s/tests/targets/guard_extension.py", test_variable("TEST_SOURCE"));
    char *extension = target_path("guard_extension.so");
    struct outcome bare = spawn_run(LIST("/usr/bin/python3", script, extension), NULL);
    struct traced traced = run("guard=1", LIST("/usr/bin/python3", script, extension));
    const json_t *error = only_error(&traced, "extension");

    cr_assert_eq(bare.status, 0);
    assert_same_text(bare.out, traced.run.out, "output");
    cr_assert_str_eq(text_of(error, "kind"), "overflow");
    cr_assert(
        strstr(text_of(error, "detail"), "1 byte at offset 16 of a block of 16 bytes (PyMem_Malloc) changed: 00"));
    cr_assert(has_frame(error, "stack", "count_letters") && has_frame(error, "stack", "greet"));
    cr_assert(has_frame(error, "alloc_stack", "count_letters") && has_frame(error, "alloc_stack", "greet"));
    outcome_clear(&bare);
    traced_clear(&traced);
    free(extension);
    free(script);
}

/* With and without guard bytes: who made a block stands in its reference. */
Test(guard, every_pair_of_domains_is_a_mismatch, .timeout = LONG)
{
    static const char *const options[] = {"guard=1", "guard=0"};

    for (size_t with = 0; with < 2 * rounds(); with++)
        for (size_t made = 0; made < 4; made++)
            for (size_t freed = 0; freed < 4; freed++)
                if (made != freed)
                    python_case("/usr/bin/python3", LIST("mismatch", domains[made], domains[freed]), options[with % 2],
                                "domain-mismatch", "is released by");
}
