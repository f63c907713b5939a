/* SPDX-License-Identifier: MIT
 *
 * One function for each kind of line. */
#include "rows.h"

#include "compiler.h"
#include "ledger_format.h"
#include "memshim/report.h"
#include "rows_fields.h"
#include "rows_tables.h"
#include "text_pool.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {
    [LEAK_DEFINITE] = "definite",
    [LEAK_INDIRECT] = "indirect",
    [LEAK_POSSIBLE] = "possible",
    [LEAK_REACHABLE] = "reachable",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == LEAK_KIND_COUNT, "a name for every kind");

static int add_module(struct rows *rows, struct line *line)
{
    struct module module = {0};
    int r;

    r = get_text(rows, line, "path", NULL, &module.path);
    if (r < 0)
        return r;
    if (!module.path || !value_hex(line_get(line, "start"), &module.start) ||
        !value_hex(line_get(line, "end"), &module.end) || !value_hex(line_get(line, "bias"), &module.bias))
        return -EINVAL;
    r = get_text(rows, line, "build_id", NULL, &module.build_id);
    if (r < 0)
        return r;
    return rows_put(rows, line, ROWS_MODULES, "module", &module);
}

static int table_kind_of(struct value value)
{
    if (value_is(value, "lnotab"))
        return CODE_LNOTAB;
    if (value_is(value, "linetable-3.10"))
        return CODE_LINETABLE_310;
    if (value_is(value, "locations-3.11"))
        return CODE_LOCATIONS_311;
    return 0;
}

static int add_code(struct rows *rows, struct line *line)
{
    struct code code = {0};
    int r;

    r = get_text(rows, line, "file", "??", &code.file);
    if (r == 0)
        r = get_text(rows, line, "name", "??", &code.name);
    if (r == 0)
        r = get_text(rows, line, "qualname", NULL, &code.qualname);
    if (r == 0)
        r = get_bytes(rows, line, "table", &code.table, &code.table_size);
    if (r < 0)
        return r;
    code.first_line = get_int(line, "first_line", 0);
    code.table_kind = table_kind_of(line_get(line, "table_kind"));
    return rows_put(rows, line, ROWS_CODES, "code", &code);
}

static int add_frame(struct rows *rows, struct line *line)
{
    struct raw_frame frame = {0};
    struct value language = line_get(line, "language");
    bool good;

    if (value_is(language, "native")) {
        frame.language = FRAME_NATIVE;
        good = get_id(line, "module", rows->process->module_count, &frame.index) &&
               value_hex(line_get(line, "offset"), &frame.offset);
        frame.exact = get_bool(line, "exact");
    } else if (value_is(language, "python")) {
        frame.language = FRAME_PYTHON;
        good = get_id(line, "code", rows->process->code_count, &frame.index) &&
               get_count(line, "instruction", &frame.offset);
        frame.entry = get_bool(line, "entry");
    } else {
        frame.language = FRAME_CUT;
        good = value_is(language, "cut") && get_count(line, "frames", &frame.offset);
    }
    int r = good ? rows_put(rows, line, ROWS_FRAMES, "frame", &frame) : -EINVAL;
    return r < 0 || !line->json ? r : rows_add_symbols(rows, line);
}

static int add_node(struct rows *rows, struct line *line)
{
    struct node node;

    if (!get_id(line, "parent", rows->process->node_count, &node.parent) ||
        !get_id(line, "frame", rows->process->frame_count, &node.frame))
        return -EINVAL;
    return rows_put(rows, line, ROWS_NODES, "stack", &node);
}

static int add_trace(struct rows *rows, struct line *line)
{
    struct trace trace = {0};

    if (!get_id(line, "native", rows->process->node_count, &trace.native) ||
        !get_id(line, "python", rows->process->node_count, &trace.python) ||
        !get_count(line, "allocations", &trace.allocations) || !get_count(line, "bytes", &trace.bytes))
        return -EINVAL;
    int r = get_text(rows, line, "label", NULL, &trace.label);
    if (r < 0)
        return r;
    trace.ignored = get_bool(line, "ignored");
    return rows_put(rows, line, ROWS_TRACES, "trace", &trace);
}

