/* SPDX-License-Identifier: MIT */
#include "suppress.h"

#include "sample_report.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FINGERPRINT "0123456789abcdef0123456789abcdef"

static char path[] = "/tmp/suppressXXXXXX";
static struct suppressions rules;
static struct suppress_error error;

static int read_text(const char *text)
{
    strcpy(path + sizeof(path) - 7, "XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    int r = suppressions_read(&rules, path, false, &error);
    unlink(path);
    return r;
}

static void clear(void)
{
    suppressions_clear(&rules);
}

TestSuite(suppress, .fini = clear);

static const struct frame frames[] = {
    {.language = FRAME_NATIVE, .function = "PyObject_Malloc", .module = "/usr/bin/python3.11", .runtime = true},
    {.language = FRAME_NATIVE,
     .function = "ns::make(int, char)",
     .mangled = "_ZN2ns4makeEic",
     .file = "/src/a/leaky.cc",
     .line = 7,
     .module = "/x/leaky.so"},
    {.language = FRAME_PYTHON, .function = "Handler.serve", .file = "/app/serve.py", .line = 3},
    {.language = FRAME_NATIVE, .function = "main", .module = "/usr/bin/python3.11"},
};
static const struct frame *stack_frames[] = {&frames[0], &frames[1], &frames[2], &frames[3]};
static struct leak items[2];
static struct leaks leaks = {.items = items, .count = 2};

static struct stack_source usual_stack = {.stack = {stack_frames, 4}};

static void make_leaks(void)
{
    for (size_t i = 0; i < 2; i++)
        items[i] = (struct leak){.kind = LEAK_DEFINITE,
                                 .known = true,
                                 .domain = "obj",
                                 .type = "list",
                                 .blocks = 10,
                                 .bytes = 1000,
                                 .source = &usual_stack,
                                 .fingerprint = FINGERPRINT};
    items[1].kind = LEAK_REACHABLE;
}

/* Whether a file with this text suppresses the definite one of the two leaks. */
static bool suppresses(const char *text)
{
    suppressions_clear(&rules);
    cr_assert_eq(read_text(text), 0, "%s: line %lu: %s", text, error.line, error.text);
    make_leaks();
    suppressions_apply(&rules, &leaks, "2026-06-15");
    return items[0].suppressed;
}

Test(suppress, patterns_are_parts_unless_anchored)
{
    cr_expect(suppress_pattern_matches("ake", "make_token"));
    cr_expect(suppress_pattern_matches("", "make_token"));
    cr_expect(suppress_pattern_matches("^make", "make_token"));
    cr_expect_not(suppress_pattern_matches("^ake", "make_token"));
    cr_expect(suppress_pattern_matches("token$", "make_token"));
    cr_expect_not(suppress_pattern_matches("toke$", "make_token"));
    cr_expect(suppress_pattern_matches("m*t*n", "make_token"));
    cr_expect(suppress_pattern_matches("^m*n$", "make_token"));
    cr_expect(suppress_pattern_matches("a*a$", "ababa"));
    cr_expect_not(suppress_pattern_matches("^m*x$", "make_token"));
    cr_expect(suppress_pattern_matches("^make_token$", "make_token"));
    cr_expect_not(suppress_pattern_matches("^make_token$", "make_token2"));
}

Test(suppress, words_say_what_is_suppressed)
{
    cr_expect(suppresses("leak:make"));
    cr_expect(suppresses("leak:ns::make(int, char)"));
    cr_expect(suppresses("leak:leaky.cc"));
    cr_expect(suppresses("leak:leaky.so$"));
    cr_expect(suppresses("leak:serve.py"));
    cr_expect_not(suppresses("leak:other"));
    cr_expect(suppresses("py:^Handler.serve$"));
    cr_expect(suppresses("py:/app/"));
    cr_expect_not(suppresses("py:make"));
    cr_expect(suppresses("type:list"));
    cr_expect(suppresses("type:l*"));
    cr_expect_not(suppresses("type:lis"));
    cr_expect(suppresses("domain:obj"));
    cr_expect_not(suppresses("domain:mem"));
    cr_expect(suppresses("fingerprint:" FINGERPRINT));
    cr_expect(suppresses("# comment\n\n  leak:nothing\n\tleak:make # why\r\n"));
    cr_expect(suppresses("leak:make py:serve type:list kind:definite,possible"));
    cr_expect_not(suppresses("leak:make type:dict"));
    cr_expect_not(suppresses("leak:make kind:possible"));
}

Test(suppress, reachable_blocks_are_suppressed_on_request)
{
    suppresses("leak:make");
    cr_expect_null(items[1].suppressed);
    suppresses("leak:make kind:all");
    cr_expect_not_null(items[1].suppressed);
}

Test(suppress, limits_and_days_end_a_rule)
{
    cr_expect(suppresses("leak:make max-bytes=1000 max-blocks=10"));
    cr_expect_not(suppresses("leak:make max-bytes=999"));
    cr_expect(rules.items[0].over);
    cr_expect_not(suppresses("leak:make max-blocks=9"));
    cr_expect(suppresses("leak:make until=2026-06-15"));
    cr_expect_not(suppresses("leak:make until=2026-06-14"));
    cr_expect(rules.items[0].expired);
    cr_expect_eq(rules.items[0].leaks, 0);
}

Test(suppress, a_limit_holds_for_the_sum)
{
    cr_assert_eq(read_text("leak:make kind:all max-bytes=1500"), 0);
    make_leaks();
    suppressions_apply(&rules, &leaks, "2026-06-15");
    cr_expect_null(items[0].suppressed);
    cr_expect_null(items[1].suppressed);
    cr_expect_eq(rules.items[0].bytes, 2000);
}

Test(suppress, blocks_of_valgrind)
{
    cr_expect(suppresses("{\n  a name\n  Memcheck:Leak\n  fun:PyObject_Malloc\n  fun:ns::make*\n}\n"));
    cr_expect(suppresses("{\n n\n Memcheck:Leak\n match-leak-kinds: definite\n fun:malloc\n fun:PyObject_Malloc\n}\n"));
    cr_expect(suppresses("{\n n\n Memcheck:Leak\n ...\n obj:*leaky.so\n}\n"));
    cr_expect(suppresses("{\n n\n Memcheck:Leak\n ...\n fun:_PyEval_EvalFrameDefault\n fun:main\n}\n"));
    cr_expect(suppresses("{\n n\n Memcheck:Leak\n ...\n src:leaky.cc:7\n}\n"));
    cr_expect_not(suppresses("{\n n\n Memcheck:Leak\n match-leak-kinds: possible\n fun:PyObject_Malloc\n}\n"));
    cr_expect_not(suppresses("{\n n\n Memcheck:Leak\n fun:ns::make*\n}\n"));
    cr_expect_not(suppresses("{\n n\n Memcheck:Cond\n fun:PyObject_Malloc\n}\n"));
    cr_expect_eq(rules.skipped, 1);
}

Test(suppress, many_gaps_in_a_block_take_no_time)
{
    static const struct frame *deep[500];
    char text[1024] = "{\n n\n Memcheck:Leak\n";

    for (size_t i = 0; i < 11; i++)
        strcat(text, " ...\n fun:*\n");
    strcat(text, " fun:nowhere\n}\n");
    cr_assert_eq(read_text(text), 0);
    make_leaks();
    for (size_t i = 0; i < 500; i++)
        deep[i] = &frames[i % 4];
    items[0].source = &(struct stack_source){.stack = {deep, 500}};
    suppressions_apply(&rules, &leaks, "2026-06-15");
    cr_expect_null(items[0].suppressed);
}

Test(suppress, brackets_are_part_of_names)
{
    cr_expect(suppress_glob_matches("list[int]", "list[int]"));
    cr_expect(suppress_glob_matches("tagged[abi:cxx11](*)", "tagged[abi:cxx11](int)"));
    cr_expect(suppress_glob_matches("a*b*c?", "aXbYbZcd"));
    cr_expect(suppress_glob_matches("*", ""));
    cr_expect_not(suppress_glob_matches("a?", "a"));
    cr_expect_not(suppress_glob_matches("", "a"));
}

Test(suppress, a_rule_over_its_limits_leaves_the_leak_to_later_ones)
{
    cr_expect(suppresses("leak:make max-blocks=9\nleak:leaky.so\n"));
    cr_expect(rules.items[0].over);
    cr_expect_eq(rules.items[0].blocks, 10);
    cr_expect_eq(rules.items[1].blocks, 10);
}

Test(suppress, baselines_can_be_left_out)
{
    cr_assert_eq(read_text("leak:make\nleak:other\n"), 0);
    rules.items[0].baseline = true;
    suppressions_drop_baseline(&rules);
    cr_assert_eq(rules.count, 1);
    cr_expect_str_eq(rules.items[0].text, "leak:other");
}

Test(suppress, the_rules_that_are_always_in_force_are_right)
{
    cr_assert_eq(suppressions_read_builtin(&rules, &error), 0, "line %lu: %s", error.line, error.text);
    cr_assert_gt(rules.count, 0);
    for (size_t i = 0; i < rules.count; i++)
        cr_expect(rules.items[i].builtin && rules.items[i].max_blocks < 100, "%s", rules.items[i].text);
}

Test(suppress, bad_files_are_refused_with_their_line)
{
    static const struct {
        const char *text;
        unsigned long line;
    } bad[] = {
        {"leak:a\nnonsense\n", 2},
        {"race:a\n", 1},
        {"leak:\n", 1},
        {"max-bytes=3\n", 1},
        {"leak:a max-bytes=x\n", 1},
        {"leak:a max-blocks=1k\n", 1},
        {"leak:a until=2026-6-1\n", 1},
        {"leak:a kind:lost\n", 1},
        {"leak:a leak:b\n", 1},
        {"fingerprint:123\n", 1},
        {"leak:a\n{\n n\n Memcheck:Leak\n fun:x\n", 2},
        {"{\n}\n", 2},
        {"{\n n\n Memcheck:Leak\n}\n", 4},
        {"{\n n\n Memcheck:Leak\n what:x\n}\n", 4},
        {"{\n n\n no kind\n}\n", 3},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        suppressions_clear(&rules);
        cr_expect_eq(read_text(bad[i].text), -EINVAL, "%s", bad[i].text);
        cr_expect_not_null(error.text);
        cr_expect_eq(error.line, bad[i].line, "%s: line %lu", bad[i].text, error.line);
    }
    cr_expect_eq(suppressions_read(&rules, "/nowhere/at/all", false, &error), -ENOENT);
}

/* Valgrind's blocks have the names that the linker knows. */
Test(suppress, mangled_names_of_valgrind)
{
    cr_expect(suppresses("{\n x\n Memcheck:Leak\n fun:PyObject_Malloc\n fun:_ZN2ns4makeEic\n}\n"));
    cr_expect(suppresses("{\n x\n Memcheck:Leak\n ...\n fun:_ZN2ns*\n}\n"));
    cr_expect_not(suppresses("{\n x\n Memcheck:Leak\n ...\n fun:_ZN3ns3*\n}\n"));
}

Test(suppress, fingerprints_have_a_version)
{
    cr_expect(suppresses("fingerprint:1:" FINGERPRINT "\n"));
    cr_expect(suppresses("fingerprint:" FINGERPRINT "\n"));
    suppressions_clear(&rules);
    cr_expect_eq(read_text("fingerprint:2:" FINGERPRINT "\n"), -EINVAL);
    cr_expect_not_null(strstr(error.text, "another version"));
    cr_expect_eq(read_text("fingerprint:x:" FINGERPRINT "\n"), -EINVAL);
    cr_expect_eq(read_text("fingerprint:1:\n"), -EINVAL);
}

/* The order of the file decides, whichever rules are found by their fingerprint. */
Test(suppress, the_first_rule_that_holds)
{
    cr_expect(suppresses("fingerprint:1:" FINGERPRINT " max-blocks=9\nleak:nothing\nleak:ns::make\n"
                         "fingerprint:1:" FINGERPRINT "\n"));
    cr_expect_eq(items[0].suppressed->line, 3, "the first is over its limit");
    cr_expect(
        suppresses("fingerprint:1:00000000000000000000000000000000\nfingerprint:1:" FINGERPRINT "\nleak:ns::make\n"));
    cr_expect_eq(items[0].suppressed->line, 2);
    cr_expect(suppresses("type:list\nfingerprint:1:" FINGERPRINT "\n"));
    cr_expect_eq(items[0].suppressed->line, 1);
}

Test(suppress, where_a_leak_stands_to_a_baseline)
{
    cr_expect(suppresses("fingerprint:1:" FINGERPRINT "\n"));
    cr_expect_eq(items[0].baseline, BASELINE_NONE);
    rules.items[0].baseline = true;
    cr_assert_eq(suppressions_apply(&rules, &leaks, "2026-06-15"), 0);
    cr_expect_eq(items[0].baseline, BASELINE_UNCHANGED);
    rules.items[0].max_bytes = 999;
    cr_assert_eq(suppressions_apply(&rules, &leaks, "2026-06-15"), 0);
    cr_expect_null(items[0].suppressed);
    cr_expect_eq(items[0].baseline, BASELINE_UPDATED);
    items[0].fingerprint[0] = 'f';
    cr_assert_eq(suppressions_apply(&rules, &leaks, "2026-06-15"), 0);
    cr_expect_eq(items[0].baseline, BASELINE_NEW);
}

Test(suppress, many_fingerprints_are_found)
{
    char *text = malloc(5000 * 64), *to = text;
    for (int i = 0; i < 5000; i++)
        to += sprintf(to, "fingerprint:1:%08x%08x%016x\n", i * 7, 5000 - i, i);
    cr_expect_not(suppresses(text));
    for (int i = 0; i < 5000; i += 777) {
        sprintf(items[0].fingerprint, "%08x%08x%016x", i * 7, 5000 - i, i);
        cr_assert_eq(suppressions_apply(&rules, &leaks, "2026-06-15"), 0);
        cr_assert_not_null(items[0].suppressed);
        cr_expect_eq(items[0].suppressed->line, (unsigned long)i + 1);
    }
    free(text);
}

/* How many of the sample's errors (one, an overflow) are left. */
static size_t errors_left(const char *text)
{
    struct model read;
    struct leaks found = {0};
    sample_process(&read, SAMPLE);
    struct symbols *symbols = symbols_new(false);
    cr_assert_eq(leaks_build(&read, symbols, &found), 0);
    suppressions_clear(&rules);
    cr_assert_eq(read_text(text), 0, "%s: %s", text, error.text);
    cr_assert_eq(suppressions_apply(&rules, &found, "2026-06-15"), 0);
    cr_assert_eq(suppressions_apply_to_errors(&rules, &read, symbols), 0);
    size_t left = read.processes[0]->error_count;
    cr_expect_eq(left + read.processes[0]->suppressed_errors, 1);
    leaks_clear(&found);
    symbols_free(symbols);
    model_clear(&read);
    return left;
}

Test(suppress, errors_only_by_their_kinds)
{
    cr_expect_eq(errors_left("leak:ext.so\n"), 1, "a rule for leaks");
    cr_expect_eq(errors_left("leak:ext.so kind:overflow\n"), 0);
    cr_expect(rules.items[0].used);
    cr_expect_eq(errors_left("leak:ext.so kind:errors\n"), 0);
    cr_expect_eq(errors_left("leak:ext.so kind:double-free,overflow,definite\n"), 0);
    cr_expect_eq(errors_left("leak:ext.so kind:double-free\n"), 1);
    cr_expect_not(rules.items[0].used);
    cr_expect_eq(errors_left("leak:other.so kind:overflow\n"), 1);
    cr_expect_eq(errors_left("py:^C.f$ kind:overflow domain:mem\n"), 0);
    cr_expect_eq(errors_left("py:^C.f$ kind:overflow domain:raw\n"), 1);
    cr_expect_eq(errors_left("leak:ext.so kind:overflow until=2026-01-01\n"), 1);
    cr_expect_eq(errors_left("leak:ext.so kind:overflow type:list\n"), 1, "an error has no type");
    cr_expect_not(suppresses("leak:ns::make kind:overflow\n"), "and a rule for errors suppresses no leak");
    suppressions_clear(&rules);
    cr_expect_eq(read_text("leak:x kind:overflows\n"), -EINVAL);
    cr_expect_eq(read_text("leak:x kind:growth\n"), -EINVAL, "no memory error");
}

/* More patterns than a word has bits, and more frames than the table has room for at first. */
Test(suppress, many_patterns_and_many_frames)
{
    enum { FRAMES = 3000, PATTERNS = 150 };
    static struct frame many[FRAMES];
    static char names[FRAMES][16];
    static struct leak found[FRAMES];
    static const struct frame *single[FRAMES];
    static struct stack_source sources[FRAMES];
    char text[PATTERNS * 32], *to = text;

    for (int i = 0; i < PATTERNS; i++)
        to += sprintf(to, i % 2 ? "py:^f%d$\n" : "leak:^f%d$\n", i);
    cr_assert_eq(read_text(text), 0);
    for (int i = 0; i < FRAMES; i++) {
        sprintf(names[i], "f%d", i);
        many[i] = (struct frame){.language = i % 4 == 1 ? FRAME_PYTHON : FRAME_NATIVE, .function = names[i]};
        single[i] = &many[i];
        sources[i] = (struct stack_source){.stack = {&single[i], 1}};
        found[i] = (struct leak){.kind = LEAK_DEFINITE,
                                 .known = true,
                                 .domain = "obj",
                                 .blocks = 1,
                                 .source = &sources[i],
                                 .fingerprint = "0"};
    }
    struct leaks all = {.items = found, .count = FRAMES};
    cr_assert_eq(suppressions_apply(&rules, &all, "2026-06-15"), 0);
    for (int i = 0; i < FRAMES; i++) {
        bool expected = i < PATTERNS && (i % 2 == 0 || i % 4 == 1);
        cr_expect_eq(found[i].suppressed != NULL, expected, "%d", i);
        if (found[i].suppressed)
            cr_expect_eq(found[i].suppressed->line, (unsigned long)i + 1);
    }
}
