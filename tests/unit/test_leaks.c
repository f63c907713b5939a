/* SPDX-License-Identifier: MIT */
#include "leaks.h"

#include "frames.h"
#include "sample_report.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct model model;
static struct symbols *symbols;
static struct leaks leaks;

static void set_up(void)
{
    symbols = symbols_new(false);
    cr_assert(symbols);
}

static void tear_down(void)
{
    leaks_clear(&leaks);
    symbols_free(symbols);
    model_clear(&model);
}

TestSuite(leaks, .init = set_up, .fini = tear_down);

/* Two functions of one file and one of an extension, in three stacks. */
#define TABLES(file, line, bias) \
    SAMPLE_HEAD "{\"module\":1,\"path\":\"" bias \
                "ext.cpython-311.so\",\"start\":\"0x1\",\"end\":\"0x2\",\"bias\":\"0x1\"}\n" \
                "{\"module\":2,\"path\":\"" bias \
                "libpython3.11.so.1.0\",\"start\":\"0x1\",\"end\":\"0x2\",\"bias\":\"0x1\"}\n" \
                "{\"code\":1,\"file\":\"" file "\",\"name\":\"f\",\"first_line\":" line \
                ",\"table_kind\":\"lnotab\",\"table\":\"00010201\"}\n" \
                "{\"code\":2,\"file\":\"" file "\",\"name\":\"g\",\"qualname\":\"C.g\",\"first_line\":" line "}\n" \
                "{\"frame\":1,\"language\":\"python\",\"code\":1,\"instruction\":0}\n" \
                "{\"frame\":2,\"language\":\"python\",\"code\":2,\"instruction\":0}\n" \
                "{\"frame\":3,\"language\":\"native\",\"module\":1,\"offset\":\"0x500\"}\n" \
                "{\"frame\":4,\"language\":\"native\",\"module\":2,\"offset\":\"0x" line "\"}\n" \
                "{\"frame\":5,\"language\":\"python\",\"code\":1,\"instruction\":2}\n" \
                "{\"stack\":1,\"parent\":0,\"frame\":1}\n" \
                "{\"stack\":2,\"parent\":1,\"frame\":2}\n" \
                "{\"stack\":3,\"parent\":0,\"frame\":4}\n" \
                "{\"stack\":4,\"parent\":3,\"frame\":3}\n" \
                "{\"stack\":5,\"parent\":0,\"frame\":5}\n" \
                "{\"trace\":1,\"native\":0,\"python\":1,\"allocations\":1,\"bytes\":1}\n" \
                "{\"trace\":2,\"native\":0,\"python\":2,\"allocations\":1,\"bytes\":1}\n" \
                "{\"trace\":3,\"native\":4,\"python\":0,\"allocations\":1,\"bytes\":1}\n" \
                "{\"trace\":4,\"native\":0,\"python\":5,\"allocations\":1,\"bytes\":1}\n"

#define GROUP(trace, kind, domain, type, more) \
    "{\"group\":1,\"trace\":" trace ",\"kind\":\"" kind "\",\"known\":true,\"domain\":\"" domain "\",\"type\":" type \
    "," more "}\n"

#define AUDIT(trace, kind, type, confidence, unseen, more) \
    "{\"audit\":1,\"trace\":" trace ",\"type\":" type ",\"kind\":\"" kind "\",\"confidence\":\"" confidence \
    "\",\"startup\":false,\"interpreter\":false,\"unseen\":" unseen "," more "}\n"

static void build(const char *text)
{
    sample_process(&model, text);
    cr_assert_eq(leaks_build(&model, symbols, &leaks), 0);
}

/* The fingerprint of the first leak of a report of its own. */
static const char *fingerprint_of(const char *text)
{
    static char fingerprints[8][FINGERPRINT_SIZE];
    static unsigned int next;
    char *fingerprint = fingerprints[next++ % 8];
    struct symbols *other_symbols = symbols_new(false);
    struct leaks other = {0};
    struct model other_model;

    sample_process(&other_model, text);
    cr_assert_eq(leaks_build(&other_model, other_symbols, &other), 0);
    cr_assert(other.count >= 1);
    memcpy(fingerprint, other.items[0].fingerprint, FINGERPRINT_SIZE);
    leaks_clear(&other);
    symbols_free(other_symbols);
    model_clear(&other_model);
    return fingerprint;
}

Test(leaks, a_report_without_blocks_has_no_leaks)
{
    build(SAMPLE_HEAD);
    cr_expect_eq(leaks.count, 0);
}