static bool get_kind(struct line *line, enum leak_kind *ret)
{
    struct value value = line_get(line, "kind");

    for (unsigned int i = 0; i < LEAK_KIND_COUNT; i++) {
        if (!value_is(value, kind_names[i]))
            continue;
        *ret = (enum leak_kind)i;
        return true;
    }
    return false;
}

static int add_group(struct rows *rows, struct line *line)
{
    struct group group = {0};
    int r;

    if (!get_id(line, "trace", rows->process->trace_count, &group.trace) || !get_kind(line, &group.kind))
        return -EINVAL;
    group.known = get_bool(line, "known");
    r = get_text(rows, line, "domain", "??", &group.domain);
    if (r == 0)
        r = get_text(rows, line, "type", NULL, &group.type);
    if (r < 0)
        return r;
    group.startup = get_bool(line, "startup");
    group.interpreter = get_bool(line, "interpreter");
    if (!get_count(line, "blocks", &group.blocks) || !get_count(line, "bytes", &group.bytes))
        return -EINVAL;
    group.error_bytes = get_count_or_0(line, "error_bytes");
    return rows_append(rows, ROWS_GROUPS, &group);
}

static int add_error(struct rows *rows, struct line *line)
{
    struct memory_error error = {0};
    size_t traces = rows->process->trace_count;
    int r;

    r = get_text(rows, line, "kind", NULL, &error.kind);
    if (r == 0)
        r = get_text(rows, line, "domain", "??", &error.domain);
    if (r == 0)
        r = get_text(rows, line, "detail", "", &error.detail);
    if (r < 0)
        return r;
    if (!error.kind || !value_hex(line_get(line, "address"), &error.address) || !get_count(line, "size", &error.size) ||
        !get_count(line, "count", &error.count) || !get_id(line, "trace", traces, &error.trace) ||
        !get_id(line, "alloc_trace", traces, &error.alloc_trace) ||
        !get_id(line, "free_trace", traces, &error.free_trace))
        return -EINVAL;
    return rows_append(rows, ROWS_ERRORS, &error);
}

static enum confidence get_confidence(struct line *line)
{
    static const char *const names[CONFIDENCE_NAMES] = {"none", "low", "medium", "high"};
    struct value value = line_get(line, "confidence");

    for (unsigned int i = 0; i < CONFIDENCE_NAMES; i++)
        if (value_is(value, names[i]))
            return (enum confidence)i;
    return CONFIDENCE_UNKNOWN;
}

static int add_reference(struct rows *rows, struct line *line)
{
    struct reference reference = {.confidence = get_confidence(line)};
    int r = get_text(rows, line, "type", NULL, &reference.type);

    if (r == 0)
        r = get_text(rows, line, "unseen", NULL, &reference.unseen);
    if (r < 0)
        return r;
    if (!get_id(line, "trace", rows->process->trace_count, &reference.trace) || !get_kind(line, &reference.kind) ||
        !get_count(line, "objects", &reference.objects) || !get_count(line, "surplus", &reference.surplus))
        return -EINVAL;
    reference.startup = get_bool(line, "startup");
    reference.interpreter = get_bool(line, "interpreter");
    reference.bytes = get_count_or_0(line, "bytes");
    reference.least = get_count_or_0(line, "least");
    reference.most = get_count_or_0(line, "most");
    return rows_append(rows, ROWS_REFERENCES, &reference);
}

/* The place of the text among `count` names, or `count`. */
static unsigned int get_name(struct line *line, const char *key, const char *const *names, unsigned int count)
{
    struct value value = line_get(line, key);
    unsigned int i = 0;

    while (i < count && !value_is(value, names[i]))
        i++;
    return i;
}

