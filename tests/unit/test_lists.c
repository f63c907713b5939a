/* SPDX-License-Identifier: MIT */
#include "lists.h"
#include "out_json.h"
#include "out_machine.h"
#include "out_text.h"
#include "sample_report.h"

#include <stdlib.h>

static const struct frame root = {.language = FRAME_PYTHON, .function = "<module>", .file = "app.py", .line = 1};
static const struct frame bootstrap = {.language = FRAME_PYTHON, .function = "run", .file = "/lib/threading.py"};
static const struct frame work = {.language = FRAME_PYTHON, .function = "work|er", .file = "app.py", .line = 7};
static const struct frame lose = {.language = FRAME_NATIVE, .function = "lose", .module = "/lib/ext.so"};
static const struct frame *main_stack[] = {&lose, &work, &root};
static const struct frame *thread_stack[] = {&work, &bootstrap};
static struct process process = {.pid = 7};
static struct process *processes[] = {&process};
static struct model model = {.processes = processes, .process_count = 1};
static struct stack_source in_main = {.stack = {main_stack, 3}}, in_thread = {.stack = {thread_stack, 2}};
static struct leak items[] = {
    {.domain = "malloc", .blocks = 1, .bytes = 100, .known = true, .fingerprint = "aa", .source = &in_main},
    {.domain = "obj",
     .blocks = 2,
     .bytes = 300,
     .known = true,
     .fingerprint = "bb",
     .type = "list",
     .source = &in_thread},
    {.domain = "obj", .blocks = 3, .bytes = 50, .known = true, .fingerprint = "cc", .source = &in_main},
    {.domain = "obj", .blocks = 9, .bytes = 900, .startup = true, .fingerprint = "dd", .source = &in_main},
};
static const struct leaks leaks = {.items = items, .count = 4};
static struct output_options options = {.top = OUTPUT_TOP_DEFAULT, .source_root = "/"};
static struct output_job job;
static struct table table;

static void group(enum group_by by)
{
    for (size_t i = 0; i < leaks.count; i++)
        items[i].process = &process;
    output_job_init(&job, &out_text, &options, &model, &leaks, NULL);
    table_clear(&table);
    cr_assert_eq(list_groups(&job, &leaks, by, &table), 0);
}

/* A row of the table: bytes, blocks, leaks, key. */
static void expect_row(size_t row, uint64_t bytes, uint64_t blocks, uint64_t count, const char *key)
{
    cr_assert_lt(row, table.row_count);
    const union table_cell *cells = table_row(&table, row);
    cr_expect_eq(cells[0].number, bytes);
    cr_expect_eq(cells[1].number, blocks);
    cr_expect_eq(cells[2].number, count);
    cr_expect_str_eq(cells[3].text, key);
}

Test(lists, leaks_are_added_up)
{
    group(GROUP_DOMAIN);
    cr_assert_eq(table.row_count, 2, "and what started with the process is left out");
    expect_row(0, 350, 5, 2, "obj");
    expect_row(1, 100, 1, 1, "malloc");
    group(GROUP_TYPE);
    expect_row(0, 300, 2, 1, "list");
    expect_row(1, 150, 4, 2, "(no Python object)");
    items[1].label = "loading";
    group(GROUP_LABEL);
    expect_row(0, 300, 2, 1, "loading");
    expect_row(1, 150, 4, 2, "(no label)");
    group(GROUP_FUNCTION);
    expect_row(0, 450, 6, 3, "work|er (app.py)");
    table_clear(&table);
}

Test(lists, a_thread_is_called_by_what_it_began_with)
{
    group(GROUP_THREAD);
    cr_assert_eq(table.row_count, 2);
    expect_row(0, 300, 2, 1, "work|er (app.py)");
    expect_row(1, 150, 4, 2, "<module> (app.py)");
    table_clear(&table);
}

Test(lists, with_native_frames_only)
{
    options.frames = STACK_NATIVE;
    group(GROUP_MODULE);
    cr_assert_eq(table.row_count, 2);
    expect_row(1, 150, 4, 2, "ext.so");
    table_clear(&table);
}

/* What the format writes of the table: malloc'ed. */
static char *written(int (*write)(struct output_job *, const struct table *), size_t top)
{
    char *text = NULL;
    size_t size;
    job.out = open_memstream(&text, &size);
    job.top = top;
    cr_assert_eq(write(&job, &table), 0);
    fclose(job.out);
    return text;
}

Test(lists, formats)
{
    group(GROUP_THREAD);
    char *text = written(out_text.table, 1);
    cr_expect_str_eq(text, "bytes  blocks  leaks  thread\n"
                           "  300       2      1  work|er (app.py)\n"
                           "\nnot shown: 1 of 2 threads (--top 0 shows all)\n");
    free(text);
    text = written(out_json.table, SIZE_MAX);
    json_t *document = json_loads(text, 0, NULL);
    cr_assert_not_null(document, "%s", text);
    json_t *row = json_array_get(json_object_get(document, "rows"), 1);
    cr_expect_str_eq(json_string_value(json_object_get(row, "thread")), "<module> (app.py)");
    cr_expect_eq(json_integer_value(json_object_get(row, "bytes")), 150);
    json_decref(document);
    free(text);
    text = written(out_csv.table, SIZE_MAX);
    cr_expect_str_eq(text, "bytes,blocks,leaks,thread\r\n300,2,1,work|er (app.py)\r\n150,4,2,<module> (app.py)\r\n");
    free(text);
    text = written(out_markdown.table, SIZE_MAX);
    cr_expect_not_null(strstr(text, "| 300 | 2 | 1 | work&#124;er (app.py) |\n"), "%s", text);
    free(text);
    table_clear(&table);
}

Test(lists, leaks_errors_and_allocations_of_a_report)
{
    struct model read;
    struct leaks found = {0};
    sample_process(&read, SAMPLE);
    struct symbols *symbols = symbols_new(false);
    cr_assert_eq(leaks_build(&read, symbols, &found), 0);
    output_job_init(&job, &out_text, &options, &read, &found, NULL);

    cr_assert_eq(list_leaks(&job, &found, &table), 0);
    cr_assert_eq(table.row_count, 1);
    cr_expect_eq(table_row(&table, 0)[0].number, 32);
    cr_expect_str_eq(table_row(&table, 0)[2].text, "definite");
    table_clear(&table);

    cr_assert_eq(list_errors(&job, symbols, &table), 0);
    cr_assert_eq(table.row_count, 1);
    cr_expect_eq(table_row(&table, 0)[0].number, 4);
    cr_expect_str_eq(table_row(&table, 0)[3].text, "overflow");
    table_clear(&table);

    cr_assert_eq(list_allocations(&job, symbols, SORT_CALLS, &table), 0);
    cr_assert_eq(table.row_count, 1);
    cr_expect_eq(table_row(&table, 0)[0].number, 10);
    cr_expect_eq(table_row(&table, 0)[2].number, 8, "freed: all but the two that are there");
    table_clear(&table);
    leaks_clear(&found);
    symbols_free(symbols);
    model_clear(&read);
}
