/* SPDX-License-Identifier: MIT
 *
 * The malloc family under the shim: the same semantics as without it, and every lost block counted. */
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(libc);

/* Targets that print what they observe, which must not depend on the shim. */
static const char *const observers[] = {
    "zero_sizes",   "huge_sizes",   "alignment",  "usable_size",  "realloc_contents",
    "errno_kept",   "no_leak",      "own_malloc", "signal_churn", "constructor",
    "free_foreign", "fork_threads", "deep_stack", "new_delete",   "threads_leak",
};

static const char *const option_sets[] = {
    NULL, "stack_depth=1", "native=0:python=0", "domains=none", "sample=1000", "leak_check=0", "guard=1:quarantine=64k",
};

struct variant {
    char target[64];
    char options[64];
};

ParameterizedTestParameters(libc, same_output)
{
    enum { TARGETS = sizeof(observers) / sizeof(*observers), SETS = sizeof(option_sets) / sizeof(*option_sets) };
    static struct variant variants[TARGETS * SETS];
    size_t count = 0;

    for (int i = 0; i < TARGETS; i++)
        for (int j = 0; j < SETS; j++, count++) {
            snprintf(variants[count].target, sizeof(variants[count].target), "%s", observers[i]);
            snprintf(variants[count].options, sizeof(variants[count].options), "%s",
                     option_sets[j] ? option_sets[j] : "");
        }
    return cr_make_param_array(struct variant, variants, count);
}

/* Takes the lines out by which the shim says that it has no such option yet. */
static void drop_own_lines(char *text)
{
    char *to = text;
    for (char *line = text; *line;) {
        size_t length = strcspn(line, "\n") + (strchr(line, '\n') != NULL);
        if (strncmp(line, "memshim: this version has no ", 29) != 0) {
            memmove(to, line, length);
            to += length;
        }
        line += length;
    }
    *to = '\0';
}

ParameterizedTest(struct variant *variant, libc, same_output)
{
    char *path = target_path(variant->target), *folder = folder_new();
    char *preload = text_format("LD_PRELOAD=%s", shim_path());
    char *options = text_format("MEMSHIM_OPTIONS=output=%s/%%p.jsonl:%s", folder, variant->options);
    char *what = text_format("stdout of %s with %s", variant->target, variant->options);

    if (strcmp(variant->target, "new_delete") == 0 && spawn_run(LIST("test", "-x", path), NULL).status)
        cr_skip_test("no C++ compiler");
    struct outcome bare = spawn_run(LIST(path), NULL);
    struct outcome traced = spawn_run(LIST(path), LIST(preload, options));
    assert_same_text(bare.out, traced.out, what);
    drop_own_lines(traced.err);
    assert_same_text(bare.err, traced.err, "stderr");
    cr_assert_eq(bare.status, traced.status, "%s with %s: status %d, traced %d", variant->target, variant->options,
                 bare.status, traced.status);
    outcome_clear(&bare);
    outcome_clear(&traced);
    free(path);
    free(preload);
    free(options);
    free(what);
    folder_remove(folder);
}

/* The text of the report goes to stderr, so that the output of the program stays its own. */
Test(libc, launcher_leaves_stdout_alone)
{
    struct traced traced = trace_target("leak_in_loop");
    assert_same_text("lost 100 blocks of 64 bytes\n", traced.run.out, "stdout under memshim run");
    traced_clear(&traced);
}

