/* SPDX-License-Identifier: MIT
 *
 * Stacks are written as texts, innermost frame first, a letter a frame. Native: a, b, m functions of this program; E an
 * evaluation function, T one that was entered by a tail call, l a function that clears a Python frame; i the interpreter without names; s the shim; | cut.
 * Python: capitals are entry frames; | cut. */
#include "merge.h"

#include "own_module.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 20000

/* The names by which the analyzer knows them. Each does something of its own, or they could become one. */
#define FUNCTION(name, value) \
    __attribute__((noinline, noclone, visibility("default"))) int name(volatile int *p); \
    int name(volatile int *p) \
    { \
        *p += value; \
        return *p * value; \
    }

FUNCTION(native_a, 3)
FUNCTION(native_b, 5)
FUNCTION(native_m, 7)
FUNCTION(_PyEval_EvalFrameDefault, 11)
FUNCTION(_TAIL_CALL_CALL_FUNCTION_EX, 13)
FUNCTION(clear_thread_frame, 17)

static struct own_module own;
static struct module modules[4];
static struct code codes[128];
static struct raw_frame frames[384]; /* native by letter, Python by letter + 128 */
static struct node nodes[NODES_MAX];
static struct trace traces[2];
static struct process process = {
    .modules = modules,
    .codes = codes,
    .frames = frames,
    .nodes = nodes,
    .traces = traces,
    .module_count = 4,
    .code_count = 128,
    .frame_count = 384,
    .node_count = 1,
    .trace_count = 2,
};
static char names[128][2];
static struct symbols *symbols;
static struct merge merge;

static void set_native(char letter, uint32_t module, uint64_t offset)
{
    frames[(unsigned char)letter] = (struct raw_frame){.language = FRAME_NATIVE, .index = module, .offset = offset};
}

static void set_up(void)
{
    own_module_init(&own);
    modules[1] = own.module;
    modules[2].path = "/nonexistent/libpython3.11.so.1.0";
    modules[3].path = "/nonexistent/libmemshim.so";
    set_native('a', 1, OWN_ADDRESS(&own, native_a) + 2);
    set_native('b', 1, OWN_ADDRESS(&own, native_b) + 2);
    set_native('m', 1, OWN_ADDRESS(&own, native_m) + 2);
    set_native('E', 1, OWN_ADDRESS(&own, _PyEval_EvalFrameDefault) + 2);
    set_native('T', 1, OWN_ADDRESS(&own, _TAIL_CALL_CALL_FUNCTION_EX) + 2);
    set_native('l', 1, OWN_ADDRESS(&own, clear_thread_frame) + 2);
    set_native('i', 2, 0x1000);
    set_native('s', 3, 0x1000);
    for (unsigned int c = 'A'; c <= 'z'; c++) {
        names[c][0] = (char)c;
        codes[c] = (struct code){.file = "x.py", .name = "?", .qualname = names[c], .first_line = 1};
        frames[c + 128] = (struct raw_frame){.language = FRAME_PYTHON, .index = c, .entry = c <= 'Z'};
    }
    frames['|'] = frames['|' + 128] = (struct raw_frame){.language = FRAME_CUT, .offset = 9};
    symbols = symbols_new(false);
    cr_assert(symbols);
}

static void tear_down(void)
{
    merge_clear(&merge);
    symbols_free(symbols);
}

TestSuite(merge, .init = set_up, .fini = tear_down);

/* Makes the nodes of a stack and returns its innermost one. */
static uint32_t make_stack(const char *text, unsigned int base)
{
    uint32_t parent = 0;

    for (size_t i = strlen(text); i-- > 0;) {
        cr_assert(process.node_count < NODES_MAX);
        nodes[process.node_count] = (struct node){.parent = parent, .frame = (unsigned char)text[i] + base};
        parent = (uint32_t)process.node_count++;
    }
    return parent;
}

