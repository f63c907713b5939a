/* SPDX-License-Identifier: MIT */
#include "compiler.h"
#include "frames.h"
#include "out_machine.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define EVIL "</script><script>alert(1)</script><!--\x01\x1b\xff\xc2\x85\xe2\x80\xa8\xe2\x80\xa9&\"'\\"
#define LEAKS_MAX 60000 /* more than get rows of their own */

static const struct known_frame frames[] = {
    {.frame = {.language = FRAME_NATIVE, .function = "malloc", .module = "/lib/libc.so.6", .runtime = true}},
    {.frame = {.language = FRAME_NATIVE, .function = EVIL, .file = EVIL, .line = 12, .module = EVIL, .inlined = true}},
    {.frame = {.language = FRAME_PYTHON, .function = EVIL, .file = EVIL, .line = 7}},
    {.frame = {.language = FRAME_PYTHON, .function = "main", .file = "app.py", .line = 1}},
    {.frame = {.language = FRAME_CUT, .function = "??", .offset = 3}},
};
static const struct frame *inner[] = {&frames[0].frame, &frames[1].frame, &frames[3].frame, &frames[4].frame};
static const struct frame *other[] = {&frames[2].frame, &frames[3].frame, &frames[4].frame};

static const char *evil_list[] = {EVIL};
static struct process first = {.pid = 7,
                               .program = EVIL,
                               .argv = evil_list,
                               .argc = 1,
                               .lacks = evil_list,
                               .lacks_count = 1,
                               .ended = EVIL,
                               .started = EVIL,
                               .options = EVIL,
                               .python = EVIL};
static struct process second = {.pid = 8, .program = "b", .ended = "exit", .totals = {.allocations = 5}};
static struct process *processes[] = {&first, &second};
static struct model model = {.processes = processes, .process_count = 2};
static struct leak items[LEAKS_MAX];
static struct leaks leaks = {.items = items};
static struct output_options options = {.top = OUTPUT_TOP_DEFAULT};

static struct stack_source usual_stack = {.stack = {.frames = inner, .size = ARRAY_SIZE(inner)}};

static struct leak *add_leak(struct process *process, enum leak_kind kind, uint64_t bytes)
{
    items[leaks.count] = (struct leak){.process = process,
                                       .kind = kind,
                                       .known = true,
                                       .domain = EVIL,
                                       .type = EVIL,
                                       .blocks = 2,
                                       .bytes = bytes,
                                       .source = &usual_stack,
                                       .fingerprint = "00112233445566778899aabbccddeeff"};
    return &items[leaks.count++];
}

static char *report(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct output_job job;
    output_job_init(&job, &out_html, &options, &model, &leaks, out);
    cr_assert_eq(output_report(&job, &out_html, &leaks, NULL), 0);
    cr_expect_null(job.state);
    fclose(out);
    return text;
}

/* What stands in the element with the data, as a text of its own. */
static char *data_of(const char *page)
{
    static const char start[] = "<script type=\"application/json\" id=\"data\">";
    const char *from = strstr(page, start);
    cr_assert(from, "no data in the page");
    from += strlen(start);
    const char *to = strstr(from, "</script>");
    cr_assert(to);
    return strndup(from, (size_t)(to - from));
}

static json_t *parse(char *page)
{
    char *data = data_of(page);
    json_error_t error;
    json_t *json = json_loads(data, JSON_REJECT_DUPLICATES, &error);
    cr_assert(json, "%d: %s\n%s", error.line, error.text, data);
    free(data);
    free(page);
    return json;
}

static json_t *row(const json_t *json, const char *key, size_t index)
{
    return json_array_get(json_object_get(json, key), index);
}

static json_int_t number(const json_t *array, size_t column)
{
    return json_integer_value(json_array_get(array, column));
}

/* Follows a node to the outermost frame; returns their numbers, innermost first. */
static size_t walk(const json_t *json, json_int_t node, json_int_t *ret, size_t max)
{
    const json_t *nodes = json_object_get(json, "nodes");
    size_t count = 0;
    for (; node > 0 && count < max; node = number(nodes, (size_t)(2 * node - 2)))
        ret[count++] = number(nodes, (size_t)(2 * node - 1));
    return count;
}

Test(out_html, data_cannot_leave_its_element)
{
    add_leak(&first, LEAK_DEFINITE, 16);
    char *page = report(), *data = data_of(page);
    cr_expect_null(strpbrk(data, "<>&"), "markup in the data");
    cr_expect_null(strstr(data, "\xe2\x80\xa8"));
    cr_expect_null(strstr(data, "\xe2\x80\xa9"));
    cr_expect_null(strstr(data, "\xc2\x85"));
    for (const char *p = data; *p; p++)
        cr_expect((unsigned char)*p >= 0x20 || *p == '\n', "control character %d", *p);
    free(data);
    json_t *json = parse(page);
    cr_expect_str_eq(
        json_string_value(json_object_get(row(json, "processes", 0), "program")),
        "</script><script>alert(1)</script><!--\x01\x1b\xef\xbf\xbd\xc2\x85\xe2\x80\xa8\xe2\x80\xa9&\"'\\");
    json_decref(json);
}

Test(out_html, page_is_whole)
{
    char *page = report();
    cr_expect_eq(strncmp(page, "<!DOCTYPE html>\n", 16), 0);
    cr_expect_not_null(
        strstr(page, "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-"));
    cr_expect_null(strstr(page, "unsafe-"));
    cr_expect_null(strstr(page, " src=\""), "nothing is loaded");
    cr_expect_null(strstr(page, "@POLICY@"));
    cr_expect_str_eq(page + strlen(page) - strlen("</html>\n"), "</html>\n");
    free(page);
}