Test(leaks, what_is_lost_for_certain_and_most_bytes_come_first)
{
    build(TABLES("/srv/a.py", "3", "/x/") GROUP("1", "definite", "obj", "\"list\"", "\"blocks\":1,\"bytes\":10")
              GROUP("2", "definite", "obj", "\"list\"", "\"blocks\":1,\"bytes\":30")
                  GROUP("3", "possible", "malloc", "null", "\"blocks\":2,\"bytes\":99")
                      GROUP("3", "possible", "mem", "null", "\"blocks\":0,\"bytes\":0"));
    cr_assert_eq(leaks.count, 3, "a group without blocks is no leak");
    cr_expect_eq(leaks.items[0].bytes, 30);
    cr_expect_eq(leaks.items[1].bytes, 10);
    cr_expect_str_eq(leaks.items[1].type, "list");
    cr_expect_eq(leaks.items[2].blocks, 2);
    cr_expect_str_eq(leaks.items[2].domain, "malloc");
    cr_expect_null(leaks.items[2].type);
    cr_expect_eq(leaks.items[2].kind, LEAK_POSSIBLE);
    cr_expect_eq(leaks.items[2].process, model.processes[0]);
    cr_assert_eq(leak_stack(&leaks.items[0])->size, 2);
    cr_expect_str_eq(leak_stack(&leaks.items[0])->frames[0]->function, "C.g");
    cr_expect_str_eq(leak_stack(&leaks.items[0])->frames[1]->function, "f");
    cr_expect_eq(leak_stack(&leaks.items[0])->frames[1]->line, 4);
    cr_expect_eq(strlen(leaks.items[0].fingerprint), 32);
}

Test(leaks, equal_fingerprints_are_one_leak_with_the_stack_of_the_largest)
{
    build(TABLES("/srv/a.py", "3", "/x/") GROUP("1", "definite", "obj", "null", "\"blocks\":1,\"bytes\":10")
              GROUP("4", "definite", "obj", "null", "\"blocks\":2,\"bytes\":30")
                  GROUP("1", "definite", "obj", "null", "\"blocks\":4,\"bytes\":20"));
    cr_assert_eq(leaks.count, 1);
    cr_expect_eq(leaks.items[0].blocks, 7);
    cr_expect_eq(leaks.items[0].bytes, 60);
    cr_assert_eq(leak_stack(&leaks.items[0])->size, 1);
    cr_expect_eq(leak_stack(&leaks.items[0])->frames[0]->line, 5, "4 would be the smaller one");
}

Test(leaks, what_differs_in_kind_is_not_joined)
{
    build(TABLES("/srv/a.py", "3", "/x/") GROUP("1", "definite", "obj", "null", "\"blocks\":1,\"bytes\":1")
              GROUP("1", "possible", "obj", "null", "\"blocks\":1,\"bytes\":1")
                  GROUP("1", "definite", "mem", "null", "\"blocks\":1,\"bytes\":1")
                      GROUP("1", "definite", "obj", "\"dict\"", "\"blocks\":1,\"bytes\":1")
                          GROUP("1", "definite", "obj", "null", "\"startup\":true,\"blocks\":1,\"bytes\":1"));
    cr_expect_eq(leaks.count, 5);
}

Test(leaks, two_processes_keep_their_leaks)
{
    build(SAMPLE SAMPLE);
    cr_assert_eq(leaks.count, 2);
    cr_expect_str_eq(leaks.items[0].fingerprint, leaks.items[1].fingerprint);
    cr_expect_neq(leaks.items[0].process, leaks.items[1].process);
}

Test(leaks, sums_do_not_wrap)
{
    build(TABLES("/srv/a.py", "3", "/x/")
              GROUP("1", "definite", "obj", "null", "\"blocks\":1,\"bytes\":9223372036854775807")
                  GROUP("1", "definite", "obj", "null", "\"blocks\":1,\"bytes\":9223372036854775807")
                      GROUP("1", "definite", "obj", "null", "\"blocks\":1,\"bytes\":9223372036854775807"));
    cr_expect_eq(leaks.items[0].bytes, UINT64_MAX);
}

#define ONE(trace) GROUP(trace, "definite", "obj", "\"list\"", "\"blocks\":1,\"bytes\":1")