static char letter_of(const struct frame *frame)
{
    if (frame->language == FRAME_CUT)
        return '|';
    if (frame->language == FRAME_PYTHON)
        return frame->function[0];
    if (strcmp(frame->function, "_PyEval_EvalFrameDefault") == 0)
        return 'E';
    if (strcmp(frame->function, "clear_thread_frame") == 0)
        return 'l';
    if (strncmp(frame->function, "native_", 7) == 0)
        return frame->function[7];
    return strcmp(frame->function, "??") == 0 ? 'i' : '!';
}

static void expect_merged(const char *native, const char *python, const char *wanted)
{
    char merged[256] = "";

    merge.table = NULL; /* the trace with this number becomes another */
    traces[1].native = make_stack(native, 0);
    traces[1].python = make_stack(python, 128);
    merge.table = NULL; /* it keeps the stack of a trace, which is another one now */
    cr_assert_eq(merge_trace(&merge, frame_table_of(symbols, &process), 1), 0);
    cr_assert(merge.size < sizeof(merged));
    for (size_t i = 0; i < merge.size; i++)
        merged[i] = letter_of(merge.frames[i]);
    cr_expect_str_eq(merged, wanted, "%s + %s: %s, not %s", native, python, merged, wanted);
}

Test(merge, an_evaluation_frame_becomes_what_it_ran)
{
    expect_merged("aEm", "X", "aXm");
    expect_merged("aEm", "pqX", "apqXm");
    expect_merged("EbEm", "pXqY", "pXbqYm");
    expect_merged("aEbEaEm", "XYZ", "aXbYaZm");
}

Test(merge, one_of_the_two_stacks_is_missing)
{
    expect_merged("", "", "");
    expect_merged("abm", "", "abm");
    expect_merged("aEm", "", "aEm");
    expect_merged("", "pXqY", "pXqY");
    expect_merged("", "pX|", "pX|");
    expect_merged("ab|", "", "ab|");
}

Test(merge, frames_of_the_shim_are_dropped)
{
    expect_merged("ssaEsm", "X", "aXm");
    expect_merged("s", "", "");
}

Test(merge, evaluation_frames_without_a_run_stay)
{
    expect_merged("aEbEm", "pX", "apXbEm");
}

/* What is left of the frame's locals runs Python code when the frame itself is off the chain. */
Test(merge, a_frame_being_left_has_no_run)
{
    expect_merged("alEbEm", "X", "alEbXm");
    expect_merged("aElEbEm", "XpY", "aXlEbpYm");
    expect_merged("alEbEm", "pXY", "alpXbYm"); /* the one left was not the outermost of its run */
    expect_merged("alEbE|", "X", "alXbE|");    /* nobody can tell */
}

Test(merge, python_frames_without_an_evaluation_frame_are_not_lost)
{
    expect_merged("aEm", "XpY", "aXpYm");    /* as near to their own as can be */
    expect_merged("aiim", "pXY", "apXYiim"); /* among the frames that have no names */
    expect_merged("abm", "pX", "abmpX");     /* nothing tells where */
    expect_merged("aEm", "pq", "apqm");      /* a run without its entry frame */
}

Test(merge, a_cut_native_stack_is_continued_by_python)
{
    expect_merged("aEb|", "pXqY", "apXb|qY");
    expect_merged("ab|", "pX", "ab|pX");
}

Test(merge, a_cut_python_stack_keeps_its_mark)
{
    expect_merged("aEbEm", "X|", "aXb|Em");
    expect_merged("aEbEm", "Xp|", "aXbp|m");
    expect_merged("aEm", "|", "a|Em");
    expect_merged("aEm", "X|", "aX|m");
}

Test(merge, two_cuts_at_one_place_are_one_mark)
{
    expect_merged("aEb|", "X|", "aXb|");
    expect_merged("aEb|", "XY|", "aXb|Y|");
}

Test(merge, evaluation_functions_that_call_each_other_are_one_run)
{
    expect_merged("aTm", "pX", "apXm");
    expect_merged("aTEm", "pX", "apXm");
    expect_merged("aTEbTEm", "pXY", "apXbYm");
    expect_merged("aEEm", "pXY", "apXYm");
}