static bool get_root(struct rows *rows, struct line *line, struct link *link)
{
    static const char *const roots[WAY_ROOTS] = {"memory", "data", "stack"};
    unsigned int root = get_name(line, "root", roots, WAY_ROOTS);

    link->root = (enum way_root)root;
    return root < WAY_ROOTS && value_hex(line_get(line, "address"), &link->address) &&
           get_id(line, "module", rows->process->module_count, &link->module) &&
           value_hex(line_get(line, "offset"), &link->offset);
}

static int add_link(struct rows *rows, struct line *line)
{
    static const char *const roles[WAY_ROLES] = {"block", "holder", "root", "referrer"};
    unsigned int role = get_name(line, "role", roles, WAY_ROLES);
    struct link link = {.role = (enum way_role)role};
    bool good = role < WAY_ROLES && get_id(line, "of", UINT32_MAX, &link.of);
    int r = get_text(rows, line, "domain", "??", &link.domain);

    if (r == 0)
        r = get_text(rows, line, "type", NULL, &link.type);
    if (r == 0)
        r = get_text(rows, line, "name", NULL, &link.name);
    if (r < 0)
        return r;
    if (good && role == WAY_ROOT)
        good = get_root(rows, line, &link);
    else if (good)
        good = get_id(line, "trace", rows->process->trace_count, &link.trace) && get_kind(line, &link.kind);
    if (!good)
        return -EINVAL;
    link.size = get_count_or_0(line, "size");
    link.placed = role == WAY_ROOT || value_hex(line_get(line, "offset"), &link.offset);
    return rows_append(rows, ROWS_LINKS, &link);
}

static int add_mark(struct rows *rows, struct line *line)
{
    struct mark mark;
    int r =
        rows->process->series_count ? -EINVAL : rows_read_mark(line, &mark); /* series have a number for each mark */

    return r < 0 ? r : rows_append(rows, ROWS_MARKS, &mark);
}

static int add_series(struct rows *rows, struct line *line)
{
    struct series series;
    int r = rows_read_series(rows->process, line, &series);

    return r < 0 ? r : rows_append(rows, ROWS_SERIES, &series);
}

static int add_arenas(struct rows *rows, struct line *line)
{
    return rows_read_arenas(line, &rows->process->arenas);
}

static int add_pin(struct rows *rows, struct line *line)
{
    struct pin pin;
    int r = rows_read_pin(rows->process, line, &pin);

    return r < 0 ? r : rows_append(rows, ROWS_PINS, &pin);
}

static int add_totals(struct rows *rows, struct line *line)
{
    struct totals *totals = &rows->process->totals;

    totals->allocations = get_count_or_0(line, "allocations");
    totals->frees = get_count_or_0(line, "frees");
    totals->live_blocks = get_count_or_0(line, "live_blocks");
    totals->live_bytes = get_count_or_0(line, "live_bytes");
    totals->peak_bytes = get_count_or_0(line, "peak_bytes");
    totals->dropped = get_count_or_0(line, "dropped");
    totals->startup_blocks = get_count_or_0(line, "startup_blocks");
    totals->startup_bytes = get_count_or_0(line, "startup_bytes");
    totals->inherited_frees = get_count_or_0(line, "inherited_frees");
    totals->refused = get_count_or_0(line, "refused");
    totals->threads = get_count_or_0(line, "threads");
    totals->sample = get_count_or_0(line, "sample");
    totals->error_bytes = get_count_or_0(line, "error_bytes");
    totals->self_checks = get_count_or_0(line, "self_checks");
    totals->self_check_differences = get_count_or_0(line, "self_check_differences");
    return 0;
}

static int add_end(struct rows *rows, struct line *line)
{
    struct process *process = rows->process;
    int64_t lines;
    int r;

    if (!value_number(line_get(line, "lines"), 0, INT64_MAX, &lines))
        return -EINVAL;
    r = get_text(rows, line, "ended", "unknown", &process->ended);
    if (r == 0)
        r = get_text(rows, line, "time", NULL, &process->ended_at);
    if (r == 0)
        r = get_list(rows, line, "lacks", &process->lacks, &process->lacks_count);
    if (r < 0)
        return r;
    process->status = get_int(line, "status", 0);
    rows->ended = (uint64_t)lines <= rows->lines;
    return 0;
}