Test(libc, loop)
{
    struct traced traced = trace_target("leak_in_loop");
    const struct query query = {.function = "lose", .caller = "work", .domain = "malloc"};

    report_assert_sum(traced.report, 100, 6400, &query, __FILE__, __LINE__);
    json_t *leak = report_leak(traced.report, &query);
    json_t *stack = json_object_get(leak, "stack");
    const char *expected[] = {"lose", "work", "main"};
    const char *files[] = {"target.h", "leak_in_loop.c", "leak_in_loop.c"};
    for (size_t i = 0; i < 3; i++) {
        json_t *frame = json_array_get(stack, i);
        const char *function = json_string_value(json_object_get(frame, "function"));
        const char *file = json_string_value(json_object_get(frame, "file"));
        cr_assert(function && strcmp(function, expected[i]) == 0, "frame %zu is in %s, not in %s:\n%s", i, function,
                  expected[i], report_describe(traced.report));
        cr_assert(file && strstr(file, files[i]), "frame %zu is in file %s, not in %s", i, file ? file : "??",
                  files[i]);
        cr_assert(json_integer_value(json_object_get(frame, "line")) > 0, "frame %zu has no line", i);
    }
    traced_clear(&traced);
}

Test(libc, family)
{
    static const struct {
        const char *function;
        long long blocks, size;
    } lost[] = {
        {"lose_malloc", 3, 101},         {"lose_calloc", 4, 112},         {"lose_realloc_null", 5, 123},
        {"lose_realloc_grown", 6, 1000}, {"lose_realloc_shrunk", 7, 55},  {"lose_reallocarray", 8, 99},
        {"lose_memalign", 9, 201},       {"lose_aligned_alloc", 10, 256}, {"lose_posix_memalign", 11, 77},
        {"lose_valloc", 12, 88},         {"lose_pvalloc", 13, 4096},      {"lose_strdup", 14, 24},
        {"lose_mapped", 2, 1 << 20},
    };
    struct traced traced = trace_target("leak_family");

    for (size_t i = 0; i < sizeof(lost) / sizeof(*lost); i++)
        ASSERT_LEAKS(traced.report, lost[i].blocks, lost[i].blocks * lost[i].size, .function = lost[i].function,
                     .domain = "malloc");
    traced_clear(&traced);
}

Test(libc, operators)
{
    static const struct {
        const char *function, *domain;
        long long blocks, size;
    } lost[] = {
        {"lose_new", "new", 5, 40},
        {"lose_new_array", "new[]", 6, 70},
        {"lose_new_nothrow", "new", 7, 50},
        {"lose_new_aligned", "new", 8, 128},
        {"lose_new_array_aligned", "new[]", 9, 256},
    };
    char *path = target_path("new_delete");
    struct outcome exists = spawn_run(LIST("test", "-x", path), NULL);
    free(path);
    if (exists.status)
        cr_skip_test("no C++ compiler");

    struct traced traced = trace_target("new_delete");
    for (size_t i = 0; i < sizeof(lost) / sizeof(*lost); i++)
        ASSERT_LEAKS(traced.report, lost[i].blocks, lost[i].blocks * lost[i].size, .function = lost[i].function,
                     .domain = lost[i].domain);
    ASSERT_LEAKS(traced.report, 35, 5 * 40 + 6 * 70 + 7 * 50 + 8 * 128 + 9 * 256, .caller = "main");
    traced_clear(&traced);
}

Test(libc, clean_program_has_no_leaks)
{
    struct traced traced = trace_target("no_leak");
    struct sum sum = report_sum(traced.report, &(struct query){.function = "main"});
    cr_assert_eq(sum.blocks, 0, "leaks of a clean program:\n%s", report_describe(traced.report));
    json_t *process = report_process(traced.report, 0);
    cr_assert_eq(process_total(process, "allocations"),
                 process_total(process, "frees") + process_total(process, "live_blocks"),
                 "allocations %lld are not frees %lld + live blocks %lld", process_total(process, "allocations"),
                 process_total(process, "frees"), process_total(process, "live_blocks"));
    cr_assert_eq(process_total(process, "dropped"), 0);
    traced_clear(&traced);
}

Test(libc, peak_is_the_highest_moment)
{
    struct traced traced = trace_target("realloc_contents");
    json_t *process = report_process(traced.report, 0);
    long long peak = process_total(process, "peak_bytes"), live = process_total(process, "live_bytes");
    cr_assert(peak >= 2000000 && peak < 6000000, "peak_bytes is %lld, the largest block has 2000000", peak);
    cr_assert(live <= peak, "live_bytes %lld > peak_bytes %lld", live, peak);
    traced_clear(&traced);
}

