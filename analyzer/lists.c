/* SPDX-License-Identifier: MIT
 *
 * See lists.h. */
#include "lists.h"

#include "compiler.h"
#include "emit.h"
#include "fingerprint.h"
#include "intern.h"
#include "place.h"
#include "stackname.h"
#include "text.h"

#include <errno.h>
#include <string.h>

const char *const group_by_names[] = {
    [GROUP_STACK] = "stack",   [GROUP_FUNCTION] = "function", [GROUP_FILE] = "file",
    [GROUP_MODULE] = "module", [GROUP_TYPE] = "type",         [GROUP_THREAD] = "thread",
    [GROUP_DOMAIN] = "domain", [GROUP_LABEL] = "label",       [GROUP_BY_COUNT] = NULL,
};
const char *const list_names[] = {
    [LIST_NONE] = "",         [LIST_ERRORS] = "errors", [LIST_LEAKS] = "leaks", [LIST_ALLOCATIONS] = "allocations",
    [LIST_ARENAS] = "arenas", [LIST_COUNT] = NULL,
};
const char *const list_sort_names[] = {
    [SORT_CALLS] = "calls", [SORT_BYTES] = "bytes", [SORT_TEMPORARY] = "temporary", [SORT_COUNT] = NULL};

/* ---- words for places ---- */

/* The frame that stands for a stack: where a person would look, or the innermost that is shown. NULL: no frames. */
static const struct frame *frame_of(const struct output_job *job, const struct stack *stack, struct place *place)
{
    place_find(job, stack, place);
    if (place->frame && !place->frame->runtime && output_frame_shown(job->options, place->frame))
        return place->frame;
    const struct frame *first = NULL;
    for (size_t i = 0; i < stack->size; i++) {
        const struct frame *frame = stack->frames[i];
        if (frame->language == FRAME_CUT || !output_frame_shown(job->options, frame))
            continue;
        if (!frame->runtime)
            return frame;
        first = first ? first : frame;
    }
    return first;
}

static const char *file_of(const struct output_job *job, const struct frame *frame)
{
    bool own;
    return frame->file ? place_file(job, frame->file, &own) : frame->module ? text_base(frame->module) : "??";
}

/* "leaky.c:61", malloc'ed; NULL without memory. */
static char *describe_place(const struct output_job *job, const struct frame *frame)
{
    char *text = NULL;
    if (!frame)
        return strdup("??");
    int length = frame->file && frame->line > 0 ? asprintf(&text, "%s:%d", file_of(job, frame), frame->line)
                                                : asprintf(&text, "%s", file_of(job, frame));
    return length < 0 ? NULL : text;
}

static char *describe_function(const struct output_job *job, const struct frame *frame)
{
    _cleanup_free_ char *name = frame ? stackname_of(frame) : strdup("??");
    char *text = NULL;
    if (!name || !frame)
        return TAKE_PTR(name);
    return asprintf(&text, "%s (%s)", name, file_of(job, frame)) < 0 ? NULL : text;
}

/* Frames of the library's own that every thread of Python begins with. */
static bool begins_threads(const struct frame *frame)
{
    return frame->file && (text_ends_with(frame->file, "/threading.py") ||
                           text_ends_with(frame->file, "/concurrent/futures/thread.py"));
}

static char *describe_thread(const struct output_job *job, const struct stack *stack)
{
    for (size_t i = stack->size; i-- > 0;) {
        const struct frame *frame = stack->frames[i];
        if (frame->language == FRAME_CUT)
            return strdup("(its beginning was cut by stack_depth)");
        if (!frame->runtime && !begins_threads(frame) && output_frame_shown(job->options, frame))
            return describe_function(job, frame);
    }
    return strdup("??");
}

/* What `leak` is added up by: malloc'ed, NULL without memory. */
static char *describe_key(const struct output_job *job, const struct leak *leak, enum group_by by)
{
    struct place place;
    const struct frame *frame = frame_of(job, leak_stack(leak), &place);
    switch (by) {
    case GROUP_FUNCTION:
        return describe_function(job, frame);
    case GROUP_FILE:
        return strdup(frame ? file_of(job, frame) : "??");
    case GROUP_MODULE:
        return strdup(!frame ? "??" : frame->module ? text_base(frame->module) : file_of(job, frame));
    case GROUP_TYPE:
        return strdup(leak->type ? leak->type : "(no Python object)");
    case GROUP_THREAD:
        return describe_thread(job, leak_stack(leak));
    case GROUP_DOMAIN:
        return strdup(leak->domain);
    case GROUP_LABEL:
        return strdup(leak->label ? leak->label : "(no label)");
    case GROUP_STACK:
    case GROUP_BY_COUNT:
        break;
    }
    return strdup(leak->fingerprint);
}

/* ---- sums ---- */

#define GROUP_COLUMNS(key) \
    { \
        {"bytes", true}, {"blocks", true}, {"leaks", true}, {key, false}, \
    }

