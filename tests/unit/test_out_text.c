/* SPDX-License-Identifier: MIT */
#include "out_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct frame frames[] = {
    {.language = FRAME_NATIVE, .function = "malloc_wrap", .module = "/lib/libpython.so", .offset = 16, .runtime = true},
    {.language = FRAME_NATIVE, .function = "leak_here", .file = "ext.c", .line = 12, .module = "/x/ext.so"},
    {.language = FRAME_PYTHON, .function = "work", .file = "/somewhere/app.py", .line = 7},
    {.language = FRAME_NATIVE, .function = "Py_RunMain", .module = "/bin/python3", .offset = 0x20, .runtime = true},
    {.language = FRAME_NATIVE, .function = "main", .module = "/bin/python3", .offset = 0x30, .runtime = true},
    {.language = FRAME_CUT, .function = "??", .offset = 3},
};
static const struct frame *all[] = {&frames[0], &frames[1], &frames[2], &frames[3], &frames[4], &frames[5]};
static const struct frame *runtime_only[] = {&frames[0], &frames[3], &frames[4]};

static struct process process = {.pid = 7,
                                 .program = "python3",
                                 .python = "3.11.2",
                                 .ended = "exit",
                                 .started = "2026-01-31T12:00:00.000000Z",
                                 .path = "r.jsonl"};
static struct process *processes[] = {&process};
static struct model model = {.processes = processes, .process_count = 1};
static struct leak items[3];
static struct leaks leaks = {.items = items};
static struct output_options options = {.top = OUTPUT_TOP_DEFAULT};

static struct stack_source usual_stack = {.stack = {.frames = all, .size = 6}};

static void add_leak(uint64_t blocks, uint64_t bytes, bool startup)
{
    items[leaks.count++] = (struct leak){.process = &process,
                                         .kind = LEAK_REACHABLE,
                                         .domain = "malloc",
                                         .startup = startup,
                                         .blocks = blocks,
                                         .bytes = bytes,
                                         .source = &usual_stack,
                                         .fingerprint = "00"};
}

/* The whole report, malloc'ed. */
static char *report(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct output_job job;
    output_job_init(&job, &out_text, &options, &model, &leaks, out);
    cr_assert_eq(output_report(&job, &out_text, &leaks, NULL), 0);
    fclose(out);
    return text;
}

static void expect_has(const char *want)
{
    char *text = report();
    cr_expect_not_null(strstr(text, want), "want:\n%s\nin:\n%s", want, text);
    free(text);
}

static void expect_lacks(const char *unwanted)
{
    char *text = report();
    cr_expect_null(strstr(text, unwanted), "do not want:\n%s\nin:\n%s", unwanted, text);
    free(text);
}

Test(out_text, a_leak_with_its_stack)
{
    add_leak(100, 1600, false);
    expect_has("process 7: python3 (Python 3.11.2), exited with status 0\n"
               "\n"
               "1,600 bytes in 100 blocks still allocated (malloc), #1 of 1\n"
               "    ... 1 runtime frame (--show runtime)\n"
               "    #1 leak_here (ext.c:12) in ext.so\n"
               "    #2 py  work (/somewhere/app.py:7)\n"
               "    ... 2 runtime frames (--show runtime)\n"
               "    ... 3 more frames cut by stack_depth\n"
               "\n"
               "SUMMARY: 1 leak, 1,600 bytes in 100 blocks still allocated\n");
}

Test(out_text, runtime_frames_on_request)
{
    add_leak(1, 1, false);
    options.show = SHOW_RUNTIME;
    expect_has("    #0 malloc_wrap in libpython.so+0x10\n    #1 leak_here");
    expect_lacks("--show runtime");
}

Test(out_text, a_stack_of_runtime_frames_only_is_shown)
{
    add_leak(1, 1, false);
    items[0].source = &(struct stack_source){.stack = {.frames = runtime_only, .size = 3}};
    expect_has("    #0 malloc_wrap in libpython.so+0x10\n    #1 Py_RunMain in python3+0x20\n    #2 main");
}

Test(out_text, frames_of_one_language)
{
    add_leak(1, 1, false);
    options.frames = STACK_PYTHON;
    expect_has("#1 of 1\n    #2 py  work (/somewhere/app.py:7)\n    ... 3 more");
    options.frames = STACK_NATIVE;
    expect_lacks("app.py");
}

Test(out_text, no_stack_is_said)
{
    add_leak(1, 1, false);
    items[0].source = NULL;
    expect_has("    (no stack recorded)\n");
}

Test(out_text, known_kinds_and_types)
{
    add_leak(1, 64, false);
    items[0].known = true;
    items[0].kind = LEAK_DEFINITE;
    items[0].domain = "obj";
    items[0].type = "list";
    expect_has("64 bytes in 1 block definitely lost (obj, list), #1 of 1\n");
    expect_has("SUMMARY: 1 leak, 64 bytes in 1 block definitely lost\n");
}

Test(out_text, startup_leaks_are_counted_and_shown_on_request)
{
    add_leak(2, 32, true);
    expect_has("SUMMARY: no leaks; startup: 2 blocks, 32 bytes (--show startup)\n");
    expect_lacks("#1 of");
    options.show = SHOW_STARTUP;
    expect_has("32 bytes in 2 blocks still allocated (malloc), #1 of 1, startup\n");
}

