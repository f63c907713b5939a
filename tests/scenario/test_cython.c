/* SPDX-License-Identifier: MIT
 *
 * An extension that Debian's Cython makes, in the interpreters that it knows: what it loses is found with its lines, and the buffers
 * of its classes are accounted for. */
#include "pythons.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define NEWEST 11 /* minor version of the interpreter that Cython 0.29 can compile for */

/* The line of tests/targets/cythonized.pyx with this text. */
static int line_of(const char *text)
{
    char *path = text_format("%s/tests/targets/cythonized.pyx", test_variable("TEST_SOURCE")), *line = NULL;
    FILE *file = fopen(path, "r");
    size_t size = 0;
    int number = 1;

    cr_assert(file);
    while (getline(&line, &size, file) > 0 && !strstr(line, text))
        number++;
    cr_assert(!feof(file), "%s: no %s", path, text);
    fclose(file);
    free(line);
    free(path);
    return number;
}

/* Whether the stack has this line of the source. */
static bool has_line(const json_t *leak, int line)
{
    const json_t *frame;
    size_t i;

    json_array_foreach(json_object_get(leak, "stack"), i, frame)
    {
        const char *file = json_string_value(json_object_get(frame, "file"));
        if (file && strstr(file, "cythonized.pyx") && json_integer_value(json_object_get(frame, "line")) == line)
            return true;
    }
    return false;
}

static void check_report(const json_t *report)
{
    struct query block = {.domain = "malloc", .caller = "lose", .function = "__pyx_f_10cythonized_take"};
    struct query buffer = {.domain = "buffer", .caller = "forget"};
    struct query reference = {.domain = "obj", .type = "bytes", .caller = "lose", .file = "cythonized.pyx"};

    ASSERT_LEAKS(report, 10, 11110, .domain = "malloc", .caller = "lose", .function = "__pyx_f_10cythonized_take");
    cr_expect(has_line(report_leak(report, &block), line_of("# LOST BLOCK")));
    ASSERT_LEAKS(report, 5, 5 * (2222 + 33), .domain = "obj", .type = "bytes", .caller = "lose",
                 .file = "cythonized.pyx");
    cr_expect(has_line(report_leak(report, &reference), line_of("# LOST REFERENCE")));
    ASSERT_LEAKS(report, 1, 0, .domain = "buffer", .caller = "forget", .file = "cythonized.pyx",
                 .type = "cythonized.Grid: 48 bytes, format d, shape (2, 3), writable");
    ASSERT_LEAKS(report, 1, 0, .domain = "buffer", .caller = "forget", .file = "cythonized.pyx",
                 .type = "cythonized.Plain: 10 bytes, shape (10,), writable");
    cr_expect(has_line(report_leak(report, &buffer), line_of("# FORGOTTEN BUFFER")));
    ASSERT_LEAKS(report, 2, 0, .domain = "buffer");
}

static void check(const struct python *python)
{
    char *folder = python_compile(python, "cythonized.pyx", "cythonized");
    char *script = text_format("%s/tests/targets/use_cythonized.py", test_variable("TEST_SOURCE"));
    char *environment = text_format("PYTHONPATH=%s", test_variable("TEST_PACKAGE"));

    if (folder) {
        struct outcome bare = spawn_run(LIST(python->path, script, folder), LIST(environment));
        cr_expect_str_eq(bare.out, "done\n", "%s: %s", python->version, bare.err);
        outcome_clear(&bare);
        struct traced traced = trace(BY_LAUNCHER, NULL, LIST(python->path, script, folder), LIST(environment));
        cr_expect_str_eq(traced.run.out, "done\n", "%s: %s", python->version, traced.run.err);
        check_report(traced.report);
        traced_clear(&traced);
    }
    free(folder);
    free(script);
    free(environment);
}

Test(cython, extension)
{
    struct python pythons[PYTHONS_MAX];
    size_t count = pythons_find(pythons);
    struct outcome outcome = spawn_run(LIST("sh", "-c", "command -v cython3"), NULL);

    if (outcome.status != 0)
        cr_skip_test("cython3 is not installed");
    outcome_clear(&outcome);

    for (size_t i = 0; i < count; i++)
        if (pythons[i].minor <= NEWEST)
            check(&pythons[i]);
}
