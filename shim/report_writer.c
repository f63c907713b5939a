/* SPDX-License-Identifier: MIT
 *
 * Writes gathered rows as the lines of memshim/report.h. Lines with text go through jansson; the four kinds that come by
 * the million hold numbers only and are put together by hand, in the same order of keys always. */
#include "report_writer.h"

#include "memshim/report.h"
#include "report_counted.h"
#include "report_end.h"
#include "report_file.h"
#include "report_gather.h"
#include "report_sink.h"
#include "report_text.h"
#include "rounded.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#ifndef MEMSHIM_VERSION
#define MEMSHIM_VERSION "unknown"
#endif

struct writer {
    const struct ledger_view *view;
    const struct report_end *end; /* may be NULL */
    struct sink sink;
    struct gathered gathered;
    struct text_space space;
    struct table types;  /* struct type_row */
    struct bytes quoted; /* types' names as JSON */
    size_t quoted_used;
};

/* The name of a type as JSON: a = LEDGER_TEXT ref. */
struct type_row {
    struct row_key key;
    size_t offset, length; /* in writer.quoted */
};

static const char *const domain_names[] = {"malloc", "raw",     "mem",    "obj",         "new",  "new[]",
                                           "mmap",   "tracked", "handle", "handle-lock", "pool", "pool-attachment",
                                           "buffer", "raw"};
_Static_assert(ARRAY_SIZE(domain_names) == DOMAIN_COUNT, "a name for each domain");

/* Until a scan has run, a block may be reachable: nobody is accused. */
static const char *const kind_names[] = {"reachable", "definite", "indirect", "possible", "reachable"};
_Static_assert(ARRAY_SIZE(kind_names) == BLOCK_KIND_COUNT, "a name for each kind");

static const char *const error_names[] = {NULL,
                                          "overflow",
                                          "underflow",
                                          "use-after-free",
                                          "double-free",
                                          "invalid-free",
                                          "domain-mismatch",
                                          "mismatched-free",
                                          "gil-not-held",
                                          "overflow-read",
                                          "underflow-read",
                                          "use-after-free-read",
                                          "invalid-argument",
                                          "invalid-handle",
                                          "handle-locked",
                                          "unbalanced-unlock"};
_Static_assert(ARRAY_SIZE(error_names) == ERROR_KIND_COUNT, "a name for each error");

static const char *const confidence_names[] = {"none", "low", "medium", "high"};
_Static_assert(ARRAY_SIZE(confidence_names) == CONFIDENCE_COUNT, "a name for each confidence");

static const char *const table_kinds[] = {NULL, "lnotab", "linetable-3.10", "locations-3.11"};

static json_t *hex(uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "0x%" PRIx64, value);
    return json_string(text);
}

static json_t *field_or_null(struct writer *writer, const char *field, size_t size)
{
    return field[0] ? text_json_field(&writer->space, field, size) : json_null();
}

/* header.argv as far as it is whole. */
static json_t *arguments(struct writer *writer)
{
    const struct ledger_header *header = writer->view->header;
    size_t size = MIN(header->argv_size, (uint32_t)LEDGER_ARGV_MAX);
    json_t *array = json_array();
    size_t at = 0;

    for (uint32_t i = 0; i < header->argc && at < size; i++) {
        json_t *argument = text_json_field(&writer->space, header->argv + at, size - at);

        if (json_array_append_new(array, argument)) {
            json_decref(array);
            return NULL;
        }
        at += strnlen(header->argv + at, size - at) + 1;
    }
    return array;
}

static void write_head(struct writer *writer)
{
    const struct ledger_header *header = writer->view->header;
    json_t *started = header->started_at ? text_json_time(header->started_at) : text_json_time(1);

    json_t *head = json_pack(
        "{s:i, s:s, s:s, s:i, s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:b}", "memshim", MEMSHIM_REPORT_VERSION, "schema",
        MEMSHIM_REPORT_SCHEMA, "version", MEMSHIM_VERSION, "pid", header->pid, "ppid", header->ppid, "sequence",
        number(header->sequence), "program", text_json_field(&writer->space, header->program, sizeof(header->program)),
        "argv", arguments(writer), "python", field_or_null(writer, header->python, sizeof(header->python)), "started",
        started, "options", text_json_field(&writer->space, header->options, sizeof(header->options)), "forked",
        header->forked != 0);

    if (head && header->snapshot && json_object_set_new(head, "snapshot", json_integer(header->snapshot)))
        sink_fail(&writer->sink, -ENOMEM);
    sink_object(&writer->sink, head);
}