Test(leaks, a_fingerprint_survives_other_lines_paths_and_addresses)
{
    cr_expect_str_eq(fingerprint_of(TABLES("/srv/a.py", "3", "/x/") ONE("2")),
                     fingerprint_of(TABLES("/home/ci/build-77/a.py", "900", "/y/") ONE("2")));
    cr_expect_str_eq(fingerprint_of(TABLES("/srv/a.py", "3", "/x/") ONE("3")),
                     fingerprint_of(TABLES("/srv/a.py", "4", "/opt/") ONE("3")),
                     "another place in libpython, which is part of the runtime");
}

Test(leaks, a_fingerprint_tells_leaks_apart)
{
    const char *first = fingerprint_of(TABLES("/srv/a.py", "3", "/x/") ONE("2"));

    cr_expect_str_neq(first, fingerprint_of(TABLES("/srv/a.py", "3", "/x/") ONE("1")));
    cr_expect_str_neq(first, fingerprint_of(TABLES("/srv/b.py", "3", "/x/") ONE("2")));
    cr_expect_str_neq(first, fingerprint_of(TABLES("/srv/a.py", "3", "/x/")
                                                GROUP("2", "definite", "mem", "\"list\"", "\"blocks\":1,\"bytes\":1")));
    cr_expect_str_neq(first, fingerprint_of(TABLES("/srv/a.py", "3", "/x/")
                                                GROUP("2", "definite", "obj", "\"dict\"", "\"blocks\":1,\"bytes\":1")));
    cr_expect_str_neq(fingerprint_of(TABLES("/srv/__init__.py", "3", "/x/") ONE("2")),
                      fingerprint_of(TABLES("/app/__init__.py", "3", "/x/") ONE("2")));
}

/* A fingerprint is kept in baselines for years: a change of what is hashed needs a new FINGERPRINT_VERSION. */
Test(leaks, the_fingerprint_of_version_1)
{
    cr_expect_str_eq(fingerprint_of(TABLES("/srv/a.py", "3", "/x/") ONE("2")), "1227f30eb206e5d9e7a872453b2843e4");
    cr_expect_str_eq(fingerprint_of(TABLES("/srv/a.py", "3", "/x/") ONE("3")), "2165e7371d6eb1f97ddda402c9169f12");
}

Test(leaks, one_stack_alone)
{
    struct stack stack = {0};

    sample_process(&model, SAMPLE);
    cr_assert_eq(stack_build(model.processes[0], 1, symbols, &stack), 0);
    cr_assert_eq(stack.size, 3);
    cr_expect_eq(stack.frames[0]->offset, 0x1234);
    cr_expect_eq(stack.frames[1]->language, FRAME_CUT);
    cr_expect_str_eq(stack.frames[2]->function, "C.f");
    cr_expect_eq(stack.frames[2]->line, 6);
    stack_clear(&stack);
    cr_assert_eq(stack_build(model.processes[0], 0, symbols, &stack), 0);
    cr_expect_eq(stack.size, 0);
    stack_clear(&stack);
}

Test(leaks, stacks_are_made_each_time_they_are_asked_for)
{
    build(TABLES("/srv/a.py", "3", "/x/") GROUP("1", "definite", "obj", "null", "\"blocks\":1,\"bytes\":30")
              GROUP("2", "definite", "obj", "null", "\"blocks\":1,\"bytes\":20")
                  GROUP("3", "definite", "obj", "null", "\"blocks\":1,\"bytes\":10"));
    cr_assert_eq(leaks.count, 3);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(leak_stack(&leaks.items[0])->size, 1);
        cr_expect_str_eq(leak_stack(&leaks.items[0])->frames[0]->function, "f");
        cr_expect_eq(leak_stack(&leaks.items[1])->size, 2);
        cr_expect_str_eq(leak_stack(&leaks.items[1])->frames[0]->function, "C.g");
        cr_expect_str_eq(leak_stack(&leaks.items[2])->frames[0]->module, "/x/ext.cpython-311.so");
    }
    const struct leak none = {0};
    cr_expect_eq(leak_stack(&none)->size, 0);
}

static int asked;

static int is_g(const struct frame *frame, void *context)
{
    (void)context;
    asked++;
    return strcmp(frame->function, "C.g") == 0;
}

static int is_none(const struct frame *frame, void *context)
{
    (void)frame, (void)context;
    return 0;
}

