/* SPDX-License-Identifier: MIT */
#include "out_machine.h"

#include "compiler.h"
#include "frames.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LEAKS_MAX 40

/* Frames of stacks are the first members of known ones. */
static const struct known_frame frames[] = {
    {.frame =
         {.language = FRAME_NATIVE, .function = "malloc", .module = "/lib/libc.so.6", .offset = 16, .runtime = true}},
    {.frame =
         {.language = FRAME_NATIVE, .function = "a;b\nc", .file = "dir, a:b/ext.c", .line = 12, .module = "/x/e.so"}},
    {.frame = {.language = FRAME_PYTHON, .function = "f<&\"'|`\x01\xff", .file = "dir, a:b/app.py", .line = 7}},
    {.frame = {.language = FRAME_CUT, .function = "??", .offset = 3}},
};
static const struct frame *stack_frames[] = {&frames[0].frame, &frames[1].frame, &frames[2].frame, &frames[3].frame};

static struct process process = {.pid = 7, .program = "=py\"<", .ended = "exit", .started = "2026-01-31T12:00:00Z"};
static struct process *processes[] = {&process};
static struct model model = {.processes = processes, .process_count = 1};
static struct leak items[LEAKS_MAX];
static struct leaks leaks = {.items = items};
static struct output_options options = {.top = OUTPUT_TOP_DEFAULT};

static struct stack_source usual_stack = {.stack = {.frames = stack_frames, .size = ARRAY_SIZE(stack_frames)}};

static void add_leak(enum leak_kind kind, bool known, uint64_t bytes)
{
    items[leaks.count++] = (struct leak){.process = &process,
                                         .kind = kind,
                                         .known = known,
                                         .domain = "malloc",
                                         .type = "t,\"<\n]('",
                                         .blocks = 2,
                                         .bytes = bytes,
                                         .source = &usual_stack,
                                         .fingerprint = "00112233445566778899aabbccddeeff"};
}

static char *report(const struct output *output)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct output_job job;
    output_job_init(&job, output, &options, &model, &leaks, out);
    cr_assert_eq(output_report(&job, output, &leaks, NULL), 0, "%s", output->name);
    fclose(out);
    return text;
}

static void expect_has(const struct output *output, const char *want)
{
    char *text = report(output);
    cr_expect_not_null(strstr(text, want), "%s: want:\n%s\nin:\n%s", output->name, want, text);
    free(text);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

static json_t *parse(const struct output *output)
{
    char *text = report(output);
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);
    cr_assert(json, "%s:%d: %s\n%s", output->name, error.line, error.text, text);
    free(text);
    return json;
}

Test(out_machine, json_documents_are_json)
{
    static const struct output *const outputs[] = {&out_sarif, &out_gitlab, &out_speedscope, &out_dhat};
    for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
        leaks.count = 0;
        json_decref(parse(outputs[i]));
        add_leak(LEAK_DEFINITE, true, 16);
        add_leak(LEAK_REACHABLE, false, 8);
        json_decref(parse(outputs[i]));
    }
}

/* Nothing is lost or left behind when the disk is full. */
Test(out_machine, write_errors_are_reported)
{
    size_t count;
    const struct output *const *formats = output_formats(&count);
    for (int i = 0; i < LEAKS_MAX; i++)
        add_leak(LEAK_DEFINITE, true, 16);
    for (size_t i = 0; i < count; i++) {
        FILE *out = fopen("/dev/full", "w");
        struct output_job job;
        setvbuf(out, NULL, _IONBF, 0);
        output_job_init(&job, formats[i], &options, &model, &leaks, out);
        cr_expect_lt(output_report(&job, formats[i], &leaks, NULL), 0, "%s", formats[i]->name);
        cr_expect_null(job.state);
        fclose(out);
    }
}