static void write_module(struct writer *writer, uint32_t n, uint32_t id)
{
    const struct ledger_module *entry = ledger_view_entry(writer->view, LEDGER_MODULES, id);
    struct ledger_module module = {0};
    json_t *build_id;

    if (entry)
        memcpy(&module, entry, sizeof(module));
    if (module.build_id_size == 0 || module.build_id_size > sizeof(module.build_id))
        build_id = json_null();
    else
        build_id = text_json_hex(&writer->space, module.build_id, module.build_id_size);
    sink_object(&writer->sink,
                json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "module", number(n), "path",
                          text_json_ref(&writer->space, writer->view, module.path, "[unknown]"), "start",
                          hex(module.start), "end", hex(module.end), "bias", hex(module.bias), "build_id", build_id));
}

/* Without a line table the line has neither "table_kind" nor "table". */
static void write_code(struct writer *writer, uint32_t n, uint32_t id)
{
    const struct ledger_code *entry = ledger_view_entry(writer->view, LEDGER_CODES, id);
    struct ledger_code code = {0};
    json_t *object;
    int error = 0;

    if (entry)
        memcpy(&code, entry, sizeof(code));
    object = json_pack("{s:I, s:o, s:o, s:o, s:i}", "code", number(n), "file",
                       text_json_ref(&writer->space, writer->view, code.file, NULL), "name",
                       text_json_ref(&writer->space, writer->view, code.name, NULL), "qualname",
                       text_json_ref(&writer->space, writer->view, code.qualname, NULL), "first_line", code.first_line);
    if (code.table && code.table_kind > 0 && code.table_kind < ARRAY_SIZE(table_kinds)) {
        error |= json_object_set_new(object, "table_kind", json_string(table_kinds[code.table_kind]));
        error |= json_object_set_new(object, "table", text_json_hex_ref(&writer->space, writer->view, code.table));
    }
    if (error)
        sink_fail(&writer->sink, -ENOMEM);
    sink_object(&writer->sink, object);
}

static void write_frame(struct writer *writer, uint32_t n, struct row_key key)
{
    uint32_t subject = (uint32_t)key.a;
    bool flag = key.a >> 32 & 1;
    char *to = sink_line(&writer->sink);

    to = put_number(put_text(to, "{\"frame\":"), n);
    switch ((enum frame_language)(key.a >> 40)) {
    case FRAME_NATIVE:
        to = put_number(put_text(to, ",\"language\":\"native\",\"module\":"), subject);
        to = put_hex(put_text(to, ",\"offset\":"), key.b);
        to = flag ? put_text(to, ",\"exact\":true") : to;
        break;
    case FRAME_PYTHON:
        to = put_number(put_text(to, ",\"language\":\"python\",\"code\":"), subject);
        to = put_number(put_text(to, ",\"instruction\":"), key.b);
        to = flag ? put_text(to, ",\"entry\":true") : to;
        break;
    case FRAME_CUT:
        to = put_number(put_text(to, ",\"language\":\"cut\",\"frames\":"), key.b);
        break;
    }
    sink_line_end(&writer->sink, put_text(to, "}"));
}

static void write_node(struct writer *writer, uint32_t n, struct row_key key)
{
    char *to = sink_line(&writer->sink);

    to = put_number(put_text(to, "{\"stack\":"), n);
    to = put_number(put_text(to, ",\"parent\":"), key.a >> 32);
    to = put_number(put_text(to, ",\"frame\":"), (uint32_t)key.a);
    sink_line_end(&writer->sink, put_text(to, "}"));
}

/* Appends the JSON of `value`, which is dropped, to writer->quoted. Returns its length, 0 when memory is out. */
static size_t quote(struct writer *writer, json_t *value)
{
    size_t length = value ? json_dumpb(value, NULL, 0, JSON_ENCODE_ANY) : 0;

    if (length && !bytes_reserve(&writer->quoted, writer->quoted_used + length))
        length = 0;
    if (length)
        json_dumpb(value, writer->quoted.data + writer->quoted_used, length, JSON_ENCODE_ANY);
    json_decref(value);
    return length;
}