Test(out_html, rows_and_stacks)
{
    add_leak(&second, LEAK_DEFINITE, 100);
    struct leak *leak = add_leak(&first, LEAK_REACHABLE, 50);
    leak->startup = true;
    leak->source = &(struct stack_source){.stack = {.frames = other, .size = ARRAY_SIZE(other)}};
    json_t *json = parse(report());
    cr_expect_eq(json_array_size(json_object_get(json, "leaks")), 2, "startup is there without --show");
    const json_t *a = row(json, "leaks", 0), *b = row(json, "leaks", 1);
    cr_expect_eq(number(a, 0), 1);
    cr_expect_str_eq(json_string_value(json_array_get(a, 1)), "definite");
    cr_expect_eq(number(a, 2), 1);
    cr_expect_eq(number(b, 2), 3);
    cr_expect_eq(number(a, 5), 100);

    json_int_t x[8], y[8];
    cr_assert_eq(walk(json, number(a, 10), x, 8), ARRAY_SIZE(inner));
    cr_assert_eq(walk(json, number(b, 10), y, 8), ARRAY_SIZE(other));
    cr_expect_eq(x[3], y[2], "callers are shared");
    cr_expect_eq(x[2], y[1]);
    cr_expect_neq(x[1], y[0]);
    cr_expect_eq(json_array_size(json_object_get(json, "nodes")), 2 * 5);
    const json_t *frame = row(json, "frames", (size_t)x[1]);
    cr_expect_eq(number(frame, 0), 4, "inlined");
    cr_expect_eq(number(frame, 3), 12);
    cr_expect_eq(number(row(json, "frames", (size_t)x[0]), 0), 8, "runtime");
    json_decref(json);
}

Test(out_html, frames_that_are_not_wanted)
{
    add_leak(&first, LEAK_DEFINITE, 100);
    options.frames = STACK_PYTHON;
    json_t *json = parse(report());
    json_int_t found[8];
    cr_expect_eq(walk(json, number(row(json, "leaks", 0), 10), found, 8), 2);
    json_decref(json);
}

/* What gets no row is summed up by process and kind: nothing is lost. */
Test(out_html, many_leaks)
{
    for (int i = 0; i < LEAKS_MAX; i++)
        add_leak(i % 2 ? &first : &second, i % 3 ? LEAK_REACHABLE : LEAK_POSSIBLE, 8);
    json_t *json = parse(report());
    const json_t *rows = json_object_get(json, "leaks");
    json_int_t stacks = 0, bytes = 0, rests = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *leak = json_array_get(rows, i);
        stacks += number(leak, 3);
        bytes += number(leak, 5);
        rests += json_is_null(json_array_get(leak, 9));
    }
    cr_expect_eq(rests, 4);
    cr_expect_lt(json_array_size(rows), LEAKS_MAX);
    cr_expect_eq(stacks, LEAKS_MAX);
    cr_expect_eq(bytes, 8 * LEAKS_MAX);
    json_decref(json);

    options.top = 0;
    json = parse(report());
    cr_expect_eq(json_array_size(json_object_get(json, "leaks")), LEAKS_MAX);
    json_decref(json);

    options.top = 10;
    json = parse(report());
    cr_expect_eq(json_array_size(json_object_get(json, "leaks")), 10);
    cr_expect_eq(number(json_object_get(json, "hidden"), 0), LEAKS_MAX - 10);
    json_decref(json);
}

Test(out_html, nothing_at_all)
{
    model.process_count = 0;
    json_t *json = parse(report());
    cr_expect_eq(json_array_size(json_object_get(json, "leaks")), 0);
    cr_expect_eq(json_array_size(json_object_get(json, "errors")), 0);
    cr_expect_eq(json_array_size(json_object_get(json, "allocations")), 0);
    json_decref(json);
}

static char *difference(const struct diff *diff)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct output_job job;
    output_job_init(&job, &out_html, &options, &model, NULL, out);
    cr_assert_eq(out_html.diff(&job, diff), 0);
    cr_expect_null(job.state);
    fclose(out);
    return text;
}

Test(out_html, differences)
{
    struct diff_item changes[] = {
        {.leak = add_leak(&first, LEAK_DEFINITE, 100), .new_blocks = 3, .new_bytes = 30, .change = DIFF_NEW},
        {.leak = add_leak(&first, LEAK_DEFINITE, 100), .old_blocks = 1, .old_bytes = 10, .change = DIFF_GONE}};
    struct diff diff = {
        .items = changes, .count = 2, .changes = {[DIFF_NEW] = 1, [DIFF_GONE] = 1}, .old_bytes = 10, .new_bytes = 30};
    json_t *json = parse(difference(&diff));
    cr_expect_str_eq(json_string_value(json_object_get(json, "mode")), "diff");
    cr_expect_eq(json_array_size(json_object_get(json, "changes")), 2);
    cr_expect_str_eq(json_string_value(json_array_get(row(json, "changes", 1), 0)), "gone");
    cr_expect_eq(number(row(json, "changes", 1), 4), 10);
    cr_expect_eq(number(row(json, "changes", 0), 6), 30);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(json, "sums"), "new_bytes")), 30);
    json_decref(json);

    options.top = 1;
    json = parse(difference(&diff));
    cr_expect_eq(json_array_size(json_object_get(json, "changes")), 1);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(json, "sums"), "hidden")), 1);
    json_decref(json);
}