static const struct table_column group_columns[GROUP_BY_COUNT][4] = {
    [GROUP_STACK] = GROUP_COLUMNS("stack"),   [GROUP_FUNCTION] = GROUP_COLUMNS("function"),
    [GROUP_FILE] = GROUP_COLUMNS("file"),     [GROUP_MODULE] = GROUP_COLUMNS("module"),
    [GROUP_TYPE] = GROUP_COLUMNS("type"),     [GROUP_THREAD] = GROUP_COLUMNS("thread"),
    [GROUP_DOMAIN] = GROUP_COLUMNS("domain"), [GROUP_LABEL] = GROUP_COLUMNS("label"),
};
static const char *const group_names[GROUP_BY_COUNT] = {
    [GROUP_STACK] = "stacks", [GROUP_FUNCTION] = "functions", [GROUP_FILE] = "files",     [GROUP_MODULE] = "modules",
    [GROUP_TYPE] = "types",   [GROUP_THREAD] = "threads",     [GROUP_DOMAIN] = "domains", [GROUP_LABEL] = "labels",
};

/* The row for `key`, which is taken: a new one, or the one that has it. NULL without memory. */
static union table_cell *row_of(struct table *table, struct intern *keys, char *key, size_t key_column)
{
    uint32_t index = 0;
    int r = key ? intern_add(keys, key, strlen(key), &index) : -ENOMEM;
    if (r == 0) {
        free(key);
        return table_row(table, index);
    }
    union table_cell *row = r < 0 ? NULL : table_append(table);
    if (row)
        row[key_column].text = key;
    else
        free(key);
    return row;
}

int list_groups(const struct output_job *job, const struct leaks *leaks, enum group_by by, struct table *ret)
{
    struct table table = {.name = group_names[by], .columns = group_columns[by], .column_count = 4};
    struct intern keys = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < leaks->count; i++) {
        const struct leak *leak = &leaks->items[i];
        if (!output_leak_shown(job, leak))
            continue;
        union table_cell *row = row_of(&table, &keys, describe_key(job, leak, by), 3);
        if (!row) {
            r = -ENOMEM;
            continue;
        }
        row[0].number += leak->bytes;
        row[1].number += leak->blocks;
        row[2].number++;
    }
    intern_clear(&keys);
    if (r < 0) {
        table_clear(&table);
        return r;
    }
    table_sort(&table, 0);
    *ret = table;
    return 0;
}

/* ---- one a row ---- */

/* Fills text cells with what may have failed to be made. Returns 0 or -ENOMEM. */
static int have_texts(const struct table *table, const union table_cell *row, size_t first)
{
    for (size_t column = first; column < table->column_count; column++) {
        if (!table->columns[column].number && !row[column].text)
            return -ENOMEM;
    }
    return 0;
}

static int finish(struct table *table, int r, struct table *ret)
{
    if (r < 0)
        table_clear(table);
    else
        *ret = *table;
    return r;
}

int list_leaks(const struct output_job *job, const struct leaks *leaks, struct table *ret)
{
    static const struct table_column columns[] = {{"bytes", true},        {"blocks", true},   {"kind", false},
                                                  {"domain", false},      {"type", false},    {"place", false},
                                                  {"fingerprint", false}, {"function", false}};
    struct table table = {.name = "leaks", .columns = columns, .column_count = ARRAY_SIZE(columns)};
    int r = 0;
    for (size_t i = 0; r == 0 && i < leaks->count; i++) {
        const struct leak *leak = &leaks->items[i];
        if (!output_leak_shown(job, leak))
            continue;
        union table_cell *row = table_append(&table);
        if (!row) {
            r = -ENOMEM;
            continue;
        }
        struct place place;
        const struct frame *frame = frame_of(job, leak_stack(leak), &place);
        row[0].number = leak->bytes;
        row[1].number = leak->blocks;
        row[2].text = strdup(leak->known ? leak_kind_name(leak->kind) : "allocated");
        row[3].text = strdup(leak->domain);
        row[4].text = strdup(leak->type ? leak->type : "-");
        row[5].text = describe_place(job, frame);
        row[6].text = strdup(leak->fingerprint);
        row[7].text = frame ? stackname_of(frame) : strdup("??");
        r = have_texts(&table, row, 0);
    }
    return finish(&table, r, ret);
}

static int add_error(const struct output_job *job, const struct process *process, const struct memory_error *error,
                     struct symbols *symbols, struct table *table)
{
    struct stack stack = {0};
    uint32_t trace = error->trace ? error->trace : error->alloc_trace;
    int r = trace ? stack_build(process, trace, symbols, &stack) : 0;
    union table_cell *row = r == 0 ? table_append(table) : NULL;
    if (row) {
        struct place place;
        const struct frame *frame = frame_of(job, &stack, &place);
        row[0].number = error->count;
        row[1].number = error->size;
        row[2].number = (uint64_t)process->pid;
        row[3].text = strdup(error->kind);
        row[4].text = strdup(error->domain);
        row[5].text = describe_place(job, frame);
        row[6].text = frame ? stackname_of(frame) : strdup("??");
        r = have_texts(table, row, 0);
    }
    stack_clear(&stack);
    return row ? r : -ENOMEM;
}