Test(merge, deeper_than_any_recorded_stack_is_cut)
{
    char *text = malloc(5001);

    memset(text, 'a', 5000);
    text[5000] = '\0';
    traces[1].native = make_stack(text, 0);
    traces[1].python = 0;
    cr_assert_eq(merge_trace(&merge, frame_table_of(symbols, &process), 1), 0);
    cr_expect_lt(merge.size, 2000);
    cr_expect_eq(merge.frames[merge.size - 1]->language, FRAME_CUT);
    free(text);
}

Test(merge, frames_say_what_they_are)
{
    const struct frame *frame;

    traces[1].native = make_stack("aEi|", 0);
    traces[1].python = make_stack("X", 128);
    cr_assert_eq(merge_trace(&merge, frame_table_of(symbols, &process), 1), 0);
    cr_assert_eq(merge.size, 4);
    frame = merge.frames[0];
    cr_expect_eq(frame->language, FRAME_NATIVE);
    cr_expect_str_eq(frame->module, own.path);
    cr_expect_eq(frame->offset, OWN_ADDRESS(&own, native_a) + 2);
    cr_expect(!frame->runtime && !frame->inlined);
    frame = merge.frames[1];
    cr_expect_eq(frame->language, FRAME_PYTHON);
    cr_expect_str_eq(frame->file, "x.py");
    cr_expect_eq(frame->line, 0, "there is no line table");
    cr_expect_null(frame->module);
    frame = merge.frames[2];
    cr_expect_str_eq(frame->function, "??");
    cr_expect(frame->runtime);
    cr_expect_eq(merge.frames[3]->offset, 9);
}

Test(merge, which_frames_are_of_the_runtime)
{
    static const struct {
        const char *module;
        bool runtime;
    } cases[] = {
        {"/usr/bin/python3.11", true},
        {"/opt/bin/python", true},
        {"/usr/bin/pythonic-tool/ext.so", false},
        {"/usr/lib/libpython3.14d.so.1.0", true},
        {"/lib64/ld-linux-x86-64.so.2", true},
        {"/lib/libc.so.6", true},
        {"/lib/libc-2.31.so", true},
        {"/lib/libcrypto.so.3", false},
        {"/lib/libstdc++.so.6", true},
        {"/lib/libm.so.6", true},
        {"/lib/libmagic.so.1", false},
        {"[vdso]", true},
        {"linux-vdso.so.1", true},
        {"/usr/lib/python3.11/lib-dynload/_json.so", true},
        {"/usr/lib/python3/dist-packages/lxml/etree.so", false},
    };
    static struct module many[32];
    static struct raw_frame raw[32];
    struct process other = {.modules = many, .module_count = 32, .frames = raw, .frame_count = 32};

    for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        many[i + 1].path = cases[i].module;
        many[i + 1].build_id = "00"; /* never the file that may be there */
        raw[i + 1] = (struct raw_frame){.index = i + 1, .offset = 5};
    }
    for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(frame_table_resolve(frame_table_of(symbols, &other), i + 1)->frames[0].frame.runtime,
                     cases[i].runtime, "%s", cases[i].module);
}

Test(merge, importing_is_part_of_the_runtime)
{
    static struct code other_codes[3] = {{.file = "??"},
                                         {.file = "<frozen importlib._bootstrap>", .name = "_find"},
                                         {.file = "/srv/importlib_tricks.py", .name = "f"}};
    static struct raw_frame raw[3] = {
        {0}, {.language = FRAME_PYTHON, .index = 1}, {.language = FRAME_PYTHON, .index = 2}};
    struct process other = {.codes = other_codes, .code_count = 3, .frames = raw, .frame_count = 3};
    struct frame_table *table = frame_table_of(symbols, &other);

    cr_expect(frame_table_resolve(table, 1)->frames[0].frame.runtime);
    cr_expect_str_eq(frame_table_resolve(table, 1)->frames[0].frame.function, "_find");
    cr_expect(!frame_table_resolve(table, 2)->frames[0].frame.runtime);
}