Test(libc, threads)
{
    struct traced traced = trace_target("threads_leak");
    ASSERT_LEAKS(traced.report, 1000, 32000, .function = "lose", .caller = "thread");
    struct sum rest = report_sum(traced.report, &(struct query){.function = "thread"});
    cr_assert_eq(rest.blocks, 1000, "blocks freed by other threads are still there:\n%s",
                 report_describe(traced.report));
    traced_clear(&traced);
}

Test(libc, unloaded_library_keeps_its_names)
{
    char *path = target_path("dlopen_dlclose"), *plugin = target_path("plugin.so");
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(path, plugin), NULL);

    assert_same_text("missing: 1\n", traced.run.out, "stdout");
    ASSERT_LEAKS(traced.report, 200, 200 * 48, .function = "plugin_lose", .caller = "plugin_work", .domain = "malloc");
    free(path);
    free(plugin);
    traced_clear(&traced);
}

/* The deep stack's leak, innermost frame first, with frames of the root cut off beyond `depth`. */
static size_t assert_deep_stack(const char *depth, size_t expected, bool cut)
{
    char *path = target_path("deep_stack"), *options = text_format("stack_depth=%s", depth);
    struct traced traced = trace(BY_LAUNCHER, options, LIST(path, "500"), NULL);
    json_t *leak = report_leak(traced.report, &(struct query){.function = "lose"});
    json_t *stack = json_object_get(leak, "stack");
    size_t frames = json_array_size(stack);
    const char *innermost = json_string_value(json_object_get(json_array_get(stack, 0), "function"));
    struct outcome text = spawn_run(LIST(memshim_path(), "report", traced.folder), NULL);
    char *line = text_format("... %zu more frames cut by stack_depth\n", expected - frames);

    ASSERT_LEAKS(traced.report, 4, 4 * 44, .function = "lose");
    cr_assert_str_eq(innermost, "lose");
    cr_assert_eq(json_is_true(json_object_get(leak, "stack_cut")), cut, "stack_depth=%s", depth);
    cr_assert_eq(!!strstr(text.out, "cut by stack_depth"), cut, "%.4000s", text.out);
    cr_assert(!cut || strstr(text.out, line), "no \"%s\" in %.4000s", line, text.out);
    outcome_clear(&text);
    free(line);
    free(options);
    free(path);
    traced_clear(&traced);
    return frames;
}

Test(libc, deep_stacks_are_cut_where_asked)
{
    size_t whole = assert_deep_stack("512", 0, false);

    cr_assert(whole >= 502 && whole <= 508, "%zu frames of a stack of 503 and the C library's", whole);
    cr_assert_eq(assert_deep_stack("64", whole, true), 64);
    cr_assert_eq(assert_deep_stack("16", whole, true), 16);
    cr_assert_eq(assert_deep_stack("1", whole, true), 1);
}

Test(libc, constructors_and_main)
{
    struct traced traced = trace_target("constructor");
    ASSERT_LEAKS(traced.report, 3, 3 * 222, .function = "lose", .caller = "main");
    ASSERT_LEAKS(traced.report, 200, 200 * 111, .function = "lose", .caller = "prepare", .with_startup = true);
    traced_clear(&traced);
}

Test(libc, fast_stacks_equal_full_unwinds)
{
    static const char *const targets[] = {"leak_family", "deep_stack", "threads_leak", "fork_threads"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
        char *path = target_path(targets[i]);
        struct traced traced = trace(BY_LAUNCHER, "self_check=1", LIST(path), NULL);
        long long different = process_total(report_process(traced.report, 0), "self_check_differences");
        cr_assert_gt(process_total(report_process(traced.report, 0), "self_checks"), 0, "%s", targets[i]);
        cr_assert_eq(different, 0, "%s: %lld stacks differ from a full unwind", targets[i], different);
        free(path);
        traced_clear(&traced);
    }
}