int list_errors(const struct output_job *job, struct symbols *symbols, struct table *ret)
{
    static const struct table_column columns[] = {{"count", true},    {"size", true},    {"pid", true},
                                                  {"kind", false},    {"domain", false}, {"place", false},
                                                  {"function", false}};
    struct table table = {.name = "errors", .columns = columns, .column_count = ARRAY_SIZE(columns)};
    int r = 0;
    for (size_t i = 0; i < job->model->process_count; i++) {
        const struct process *process = job->model->processes[i];
        for (size_t j = 0; r == 0 && j < process->error_count; j++)
            r = add_error(job, process, &process->errors[j], symbols, &table);
    }
    return finish(&table, r, ret);
}

/* ---- arenas ---- */

static int add_pin(const struct output_job *job, const struct process *process, const struct pin *pin,
                   struct symbols *symbols, struct table *table)
{
    struct stack stack = {0};
    int r = stack_build(process, pin->trace, symbols, &stack);
    union table_cell *row = r == 0 ? table_append(table) : NULL;
    if (row) {
        struct place place;
        const struct frame *frame = frame_of(job, &stack, &place);
        row[0].number = pin->arenas;
        row[1].number = pin->blocks;
        row[2].number = pin->bytes;
        row[3].number = (uint64_t)process->pid;
        row[4].text = describe_place(job, frame);
        row[5].text = frame ? stackname_of(frame) : strdup("??");
        r = have_texts(table, row, 0);
    }
    stack_clear(&stack);
    return row ? r : -ENOMEM;
}

int list_arenas(const struct output_job *job, struct symbols *symbols, struct table *ret)
{
    static const struct table_column columns[] = {{"arenas", true}, {"blocks", true}, {"bytes", true},
                                                  {"pid", true},    {"place", false}, {"function", false}};
    struct table table = {.name = "arenas", .columns = columns, .column_count = ARRAY_SIZE(columns)};
    int r = 0;
    for (size_t i = 0; r == 0 && i < job->model->process_count; i++) {
        const struct process *process = job->model->processes[i];
        for (size_t k = 0; r == 0 && k < process->pin_count; k++)
            r = add_pin(job, process, &process->pins[k], symbols, &table);
    }
    return finish(&table, r, ret);
}

/* ---- allocation sites ---- */

/* Adds a stack's numbers to the row of its equals. `live`: of its blocks. */
static int add_trace(const struct output_job *job, const struct process *process, uint32_t id, uint64_t live,
                     struct symbols *symbols, struct table *table, struct intern *keys)
{
    const struct trace *trace = &process->traces[id];
    char fingerprint[FINGERPRINT_SIZE];
    struct stack stack = {0};
    uint32_t index = 0;
    int r = stack_build(process, id, symbols, &stack);
    if (r == 0) {
        fingerprint_stack(&(struct fingerprint_of){"", NULL, NULL}, stack.frames, stack.size, fingerprint);
        r = intern_add(keys, fingerprint, strlen(fingerprint), &index);
    }
    union table_cell *row = r > 0 ? table_append(table) : r == 0 ? table_row(table, index) : NULL;
    if (r > 0 && row) {
        struct place place;
        const struct frame *frame = frame_of(job, &stack, &place);
        row[4].text = describe_place(job, frame);
        row[5].text = frame ? stackname_of(frame) : strdup("??");
    }
    stack_clear(&stack);
    if (!row || have_texts(table, row, 0) < 0)
        return -ENOMEM;
    row[0].number += trace->allocations;
    row[1].number += trace->bytes;
    row[2].number += trace->allocations > live ? trace->allocations - live : 0;
    row[3].number += live;
    return 0;
}

static int add_traces(const struct output_job *job, const struct process *process, struct symbols *symbols,
                      struct table *table, struct intern *keys)
{
    _cleanup_free_ uint64_t *live = calloc(process->trace_count + 1, sizeof(*live));
    int r = live ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < process->group_count; i++)
        live[process->groups[i].trace] += process->groups[i].blocks;
    for (size_t i = 1; r == 0 && i < process->trace_count; i++) {
        if (process->traces[i].allocations)
            r = add_trace(job, process, (uint32_t)i, live[i], symbols, table, keys);
    }
    return r;
}

int list_allocations(const struct output_job *job, struct symbols *symbols, enum list_sort sort, struct table *ret)
{
    static const struct table_column columns[] = {{"allocations", true}, {"bytes", true},  {"freed", true},
                                                  {"live", true},        {"place", false}, {"function", false}};
    struct table table = {.name = "allocations", .columns = columns, .column_count = ARRAY_SIZE(columns)};
    struct intern keys = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < job->model->process_count; i++)
        r = add_traces(job, job->model->processes[i], symbols, &table, &keys);
    intern_clear(&keys);
    if (r == 0)
        table_sort(&table, sort == SORT_BYTES ? 1 : sort == SORT_TEMPORARY ? 2 : 0);
    return finish(&table, r, ret);
}
