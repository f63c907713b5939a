/* SPDX-License-Identifier: MIT
 *
 * The stacks of Python programs: what every interpreter of this machine says about its own frames is what is recorded. */
#include "python_tests.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(python_stacks);

ParameterizedTestParameters(python_stacks, merged_stack)
{
    return all_pythons();
}

ParameterizedTest(struct python *python, python_stacks, merged_stack)
{
    char *extension = extension_variable(python), *script = script_path("quickstart/app.py");
    struct traced traced = trace(BY_PRELOAD, NULL, LIST(python->path, script), LIST(extension));
    json_t *leak = report_leak(traced.report, &(struct query){.function = "copy_header"});
    static const struct {
        const char *function, *language;
        int line;
    } expected[] = {
        {"read_request", "python", 7},
        {"handle_request", "python", 23},
        {"serve", "python", 31},
        {"<module>", "python", 35},
    };
    size_t at = 0, next = 0;
    json_t *frame;

    json_array_foreach(json_object_get(leak, "stack"), at, frame)
    {
        const char *language = json_string_value(json_object_get(frame, "language"));
        if (strcmp(language, "python") != 0)
            continue;
        const char *function = json_string_value(json_object_get(frame, "function"));
        int line = (int)json_integer_value(json_object_get(frame, "line"));
        cr_assert(next < 4, "more Python frames than there are: %s", function);
        cr_assert(strcmp(function, expected[next].function) == 0 && line == expected[next].line,
                  "Python frame %zu is %s:%d, not %s:%d", next, function, line, expected[next].function,
                  expected[next].line);
        next++;
    }
    cr_assert_eq(next, 4, "%zu Python frames, not 4", next);
    frame = json_array_get(json_object_get(leak, "stack"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(frame, "function")), "copy_header");
    free(extension);
    free(script);
    traced_clear(&traced);
}

ParameterizedTestParameters(python_stacks, compared_stacks)
{
    return all_pythons();
}

static void assert_same_stacks(const struct python *python, const char *script, const char *options)
{
    struct traced traced = trace(BY_PRELOAD, options, LIST(python->path, script), NULL);
    json_t *process = report_process(traced.report, 0);

    assert_same_text("done\n", traced.run.out, "stdout");
    cr_assert_gt(process_total(process, "self_checks"), 1000);
    cr_assert_eq(process_total(process, "self_check_differences"), 0, "Python %s, %s: %lld stacks differ",
                 python->version, options, process_total(process, "self_check_differences"));
    traced_clear(&traced);
}

/* One in 31 native stacks is compared with libunwind's own: recursion, callbacks of ctypes and of C, generators, coroutines,
 * exceptions through C, threads. With guard bytes, too: each hook has to find its caller's frame in its own. */
ParameterizedTest(struct python *python, python_stacks, compared_stacks)
{
    char *script = script_path("stack_shapes.py");

    assert_same_stacks(python, script, "self_check=31");
    assert_same_stacks(python, script, "self_check=31:guard=1");
    free(script);
}

/* What `memshim report --frames FRAMES` prints. */
static struct outcome report_frames(const struct traced *traced, const char *frames)
{
    struct outcome outcome = spawn_run(LIST(memshim_path(), "report", "--frames", frames, traced->folder), NULL);

    cr_assert_eq(outcome.status, 0, "%s", outcome.err);
    return outcome;
}

static size_t count_text(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

static void assert_frames(const struct traced *traced, const char *frames, size_t python, bool native, bool cut)
{
    struct outcome text = report_frames(traced, frames);

    cr_assert_eq(count_text(text.out, " py  descend "), python, "--frames %s: %.6000s", frames, text.out);
    cr_assert_eq(!!strstr(text.out, "make_token"), native, "--frames %s: %.6000s", frames, text.out);
    cr_assert_eq(!!strstr(text.out, " py  <module> "), python && !cut, "--frames %s: %.6000s", frames, text.out);
    outcome_clear(&text);
}

ParameterizedTestParameters(python_stacks, deep_stacks)
{
    return all_pythons();
}

/* 502 Python frames, of which the innermost ones are kept; and the reports' choice of languages. */
ParameterizedTest(struct python *python, python_stacks, deep_stacks)
{
    char *extension = extension_variable(python), *script = script_path("lose_deep.py");
    struct traced whole = trace(BY_PRELOAD, "stack_depth=512", LIST(python->path, script), LIST(extension));

    ASSERT_LEAKS(whole.report, 4, 4 * 256, .function = "make_token", .caller = "<module>", .domain = "obj");
    assert_frames(&whole, "all", 501, true, false);
    assert_frames(&whole, "python", 501, false, false);
    assert_frames(&whole, "native", 0, true, false);

    struct traced cut = trace(BY_PRELOAD, "stack_depth=64", LIST(python->path, script), LIST(extension));
    json_t *leak = report_leak(cut.report, &(struct query){.function = "make_token"});
    struct outcome text = report_frames(&cut, "python");
    char *line = text_format("... %d more frames cut by stack_depth\n", 502 - 64);
    ASSERT_LEAKS(cut.report, 4, 4 * 256, .function = "make_token", .caller = "descend", .domain = "obj");
    cr_assert(json_is_true(json_object_get(leak, "stack_cut")));
    assert_frames(&cut, "python", 64, false, true);
    cr_assert(strstr(text.out, line), "Python %s: no \"%s\" in %.6000s", python->version, line, text.out);
    outcome_clear(&text);
    free(line);
    free(extension);
    free(script);
    traced_clear(&whole);
    traced_clear(&cut);
}

ParameterizedTestParameters(python_stacks, frames)
{
    return all_pythons();
}

/* Every frame that the shim's own code reads is what sys._getframe() says; the script compares. */
ParameterizedTest(struct python *python, python_stacks, frames)
{
    char *library = target_path("pyframes_check.so");
    char *script = text_format("%s/tests/stress/pyframes_check.py", test_variable("TEST_SOURCE"));
    struct outcome outcome = spawn_run(LIST(python->path, script, library), NULL);

    cr_assert_eq(outcome.status, 0, "Python %s: status %d\n%.3000s%.3000s", python->version, outcome.status,
                 outcome.out, outcome.err);
    outcome_clear(&outcome);
    free(library);
    free(script);
}