/* The name of a type or domain, or a label, made into JSON once: there are few types, and up to a million groups. Returns NULL when memory is out. */
static const struct type_row *type_name(struct writer *writer, uint32_t ref)
{
    uint32_t n = table_intern(&writer->types, (struct row_key){ref, 0});
    struct type_row *type = n ? table_row(&writer->types, n) : NULL;

    if (type && type->length == 0) {
        type->offset = writer->quoted_used;
        type->length = quote(writer, text_json_ref(&writer->space, writer->view, ref, NULL));
        writer->quoted_used += type->length;
    }
    return type && type->length ? type : NULL;
}

/* What comes from the program is quoted already. Returns the place behind it in the line. */
static char *put_quoted(struct writer *writer, const char *to, const struct type_row *text)
{
    struct sink *sink = &writer->sink;

    sink->used = (size_t)(to - sink->buffer);
    sink_bytes(sink, writer->quoted.data + text->offset, text->length);
    return sink_line(sink);
}

/* `label`: enum node_meta has it. */
static char *put_label(struct writer *writer, char *to, uint64_t label)
{
    const struct type_row *text = (uint32_t)label ? type_name(writer, (uint32_t)label) : NULL;

    if (text)
        to = put_quoted(writer, put_text(to, ",\"label\":"), text);
    return label & LABEL_IGNORED ? put_text(to, ",\"ignored\":true") : to;
}

static void write_trace(struct writer *writer, uint32_t n, const struct trace_row *trace)
{
    char *to = sink_line(&writer->sink);

    to = put_number(put_text(to, "{\"trace\":"), n);
    to = put_number(put_text(to, ",\"native\":"), trace->key.a >> 32);
    to = put_number(put_text(to, ",\"python\":"), (uint32_t)trace->key.a);
    to = put_number(put_text(to, ",\"allocations\":"), trace->allocations);
    to = put_number(put_text(to, ",\"bytes\":"), trace->bytes);
    if (unlikely(trace->key.b != 0))
        to = put_label(writer, to, trace->key.b);
    sink_line_end(&writer->sink, put_text(to, "}"));
}

static void write_tables(struct writer *writer)
{
    const struct gathered *g = &writer->gathered;

    for (uint32_t n = 1; n <= g->modules.count; n++)
        write_module(writer, n, (uint32_t)((struct id_row *)table_row(&g->modules, n))->key.a);
    for (uint32_t n = 1; n <= g->codes.count; n++)
        write_code(writer, n, (uint32_t)((struct id_row *)table_row(&g->codes, n))->key.a);
    for (uint32_t n = 1; n <= g->frames.count; n++)
        write_frame(writer, n, ((struct frame_row *)table_row(&g->frames, n))->key);
    for (uint32_t n = 1; n <= g->nodes.count; n++)
        write_node(writer, n, ((struct node_row *)table_row(&g->nodes, n))->key);
    for (uint32_t n = 1; n <= g->traces.count; n++)
        write_trace(writer, n, table_row(&g->traces, n));
}

/* `name`: a JSON string with its quotes. */
static bool names_domain(enum block_domain domain, const char *name)
{
    static const char state[] = "\"" LEDGER_STATE_TYPE "\"";

    return ledger_names_domain(domain) && *name == '"' &&
           !(domain == DOMAIN_RAW && strncmp(name, state, strlen(state)) == 0);
}