#define KIND(text, add) \
    { \
        text, sizeof(text) - 1, add \
    }
static const struct {
    const char *kind;
    size_t length;
    int (*add)(struct rows *rows, struct line *line);
} row_kinds[] = {
    /* the frequent ones first */
    KIND("stack", add_node),    KIND("trace", add_trace),     KIND("group", add_group), KIND("frame", add_frame),
    KIND("code", add_code),     KIND("module", add_module),   KIND("error", add_error), KIND("totals", add_totals),
    KIND("end", add_end),       KIND("audit", add_reference), KIND("why", add_link),    KIND("mark", add_mark),
    KIND("growth", add_series), KIND("arenas", add_arenas),   KIND("pin", add_pin),
};
#undef KIND

int rows_add(struct rows *rows, struct line *line)
{
    rows->lines++;
    if (rows->ended) /* nothing may stand below the end */
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_SIZE(row_kinds); i++)
        if (row_kinds[i].length == line->kind_length && memcmp(row_kinds[i].kind, line->kind, line->kind_length) == 0)
            return row_kinds[i].add(rows, line);
    return 0;
}

static int read_first(struct rows *rows, struct line *line)
{
    struct process *process = rows->process;
    int r;

    process->pid = get_int(line, "pid", 0);
    process->ppid = get_int(line, "ppid", 0);
    process->sequence = get_int(line, "sequence", 0);
    process->forked = get_bool(line, "forked");
    process->snapshot = get_int(line, "snapshot", 0);
    process->ended = "unknown";
    r = get_text(rows, line, "version", "?", &process->version);
    if (r == 0)
        r = get_text(rows, line, "program", "?", &process->program);
    if (r == 0)
        r = get_text(rows, line, "python", NULL, &process->python);
    if (r == 0)
        r = get_text(rows, line, "started", "", &process->started);
    if (r == 0)
        r = get_text(rows, line, "options", "", &process->options);
    if (r == 0)
        r = get_list(rows, line, "argv", &process->argv, &process->argc);
    return r;
}

static int begin(struct rows *rows, struct line *line, const char *path)
{
    struct process *process = rows->process;
    size_t no_lacks;
    int r;

    process->texts = text_pool_new();
    if (!process->texts)
        return -ENOMEM;
    process->path = text_pool_add(process->texts, path, strlen(path));
    if (!process->path)
        return -ENOMEM;
    if (rows_tables_begin(rows) < 0)
        return -ENOMEM;
    process->codes[0].file = process->codes[0].name = "??";
    r = get_list(rows, line, "", &process->lacks, &no_lacks);
    return r < 0 ? r : read_first(rows, line);
}

/* Is this the first line of a report that this version can read? */
static int check_first(struct line *line, char *why)
{
    struct value version = line_get(line, "memshim");

    if (!line_is(line, "memshim") || version.kind != VALUE_NUMBER) {
        snprintf(why, ROWS_WHY_MAX, "not a memshim report");
        return -EINVAL;
    }
    if (version.number != MEMSHIM_REPORT_VERSION) {
        snprintf(why, ROWS_WHY_MAX,
                 "report version %" PRId64 " is not supported (this is memshim %s, which reads version %d)",
                 version.number, MEMSHIM_VERSION, MEMSHIM_REPORT_VERSION);
        return -EINVAL;
    }
    return 0;
}

int rows_begin(struct line *line, const char *path, struct rows *ret, char why[static ROWS_WHY_MAX])
{
    struct rows rows = {.lines = 1};
    int r;

    r = check_first(line, why);
    if (r < 0)
        return r;
    rows.process = calloc(1, sizeof(*rows.process));
    if (!rows.process)
        return -ENOMEM;
    r = begin(&rows, line, path);
    if (r < 0) {
        process_free(rows.process);
        return r;
    }
    *ret = rows;
    return 0;
}

struct process *rows_end(struct rows *rows)
{
    struct process *process = rows->process;

    process->truncated = !rows->ended;
    rows->process = NULL;
    return process;
}
