/* SPDX-License-Identifier: MIT */
#include "out_json.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct frame frames[] = {
    {.language = FRAME_NATIVE,
     .function = "leak_here",
     .file = "ext.c",
     .line = 12,
     .module = "/x/ext.so",
     .offset = 0x1234},
    {.language = FRAME_PYTHON, .function = "work", .file = "app.py", .line = 7},
    {.language = FRAME_NATIVE, .function = "??", .runtime = true},
    {.language = FRAME_CUT, .function = "??"},
};
static const struct frame *all[] = {&frames[0], &frames[1], &frames[2], &frames[3]};
static const char *arguments[] = {"python3", "x.py"};
static struct process process = {
    .pid = 7, .ppid = 6, .ended = "exit", .status = 3, .started = "2026-01-31T12:00:00.000000Z"};
static struct process *processes[] = {&process, &process};
static struct model model = {.processes = processes, .process_count = 1};
static struct leak items[2];
static struct leaks leaks = {.items = items};
static struct output_options options = {.top = OUTPUT_TOP_DEFAULT};

static struct stack_source usual_stack = {.stack = {.frames = all, .size = 4}};

static void add_leak(bool startup)
{
    items[leaks.count++] = (struct leak){.process = &process,
                                         .kind = LEAK_REACHABLE,
                                         .domain = "malloc",
                                         .startup = startup,
                                         .blocks = 100,
                                         .bytes = 1600,
                                         .source = &usual_stack,
                                         .fingerprint = "0123456789abcdef"};
}

/* What `write` (or, NULL, the report) gives, parsed. */
static json_t *parsed(int (*write)(struct output_job *job))
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct output_job job;
    output_job_init(&job, &out_json, &options, &model, &leaks, out);
    cr_assert_eq(write ? write(&job) : output_report(&job, &out_json, &leaks, NULL), 0);
    fclose(out);
    json_error_t error;
    json_t *document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(document, "%d: %s in\n%s", error.line, error.text, text);
    free(text);
    return document;
}

Test(out_json, an_empty_document_has_its_lists)
{
    model.process_count = 0;
    json_t *document = parsed(NULL);
    cr_expect_str_eq(json_string_value(json_object_get(document, "schema")), "memshim-report/1");
    static const char *const lists[] = {"processes", "leaks", "errors"};
    for (size_t i = 0; i < 3; i++) {
        cr_expect(json_is_array(json_object_get(document, lists[i])), "%s", lists[i]);
        cr_expect_eq(json_array_size(json_object_get(document, lists[i])), 0);
    }
    json_decref(document);
}

Test(out_json, a_process)
{
    process.argv = arguments;
    process.argc = 2;
    process.totals = (struct totals){.allocations = 10, .frees = 4, .live_blocks = 6, .live_bytes = UINT64_MAX};
    process.truncated = true;
    model.process_count = 2;
    json_t *document = parsed(NULL), *item = json_array_get(json_object_get(document, "processes"), 1);
    int pid, ppid, status, truncated, allocations;
    const char *first, *second, *ended, *started;
    json_int_t live;
    cr_assert_eq(json_unpack(item, "{s:i, s:i, s:i, s:b, s:[s, s], s:s, s:s, s:{s:i, s:I}, s:n}", "pid", &pid, "ppid",
                             &ppid, "status", &status, "truncated", &truncated, "argv", &first, &second, "ended",
                             &ended, "started", &started, "totals", "allocations", &allocations, "live_bytes", &live,
                             "python"),
                 0);
    cr_expect_eq(status, 3);
    cr_expect(truncated);
    cr_expect_str_eq(second, "x.py");
    cr_expect_eq(allocations, 10);
    cr_expect_eq(live, INT64_MAX, "no number that readers would take for a float or a negative one");
    json_decref(document);
}

Test(out_json, no_arguments_is_null)
{
    json_t *document = parsed(NULL), *item = json_array_get(json_object_get(document, "processes"), 0);
    cr_expect(json_is_null(json_object_get(item, "argv")));
    json_decref(document);
}

Test(out_json, a_leak)
{
    add_leak(false);
    json_t *document = parsed(NULL), *list = json_object_get(document, "leaks");
    cr_assert_eq(json_array_size(list), 1);
    json_t *leak = json_array_get(list, 0), *stack = json_object_get(leak, "stack");
    const char *kind, *domain, *fingerprint;
    int pid, known, blocks, bytes, cut;
    cr_assert_eq(json_unpack(leak, "{s:i, s:s, s:s, s:n, s:b, s:i, s:i, s:s, s:b}", "pid", &pid, "kind", &kind,
                             "domain", &domain, "type", "known", &known, "blocks", &blocks, "bytes", &bytes,
                             "fingerprint", &fingerprint, "stack_cut", &cut),
                 0);
    cr_expect_str_eq(kind, "reachable");
    cr_expect_eq(bytes, 1600);
    cr_expect_not(known);
    cr_expect(cut);
    cr_assert_eq(json_array_size(stack), 3, "a cut is no frame");
    const char *language, *function, *file, *module, *offset;
    int line;
    cr_assert_eq(json_unpack(json_array_get(stack, 0), "{s:s, s:s, s:s, s:i, s:s, s:s}", "language", &language,
                             "function", &function, "file", &file, "line", &line, "module", &module, "offset", &offset),
                 0);
    cr_expect_str_eq(language, "native");
    cr_expect_str_eq(offset, "0x1234");
    cr_expect_eq(json_unpack(json_array_get(stack, 1), "{s:s, s:n, s:n}", "language", &language, "module", "offset"),
                 0);
    cr_expect_str_eq(language, "python");
    cr_expect_eq(json_unpack(json_array_get(stack, 2), "{s:n, s:n, s:n}", "file", "line", "module"), 0);
    json_decref(document);
}