static void write_group(struct writer *writer, uint32_t n, const struct group_row *group)
{
    unsigned kind = group->key.b >> GROUP_KIND_SHIFT & 0xf;
    enum block_domain domain = group->key.b >> GROUP_DOMAIN_SHIFT;
    const struct type_row *type = type_name(writer, (uint32_t)group->key.a);
    struct sink *sink = &writer->sink;
    const char *name;
    char *to;

    if (!type) {
        sink_fail(sink, -ENOMEM);
        return;
    }
    to = sink_line(sink);
    to = put_number(put_text(to, "{\"group\":"), n);
    to = put_number(put_text(to, ",\"trace\":"), gathered_trace(&writer->gathered, (uint32_t)(group->key.a >> 32)));
    name = kind_names[kind];
    to = put_bytes(put_text(to, ",\"kind\":\""), name, strlen(name));
    to = kind == BLOCK_UNKNOWN ? put_text(to, "\",\"known\":false") : put_text(to, "\",\"known\":true");
    name = domain_names[domain];
    if ((uint32_t)group->key.a && names_domain(domain, (const char *)writer->quoted.data + type->offset)) {
        to = put_quoted(writer, put_text(to, ",\"domain\":"), type);
        to = put_text(to, ",\"type\":null");
    } else {
        to = put_bytes(put_text(to, ",\"domain\":\""), name, strlen(name));
        to = put_quoted(writer, put_text(to, "\",\"type\":"), type);
    }
    to = group->key.b & GROUP_STARTUP ? put_text(to, ",\"startup\":true") : put_text(to, ",\"startup\":false");
    if (group->key.b & GROUP_INTERPRETER)
        to = put_text(to, ",\"interpreter\":true");
    to = put_number(put_text(to, ",\"blocks\":"), group->blocks);
    to = put_number(put_text(to, ",\"bytes\":"), group->bytes);
    if (writer->gathered.totals.sample)
        to = put_number(put_text(to, ",\"error_bytes\":"), rounded(__builtin_sqrt(group->variance)));
    sink_line_end(sink, put_text(to, "}"));
}

static void write_error(struct writer *writer, uint32_t n, const struct ledger_error *error)
{
    const struct gathered *g = &writer->gathered;

    sink_object(&writer->sink,
                json_pack("{s:I, s:s, s:s, s:o, s:I, s:I, s:o, s:I, s:I, s:I}", "error", number(n), "kind",
                          error_names[error->kind], "domain", domain_names[error->domain], "address",
                          hex(error->address), "size", number(error->size), "count", number(error->count), "detail",
                          text_json_ref(&writer->space, writer->view, error->detail, ""), "trace",
                          number(gathered_trace(g, error->trace)), "alloc_trace",
                          number(gathered_trace(g, error->alloc_trace)), "free_trace",
                          number(gathered_trace(g, error->free_trace))));
}

static void write_reference(struct writer *writer, uint32_t n, const struct ledger_reference *reference)
{
    sink_object(&writer->sink,
                json_pack("{s:I, s:I, s:o, s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "audit", number(n),
                          "trace", number(gathered_trace(&writer->gathered, reference->trace)), "type",
                          text_json_ref(&writer->space, writer->view, reference->type, NULL), "kind",
                          kind_names[reference->kind], "confidence", confidence_names[reference->confidence], "startup",
                          (reference->flags & RECORD_STARTUP) != 0, "interpreter",
                          (reference->flags & RECORD_INTERPRETER) != 0, "objects", number(reference->objects), "bytes",
                          number(reference->bytes), "surplus", number(reference->surplus), "least",
                          number(reference->least), "most", number(reference->most), "unseen",
                          text_json_ref(&writer->space, writer->view, reference->unseen, NULL)));
}

/* A root has neither trace nor size, and only a root has an address. */
static void write_link(struct writer *writer, uint32_t n, const struct link_row *row)
{
    static const char *const roles[] = {NULL, "block", "holder", "root", "referrer"};
    static const char *const roots[] = {"memory", "data", "stack"};
    const struct ledger_link *link = &row->link;
    json_t *object =
        json_pack("{s:I, s:I, s:s}", "why", number(n), "of", number(link->subject), "role", roles[link->role]);
    int error = 0;

    _Static_assert(ARRAY_SIZE(roles) == LINK_ROLE_COUNT && ARRAY_SIZE(roots) == LINK_ROOT_COUNT, "all have names");
    if (link->role == LINK_ROOT) {
        error |= json_object_set_new(object, "root", json_string(roots[link->root]));
        error |= json_object_set_new(object, "address", hex(link->offset));
        error |= json_object_set_new(object, "module", json_integer(row->module));
        error |= json_object_set_new(object, "offset", hex(row->module_offset));
    } else {
        error |= json_object_set_new(object, "trace", json_integer(gathered_trace(&writer->gathered, link->trace)));
        error |= json_object_set_new(object, "kind", json_string(kind_names[link->kind]));
        json_t *text = text_json_ref(&writer->space, writer->view, link->type, NULL);
        bool in_domain = link->type && ledger_names_domain(link->domain) && json_is_string(text) &&
                         !(link->domain == DOMAIN_RAW && strcmp(json_string_value(text), LEDGER_STATE_TYPE) == 0);
        error |= json_object_set_new(object, "domain",
                                     in_domain ? json_incref(text) : json_string(domain_names[link->domain]));
        error |= json_object_set_new(object, "type", in_domain ? json_null() : json_incref(text));
        json_decref(text);
        error |= json_object_set_new(object, "size", json_integer(number(link->size)));
        if (link->offset <= INT64_MAX)
            error |= json_object_set_new(object, "offset", hex(link->offset));
        if (link->name)
            error |= json_object_set_new(object, "name", text_json_ref(&writer->space, writer->view, link->name, NULL));
    }
    if (error)
        sink_fail(&writer->sink, -ENOMEM);
    sink_object(&writer->sink, object);
}