Test(out_machine, extensions)
{
    static const struct {
        const char *path, *want;
    } rows[] = {{"x.json", "json"},
                {"x.speedscope.json", "speedscope"},
                {"x.dhat.json", "dhat"},
                {"x.sarif", "sarif"},
                {"x.md", "markdown"},
                {"x.xml", "junit"},
                {"x.prom", "openmetrics"},
                {"x.csv", "csv"},
                {"x.html", "html"},
                {"x.collapsed", "collapsed"},
                {"x", "text"},
                {"dir/gl-code-quality-report.json", "gitlab"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect_str_eq(output_find(NULL, rows[i].path)->name, rows[i].want, "%s", rows[i].path);
    cr_expect_null(output_find("xyz", NULL));
    cr_expect_str_eq(output_find("github", "x.json")->name, "github");
}

Test(out_machine, github_shows_ten_of_each_level)
{
    for (int i = 0; i < 13; i++)
        add_leak(LEAK_DEFINITE, true, 100);
    for (int i = 0; i < 2; i++)
        add_leak(LEAK_POSSIBLE, true, 50);
    for (int i = 0; i < 12; i++)
        add_leak(LEAK_REACHABLE, false, 8); /* a guess: what a scan found reachable is not worth a line */
    add_leak(LEAK_REACHABLE, true, 8);
    char *text = report(&out_github);
    cr_expect_eq(count_of(text, "::error "), 10);
    cr_expect_eq(count_of(text, "::warning "), 2);
    cr_expect_eq(count_of(text, "::notice "), 10);
    cr_expect_not_null(strstr(text, "\n::notice title=memshim::6 more findings not shown here\n"));
    free(text);
}

Test(out_machine, github_escapes)
{
    add_leak(LEAK_DEFINITE, true, 100);
    items[0].type = "100%";
    expect_has(&out_github,
               "::error file=dir%2C a%3Ab/ext.c,line=12,endLine=12,title=memshim%3A definite leak::100 bytes "
               "in 2 blocks definitely lost (malloc, 100%25)%0A    ");
    char *text = report(&out_github);
    cr_expect_eq(count_of(text, "\n"), 1, "one line:\n%s", text);
    free(text);
}

Test(out_machine, gitlab_fingerprints_differ)
{
    json_t *none = parse(&out_gitlab);
    cr_expect_eq(json_array_size(none), 0);
    json_decref(none);
    for (int i = 0; i < 3; i++)
        add_leak(LEAK_DEFINITE, true, 100);
    json_t *all = parse(&out_gitlab);
    const char *a = json_string_value(json_object_get(json_array_get(all, 0), "fingerprint"));
    const char *b = json_string_value(json_object_get(json_array_get(all, 1), "fingerprint"));
    const char *c = json_string_value(json_object_get(json_array_get(all, 2), "fingerprint"));
    cr_expect_str_eq(a, items[0].fingerprint);
    cr_expect_str_neq(a, b);
    cr_expect_str_neq(b, c);
    json_decref(all);
}

Test(out_machine, junit_counts)
{
    expect_has(&out_junit, "tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"0\"");
    add_leak(LEAK_DEFINITE, true, 100);
    add_leak(LEAK_POSSIBLE, true, 50);
    add_leak(LEAK_REACHABLE, true, 40);
    add_leak(LEAK_REACHABLE, false, 30);
    expect_has(&out_junit, "tests=\"4\" failures=\"2\" errors=\"0\" skipped=\"1\"");
}

Test(out_machine, junit_names_have_no_counts)
{
    add_leak(LEAK_DEFINITE, true, 100);
    char *before = report(&out_junit);
    items[0].bytes = 200;
    items[0].blocks = 9;
    char *after = report(&out_junit);
    char *name = strstr(before, "<testcase"), *end = strchr(name, '>');
    *end = '\0';
    cr_expect_not_null(strstr(after, name));
    free(before);
    free(after);
}

Test(out_machine, collapsed_names)
{
    add_leak(LEAK_DEFINITE, true, 100);
    expect_has(&out_collapsed, "(frames cut by stack_depth);f<&\"'|` \xff (app.py);a:b c;malloc 100\n");
    options.frames = STACK_PYTHON;
    expect_has(&out_collapsed, "f<&\"'|` \xff (app.py) 100\n");
}

Test(out_machine, dhat_adds_up_equal_stacks)
{
    add_leak(LEAK_DEFINITE, true, 100);
    add_leak(LEAK_REACHABLE, true, 11);
    json_t *all = parse(&out_dhat);
    json_t *points = json_object_get(all, "pps");
    cr_expect_eq(json_array_size(points), 1);
    cr_expect_eq(json_integer_value(json_object_get(json_array_get(points, 0), "tb")), 111);
    cr_expect_eq(json_integer_value(json_object_get(json_array_get(points, 0), "tbk")), 4);
    json_decref(all);
}

Test(out_machine, openmetrics_ends_as_it_must)
{
    add_leak(LEAK_DEFINITE, true, 100);
    char *text = report(&out_openmetrics);
    size_t length = strlen(text);
    cr_expect_str_eq(text + length - strlen("\n# EOF\n"), "\n# EOF\n");
    cr_expect_not_null(strstr(text, "\nmemshim_leaked_bytes{kind=\"definite\"} 100\n"));
    cr_expect_not_null(strstr(text, "\nmemshim_leaked_bytes{kind=\"unknown\"} 0\n"), "series do not come and go");
    free(text);
}

Test(out_machine, markdown_is_inert)
{
    process.lacks = (const char *[]){"<script>\n# x|y"};
    process.lacks_count = 1;
    expect_has(&out_markdown, "> process 7: &lt;script&gt;");
    add_leak(LEAK_DEFINITE, true, 100);
    char *text = report(&out_markdown);
    cr_expect_eq(count_of(text, "\n# "), 0);
    cr_expect_eq(count_of(text, "\n```"), 2, "one block");
    free(text);
}

static char *diff_text(const struct output *output)
{
    struct diff_item change = {
        .leak = &items[0], .old_blocks = 1, .old_bytes = 10, .new_blocks = 3, .new_bytes = 30, .change = DIFF_GROWN};
    struct diff diff = {.items = &change, .count = 1, .changes = {[DIFF_GROWN] = 1}};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct output_job job;
    output_job_init(&job, output, &options, &model, NULL, out);
    cr_assert_eq(output->diff(&job, &diff), 0);
    fclose(out);
    return text;
}

Test(out_machine, diffs)
{
    static const struct {
        const struct output *output;
        const char *want;
    } rows[] = {{&out_sarif, "\"baselineState\":\"updated\""},
                {&out_sarif, "30 bytes in 3 blocks"},
                {&out_collapsed, ";malloc 10 30\n"},
                {&out_csv, "grown,definite,malloc,\"t,\"\"<\n](\",1,10,3,30,"},
                {&out_markdown, "<b>grown</b>: 10 &rarr; 30 bytes"}};
    add_leak(LEAK_DEFINITE, true, 100);
    items[0].type = "t,\"<\n](";
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *text = diff_text(rows[i].output);
        cr_expect_not_null(strstr(text, rows[i].want), "want:\n%s\nin:\n%s", rows[i].want, text);
        free(text);
    }
}

static char *gate_text(const struct output *output, const struct gate_verdict *verdict)
{
    static const struct gate_limits limits;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct output_job job;
    output_job_init(&job, output, &options, &model, &leaks, out);
    cr_assert_eq(output->gate(&job, &limits, verdict), 0);
    fclose(out);
    return text;
}

Test(out_machine, gates)
{
    static const struct gate_verdict failed = {
        .counts = {.bytes = {[LEAK_DEFINITE] = 16}, .blocks = {[LEAK_DEFINITE] = 2}, .known = true},
        .reasons = {{.rule = GATE_BYTES, .scope = LEAK_DEFINITE, .limit = 5}},
        .reason_count = 1,
        .command_end = "\"x\" was killed"};
    static const struct gate_verdict passed = {.passed = true};
    static const struct {
        const struct output *output;
        const char *failed, *passed;
    } rows[] = {
        {&out_github,
         "::error title=memshim%3A gate failed::16 bytes in 2 blocks definitely lost exceed --max-bytes "
         "definite=5\n",
         "::notice title=memshim::gate passed\n"},
        {&out_junit, "tests=\"2\" failures=\"2\"", "tests=\"1\" failures=\"0\""},
        {&out_markdown, "the gate failed\n\n- \"x\" was killed\n- 16 bytes in 2 blocks definitely lost exceed",
         "the gate passed\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *bad = gate_text(rows[i].output, &failed), *good = gate_text(rows[i].output, &passed);
        cr_expect_not_null(strstr(bad, rows[i].failed), "want:\n%s\nin:\n%s", rows[i].failed, bad);
        cr_expect_not_null(strstr(good, rows[i].passed), "want:\n%s\nin:\n%s", rows[i].passed, good);
        free(bad);
        free(good);
    }
}