Test(leaks, stacks_with_a_wanted_frame_are_found_without_being_made)
{
    build(TABLES("/srv/a.py", "3", "/x/") GROUP("1", "definite", "obj", "null", "\"blocks\":1,\"bytes\":30")
              GROUP("2", "definite", "obj", "null", "\"blocks\":1,\"bytes\":20")
                  GROUP("3", "definite", "obj", "null", "\"blocks\":1,\"bytes\":10"));
    struct frame_table *table = frame_table_of(symbols, model.processes[0]);
    cr_expect(frame_table_is_chosen(table, 1), "all are, before there was a choice");
    cr_assert_eq(frame_table_choose(table, is_g, NULL), 0);
    cr_expect_eq(asked, 4, "each frame of these stacks once, and not frame 5, which no leak has; asked %d times",
                 asked);
    cr_expect_not(frame_table_is_chosen(table, 1));
    cr_expect(frame_table_is_chosen(table, 2));
    cr_expect_not(frame_table_is_chosen(table, 3));
    cr_assert_eq(frame_table_choose(table, is_none, NULL), 0);
    cr_expect_not(frame_table_is_chosen(table, 2), "none is, after a choice of none");
}

Test(leaks, kinds_have_names)
{
    cr_expect_str_eq(leak_kind_name(LEAK_DEFINITE), "definite");
    cr_expect_str_eq(leak_kind_name(LEAK_REACHABLE), "reachable");
    cr_expect_str_eq(leak_kind_name(LEAK_KIND_COUNT), "??");
}

Test(leaks, audit_is_told_of_the_leak_it_belongs_to)
{
    build(TABLES("/a/x.py", "10", "/opt/") GROUP("1", "reachable", "obj", "\"list\"", "\"blocks\":9,\"bytes\":90")
              GROUP("1", "definite", "obj", "\"list\"", "\"blocks\":1,\"bytes\":10")
                  GROUP("2", "reachable", "obj", "\"list\"", "\"blocks\":2,\"bytes\":20")
                      AUDIT("1", "reachable", "\"list\"", "low", "null",
                            "\"objects\":2,\"bytes\":20,\"surplus\":5,\"least\":2,\"most\":3")
                          AUDIT("1", "reachable", "\"list\"", "high", "null",
                                "\"objects\":1,\"bytes\":10,\"surplus\":1,\"least\":1,\"most\":1")
                              AUDIT("2", "reachable", "\"list\"", "medium", "\"m.Node\"",
                                    "\"objects\":2,\"bytes\":20,\"surplus\":0,\"least\":0,\"most\":0"));
    cr_assert_eq(leaks.count, 3);
    cr_expect_null(leaks.items[0].references);
    cr_expect_not(leak_is_over_referenced(&leaks.items[0]));
    cr_expect_eq(leaks.items[1].references->objects, 3);
    cr_expect_eq(leaks.items[1].references->surplus, 6);
    cr_expect_eq(leaks.items[1].references->least, 1);
    cr_expect_eq(leaks.items[1].references->most, 3);
    cr_expect(leak_is_over_referenced(&leaks.items[1]));
    cr_expect_eq(leaks.items[2].references->cycles, 2);
    cr_expect_eq(leaks.items[2].references->objects, 0);
    cr_expect_str_eq(leaks.items[2].references->unseen, "m.Node");
}

/* Blocks of one stack are told apart by their labels, also in the fingerprint; ignored ones are suppressed by nobody's rule. */
Test(leaks, labels)
{
    static const char text[] = TABLES(
        "/a/x.py", "10",
        "/lib/") "{\"trace\":5,\"native\":0,\"python\":1,\"allocations\":1,\"bytes\":1,\"label\":\"loading\"}\n"
                 "{\"trace\":6,\"native\":0,\"python\":1,\"allocations\":1,\"bytes\":1,\"ignored\":true}\n" GROUP(
                     "1", "definite", "obj", "null", "\"blocks\":1,\"bytes\":100")
                     GROUP("5", "definite", "obj", "null", "\"blocks\":2,\"bytes\":50")
                         GROUP("6", "reachable", "obj", "null", "\"interpreter\":true,\"blocks\":3,\"bytes\":10");

    sample_process(&model, text);
    cr_assert_eq(leaks_build(&model, symbols, &leaks), 0);
    cr_assert_eq(leaks.count, 3);
    cr_expect_null(leaks.items[0].label);
    cr_expect_str_eq(leaks.items[1].label, "loading");
    cr_expect_str_neq(leaks.items[0].fingerprint, leaks.items[1].fingerprint);
    cr_expect_str_eq(leaks.items[0].fingerprint, leaks.items[2].fingerprint);
    cr_expect(leaks.items[2].ignored && !leaks.items[2].interpreter);
}