static void write_findings(struct writer *writer)
{
    const struct gathered *g = &writer->gathered;

    for (uint32_t n = 1; n <= g->groups.count && g->leak_check && !writer->sink.error; n++)
        write_group(writer, n, table_row(&g->groups, n));
    for (uint32_t n = 1; n <= g->errors.count; n++)
        write_error(writer, n, &((struct error_row *)table_row(&g->errors, n))->error);
    for (uint32_t n = 1; n <= g->references.count; n++)
        write_reference(writer, n, &((struct reference_row *)table_row(&g->references, n))->reference);
    for (uint32_t n = 1; n <= g->links.count && !writer->sink.error; n++)
        write_link(writer, n, table_row(&g->links, n));
}

static void write_totals(struct writer *writer)
{
    const struct ledger_header *header = writer->view->header;
    const struct totals *totals = &writer->gathered.totals;

    sink_object(&writer->sink,
                json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "totals",
                          1, "allocations", number(totals->allocations), "frees", number(totals->frees), "live_blocks",
                          number(totals->live_blocks), "live_bytes", number(totals->live_bytes), "peak_bytes",
                          number(totals->peak_bytes), "dropped", number(totals->dropped), "startup_blocks",
                          number(totals->startup_blocks), "startup_bytes", number(totals->startup_bytes),
                          "inherited_frees", number(header->inherited_frees), "refused", number(header->refused),
                          "threads", number(totals->threads), "self_checks", number(header->self_checks),
                          "self_check_differences", number(header->self_check_differences), "sample",
                          number(totals->sample), "error_bytes", number(totals->error_bytes)));
}

static void write_end(struct writer *writer)
{
    struct report_end end = report_end_of(writer->view->header, writer->end);

    sink_object(&writer->sink,
                json_pack("{s:b, s:s, s:i, s:o, s:o, s:I}", "end", 1, "ended", end.ended, "status", end.status, "time",
                          text_json_time(end.ended_at), "lacks", report_lacks(writer->view, writer->gathered.damaged),
                          "lines", number(writer->sink.lines + 1)));
}

/* Writes all of the report to an open stream or descriptor. */
static int write_report(const struct ledger_view *view, const struct report_end *end, FILE *file, int fd)
{
    struct writer writer = {.view = view, .end = end, .types = TABLE_OF(struct type_row)};
    int error = sink_init(&writer.sink, file, fd);

    if (!error)
        error = gathered_init(&writer.gathered, view);
    if (error) {
        sink_fail(&writer.sink, error);
    } else {
        write_head(&writer);
        write_tables(&writer);
        write_findings(&writer);
        report_write_counted(&writer.sink, &writer.space, &writer.gathered);
        write_totals(&writer);
        write_end(&writer);
    }
    gathered_done(&writer.gathered);
    text_space_done(&writer.space);
    table_done(&writer.types);
    bytes_done(&writer.quoted);
    return sink_done(&writer.sink);
}

int report_write(const struct ledger_view *view, const struct report_end *end, FILE *out)
{
    return write_report(view, end, out, -1);
}

int report_write_file(const struct ledger_view *view, const struct report_end *end, const char *path)
{
    struct report_file file;
    int error = report_file_open(&file, path);

    if (error)
        return error;
    error = write_report(view, end, NULL, file.fd);
    return report_file_close(&file, error);
}