Test(out_text, what_is_not_shown_is_counted)
{
    add_leak(3, 300, false);
    add_leak(2, 200, false);
    add_leak(1, 100, false);
    options.top = 1;
    expect_has("#1 of 3\n");
    expect_has("not shown: 2 more leaks, 300 bytes in 3 blocks (--top 0 shows all)\n");
    expect_has("SUMMARY: 3 leaks, 600 bytes in 6 blocks still allocated\n");
    options.top = 0;
    expect_has("#3 of 3\n");
    options.min_bytes = 150;
    expect_has("#2 of 2\n");
    expect_has("not shown: 1 more leak, 100 bytes in 1 block\n");
}

Test(out_text, kinds_that_are_not_wanted_are_hidden)
{
    add_leak(3, 300, false);
    options.kinds = 1u << LEAK_DEFINITE;
    expect_lacks("#1 of");
}

Test(out_text, nothing_leaked)
{
    expect_has("SUMMARY: no leaks\n");
}

Test(out_text, errors_come_first)
{
    struct memory_error error = {
        .kind = "overflow", .domain = "mem", .detail = "wrote behind", .size = 16, .address = 0xabc, .count = 2};
    process.errors = &error;
    process.error_count = 1;
    add_leak(1, 1, false);
    expect_has("\nERROR: overflow: block of 16 bytes at 0xabc (mem): wrote behind, 2 times, #1 of 1\n");
    expect_has("SUMMARY: 1 error, 1 leak,");
}

Test(out_text, ends_and_gaps_are_stated)
{
    static const char *lacks[] = {"the unwinder could not be loaded"};
    process.ended = "signal";
    process.status = 9;
    process.truncated = true;
    process.totals.dropped = 1234;
    process.lacks = lacks;
    process.lacks_count = 1;
    process.options = "leak_check=0";
    expect_has("killed by signal 9 (SIGKILL)\n");
    expect_has("note: the report is truncated");
    expect_has("note: 1,234 events could not be recorded\n");
    expect_has("note: the unwinder could not be loaded\n");
    expect_has("note: leaks were not looked for (leak_check=0)\n");
    expect_has("SUMMARY: no leaks in the part that could be read");
}

Test(out_text, an_unknown_signal_has_no_name)
{
    process.ended = "signal";
    process.status = 1000;
    expect_has("killed by signal 1000\n");
}

Test(out_text, nothing_from_a_report_reaches_the_terminal_raw)
{
    struct frame evil = {.language = FRAME_PYTHON, .function = "f\033[31m", .file = "a\nb.py", .line = 1};
    const struct frame *list[] = {&evil};
    struct memory_error error = {.kind = "k\033", .domain = "d\033", .detail = "x\033"};
    static const char *lacks[] = {"l\033"};
    add_leak(1, 1, false);
    items[0].source = &(struct stack_source){.stack = {.frames = list, .size = 1}};
    items[0].domain = "o\033";
    items[0].type = "t\033";
    process.program = "p\033";
    process.python = "3\033";
    process.lacks = lacks;
    process.lacks_count = 1;
    process.errors = &error;
    process.error_count = 1;
    expect_lacks("\033");
    expect_has("py  f\\x1b[31m (a\\nb.py:1)\n");
}

Test(out_text, many_quiet_processes_are_one_line)
{
    static struct process quiet[30];
    static struct process *many[30];
    for (size_t i = 0; i < 30; i++) {
        quiet[i] = process;
        quiet[i].pid = 100 + (int)i;
        many[i] = &quiet[i];
    }
    quiet[20].totals.live_bytes = 1000;
    quiet[25].ended = "killed";
    model = (struct model){.processes = many, .process_count = 30};
    expect_has("and 19 more processes that ended by exit or exec\n");
    expect_has("process 108: ");
    expect_lacks("process 109: ");
    expect_has("process 120: "); /* what left most is always there */
    expect_has("process 125: "); /* so is what ended badly */
}

Test(out_text, a_leak_of_several_processes_says_so)
{
    static struct process *two[2] = {&process, &process};
    model = (struct model){.processes = two, .process_count = 2};
    add_leak(1, 1, false);
    expect_has("#1 of 1, in process 7\n");
    items[0].processes = 2;
    expect_has("#1 of 1, in 2 processes\n");
}

Test(out_text, a_verdict)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct output_job job;
    struct gate_limits limits = {.leaks[GATE_BYTES][GATE_TOTAL] = {true, 0}};
    struct gate_counts counts;
    struct gate_verdict verdict;
    add_leak(100, 1600, false);
    gate_count(&model, &leaks, &counts);
    gate_decide(&limits, &counts, &verdict);
    output_job_init(&job, &out_text, &options, &model, &leaks, out);
    cr_expect_eq(out_text.gate(&job, &limits, &verdict), 0);
    fclose(out);
    cr_expect_str_eq(
        text, "memshim: gate failed: 1,600 bytes in 100 blocks still allocated exceed --max-bytes 0; see ext.c:12 in "
              "leak_here\n");
    free(text);
}