Test(out_json, startup_leaks_are_left_out_unless_asked_for)
{
    add_leak(true);
    json_t *document = parsed(NULL);
    cr_expect_eq(json_array_size(json_object_get(document, "leaks")), 0);
    json_decref(document);
    options.show = SHOW_STARTUP;
    document = parsed(NULL);
    cr_expect(json_is_true(json_object_get(json_array_get(json_object_get(document, "leaks"), 0), "startup")));
    json_decref(document);
}

Test(out_json, everything_is_written_unless_top_says_less)
{
    add_leak(false);
    add_leak(false);
    json_t *document = parsed(NULL);
    cr_expect_eq(json_array_size(json_object_get(document, "leaks")), 2);
    json_decref(document);
    options.top = 1;
    document = parsed(NULL);
    cr_expect_eq(json_array_size(json_object_get(document, "leaks")), 1);
    json_decref(document);
}

Test(out_json, errors_have_all_their_stacks)
{
    struct memory_error error = {.kind = "overflow", .domain = "mem", .detail = "text", .address = 0xabc, .size = 16};
    process.errors = &error;
    process.error_count = 1;
    json_t *document = parsed(NULL), *item = json_array_get(json_object_get(document, "errors"), 0);
    const char *address, *detail;
    json_t *found, *allocated, *freed;
    cr_assert_eq(json_unpack(item, "{s:s, s:s, s:o, s:o, s:o}", "address", &address, "detail", &detail, "stack", &found,
                             "alloc_stack", &allocated, "free_stack", &freed),
                 0);
    cr_expect_str_eq(address, "0xabc");
    cr_expect(json_is_array(found) && json_is_array(allocated) && json_is_array(freed));
    json_decref(document);
}

Test(out_json, names_that_are_not_utf8_do_not_break_the_document)
{
    struct frame odd = {.language = FRAME_NATIVE, .function = "f\xff", .file = "\"\n\033", .line = 1};
    const struct frame *list[] = {&odd};
    add_leak(false);
    items[0].source = &(struct stack_source){.stack = {.frames = list, .size = 1}};
    json_t *document = parsed(NULL), *leak = json_array_get(json_object_get(document, "leaks"), 0);
    json_t *frame = json_array_get(json_object_get(leak, "stack"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(frame, "function")), "f\xef\xbf\xbd");
    cr_expect_str_eq(json_string_value(json_object_get(frame, "file")), "\"\n\033");
    json_decref(document);
}

Test(out_json, info_is_a_document)
{
    process.path = "r.jsonl";
    process.module_count = 3;
    json_t *document = parsed(out_json.info), *item = json_array_get(json_object_get(document, "processes"), 0);
    int modules;
    const char *path;
    cr_assert_eq(json_unpack(item, "{s:s, s:{s:i}}", "path", &path, "tables", "modules", &modules), 0);
    cr_expect_eq(modules, 2, "entry 0 of a table is the empty one");
    json_decref(document);
}

static int write_gate(struct output_job *job)
{
    struct gate_limits limits = {.errors = {true, 0}};
    struct gate_verdict verdict = {.reasons = {{.rule = GATE_BLOCKS, .scope = GATE_TOTAL, .limit = 5}},
                                   .reason_count = 1,
                                   .counts.blocks[GATE_TOTAL] = 6};
    return out_json.gate(job, &limits, &verdict);
}

Test(out_json, a_verdict_is_a_document)
{
    json_t *document = parsed(write_gate);
    int passed, found;
    cr_assert_eq(
        json_unpack(document, "{s:b, s:[{s:i}], s:n}", "passed", &passed, "reasons", "found", &found, "command_end"),
        0);
    cr_expect_not(passed);
    cr_expect_eq(found, 6);
    json_decref(document);
}

static int write_diff(struct output_job *job)
{
    struct diff diff = {0};
    int r = diff_build(&(struct leaks){0}, &leaks, &(struct diff_tolerance){0}, &diff);
    r = r < 0 ? r : out_json.diff(job, &diff);
    diff_clear(&diff);
    return r;
}

Test(out_json, a_difference_is_a_document)
{
    add_leak(false);
    json_t *document = parsed(write_diff);
    const char *change;
    int blocks;
    cr_assert_eq(json_unpack(document, "{s:[{s:s, s:i}]}", "leaks", "change", &change, "new_blocks", &blocks), 0);
    cr_expect_str_eq(change, "new");
    cr_expect_eq(blocks, 100);
    json_decref(document);
}
