/* SPDX-License-Identifier: MIT */
#include "pool_report.h"

#include "compiler.h"
#include "memshim/report.h"
#include "pool_file.h"
#include "pool_heap.h"
#include "pool_stack.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* One line to come: an allocation or an attachment. */
struct finding {
    int32_t pid;
    uint64_t process_start;
    int64_t made_at;
    uint64_t bytes, id;
    uint32_t type, stack;
    bool is_attachment;
};

struct findings {
    struct finding *rows;
    size_t count, room;
    bool full; /* no memory */
};

/* ---- gathering ---- */

static void add(struct findings *findings, const struct finding *finding)
{
    if (findings->count == findings->room) {
        size_t room = findings->room ? 2 * findings->room : 64;
        struct finding *rows = reallocarray(findings->rows, room, sizeof(*rows));
        findings->full |= !rows;
        if (!rows)
            return;
        findings->rows = rows;
        findings->room = room;
    }
    findings->rows[findings->count++] = *finding;
}

/* False: no chunk in use, or one that changes just now. */
static bool read_chunk(const struct pool_view *view, uint32_t n, struct finding *ret)
{
    const struct pool_chunk *chunk = pool_chunk(view, n);

    if (__atomic_load_n(&chunk->state, __ATOMIC_ACQUIRE) != CHUNK_USED)
        return false;
    *ret = (struct finding){.pid = chunk->pid,
                            .process_start = chunk->process_start,
                            .made_at = chunk->made_at,
                            .bytes = MIN(chunk->asked, view->heap_size),
                            .id = chunk->id,
                            .type = chunk->type,
                            .stack = chunk->stack};
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&chunk->state, __ATOMIC_ACQUIRE) == CHUNK_USED && chunk->id == ret->id;
}

static void gather_attachments(const struct pool_view *view, struct findings *findings)
{
    for (uint32_t i = 0; i < POOL_ATTACHMENTS; i++) {
        const struct pool_attachment *attachment = &view->header->attachments[i];
        if (!__atomic_load_n(&attachment->used, __ATOMIC_ACQUIRE) ||
            pool_process_lives(attachment->pid, attachment->process_start))
            continue;
        add(findings, &(struct finding){.pid = attachment->pid,
                                        .process_start = attachment->process_start,
                                        .made_at = attachment->made_at,
                                        .stack = attachment->stack,
                                        .is_attachment = true});
    }
}

static int compare(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;

    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    if (x->process_start != y->process_start)
        return x->process_start < y->process_start ? -1 : 1;
    if (x->is_attachment != y->is_attachment)
        return x->is_attachment ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static struct findings gather(const struct pool_view *view, unsigned parts)
{
    struct findings findings = {0};
    struct finding finding;
    uint32_t limit = pool_chunk_limit(view);

    for (uint32_t n = 1; parts & POOL_REPORT_ALLOCATIONS && n < limit; n++)
        if (read_chunk(view, n, &finding))
            add(&findings, &finding);
    if (parts & POOL_REPORT_ATTACHMENTS)
        gather_attachments(view, &findings);
    if (findings.count)
        qsort(findings.rows, findings.count, sizeof(*findings.rows), compare);
    return findings;
}

bool pool_report_is_in_use(const struct pool_view *view, int32_t but)
{
    for (uint32_t i = 0; i < POOL_ATTACHMENTS; i++) {
        const struct pool_attachment *attachment = &view->header->attachments[i];
        if (__atomic_load_n(&attachment->used, __ATOMIC_ACQUIRE) && attachment->pid != but &&
            pool_process_lives(attachment->pid, attachment->process_start))
            return true;
    }
    return false;
}

bool pool_report_wanted(const struct pool_view *view, unsigned parts)
{
    struct findings findings = gather(view, parts);

    free(findings.rows);
    return findings.count > 0;
}

/* ---- JSON ---- */

struct writer {
    FILE *out;
    const struct pool_view *view;
    unsigned long lines;
    unsigned modules, codes, frames, nodes, traces, groups;
};

static void end_line(struct writer *writer)
{
    putc('\n', writer->out);
    writer->lines++;
}

/* Bytes above 0x7f go as they are when they may be UTF-8 text, which only looks at the lead bytes; a name that is not is the
 * program's own doing, and comes out with question marks. */
static size_t utf8_length(const unsigned char *at, size_t left)
{
    size_t length = *at < 0x80 ? 1 : *at >= 0xc2 && *at < 0xe0 ? 2 : *at >= 0xe1 && *at < 0xf0 && *at != 0xed ? 3 : 0;

    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static void put_bytes(FILE *out, const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;

    for (size_t i = 0, step; i < length; i += step) {
        step = utf8_length(at + i, length - i);
        if (step == 0) {
            putc('?', out);
            step = 1;
        } else if (at[i] < ' ' || at[i] == 0x7f) {
            fprintf(out, "\\u%04x", at[i]);
        } else {
            if (at[i] == '"' || at[i] == '\\')
                putc('\\', out);
            fwrite(at + i, 1, step, out);
        }
    }
}

/* Without the C library, which would read the time zone and allocate for it. Years are counted from March, so that the day that
 * some have comes last. */
static void put_time(FILE *out, int64_t time)
{
    int64_t seconds = MAX(time, (int64_t)0) / 1000000000, days = seconds / 86400 + 719468;
    int64_t era = days / 146097, day = days % 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t day_of_year = day - (365 * year + year / 4 - year / 100), month = (5 * day_of_year + 2) / 153;

    fprintf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)(year + era * 400 + (month >= 10)),
            (int)(month < 10 ? month + 3 : month - 9), (int)(day_of_year - (153 * month + 2) / 5 + 1),
            (int)(seconds / 3600 % 24), (int)(seconds / 60 % 60), (int)(seconds % 60),
            (int)(MAX(time, (int64_t)0) / 1000 % 1000000));
}

/* ---- stacks ---- */

/* One line of a stack, its four fields. */
struct frame_line {
    char kind;
    const char *fields[3];
    size_t lengths[3];
};

static bool split(const char *line, size_t length, struct frame_line *ret)
{
    const char *end = line + length, *at = line + 2;

    if (length < 2 || line[1] != '\t' || !strchr("nxpe", line[0]))
        return false;
    ret->kind = line[0];
    for (int i = 0; i < 3; i++) {
        const char *stop = i < 2 ? memchr(at, '\t', (size_t)(end - at)) : end;
        if (!stop)
            return false;
        ret->fields[i] = at;
        ret->lengths[i] = (size_t)(stop - at);
        at = stop + (i < 2);
    }
    return true;
}

static unsigned long long number_of(const struct frame_line *line, int base)
{
    char text[32];

    snprintf(text, sizeof(text), "%.*s", (int)MIN(line->lengths[2], sizeof(text) - 1), line->fields[2]);
    return strtoull(text, NULL, base);
}

static void put_native(struct writer *writer, const struct frame_line *line)
{
    FILE *out = writer->out;
    unsigned module = 0;

    if (line->lengths[0]) {
        module = ++writer->modules;
        fprintf(out, "{\"module\":%u,\"path\":\"", module);
        put_bytes(out, line->fields[0], line->lengths[0]);
        fputs("\",\"start\":\"0x0\",\"end\":\"0x0\",\"bias\":\"0x0\",\"build_id\":", out);
        if (line->lengths[1]) {
            putc('"', out);
            put_bytes(out, line->fields[1], line->lengths[1]);
            fputs("\"}", out);
        } else {
            fputs("null}", out);
        }
        end_line(writer);
    }
    fprintf(out, "{\"frame\":%u,\"language\":\"native\",\"module\":%u,\"offset\":\"0x%llx\"%s}", ++writer->frames,
            module, number_of(line, 16), line->kind == 'x' ? ",\"exact\":true" : "");
    end_line(writer);
}

static void put_python(struct writer *writer, const struct frame_line *line)
{
    FILE *out = writer->out;

    fprintf(out, "{\"code\":%u,\"file\":\"", ++writer->codes);
    put_bytes(out, line->fields[0], line->lengths[0]);
    fputs("\",\"name\":\"", out);
    put_bytes(out, line->fields[1], line->lengths[1]);
    fputs("\",\"qualname\":\"", out);
    put_bytes(out, line->fields[1], line->lengths[1]);
    fprintf(out, "\",\"first_line\":%llu}", MIN(number_of(line, 10), 0x7fffffffull));
    end_line(writer);
    /* the instruction before the first one: its line is first_line */
    fprintf(out, "{\"frame\":%u,\"language\":\"python\",\"code\":%u,\"instruction\":4294967295%s}", ++writer->frames,
            writer->codes, line->kind == 'e' ? ",\"entry\":true" : "");
    end_line(writer);
}

/* The lines of a text from its end to its beginning: callers come first. Returns the node of the innermost one. */
static unsigned put_chain(struct writer *writer, const char *text, size_t length, const char *kinds)
{
    unsigned parent = 0;

    while (length) {
        const char *before = memrchr(text, '\n', length - 1);
        size_t start = before ? (size_t)(before - text) + 1 : 0, size = length - start;
        struct frame_line line;
        size -= size && text[length - 1] == '\n';
        if (split(text + start, size, &line) && strchr(kinds, line.kind)) {
            if (line.kind == 'n' || line.kind == 'x')
                put_native(writer, &line);
            else
                put_python(writer, &line);
            fprintf(writer->out, "{\"stack\":%u,\"parent\":%u,\"frame\":%u}", ++writer->nodes, parent, writer->frames);
            end_line(writer);
            parent = writer->nodes;
        }
        length = start;
    }
    return parent;
}

/* Returns the number of the trace. */
static unsigned put_stack(struct writer *writer, uint32_t place)
{
    char copy[POOL_STACK_MAX];
    size_t length;
    const char *text = pool_stack_get(writer->view, place, &length);

    if (!text || length > sizeof(copy))
        return 0;
    memcpy(copy, text, length);
    unsigned native = put_chain(writer, copy, length, "nx");
    unsigned python = put_chain(writer, copy, length, "pe");
    if (!native && !python)
        return 0;
    fprintf(writer->out, "{\"trace\":%u,\"native\":%u,\"python\":%u,\"allocations\":1,\"bytes\":0}", ++writer->traces,
            native, python);
    end_line(writer);
    return writer->traces;
}

/* ---- one report ---- */

static void put_head(struct writer *writer, int32_t pid, int64_t time)
{
    FILE *out = writer->out;
    const char *name = writer->view->header->name;
    size_t length = strnlen(name, POOL_NAME_MAX);

    fprintf(
        out,
        "{\"memshim\":%d,\"schema\":\"%s\",\"version\":\"%s\",\"pid\":%d,\"ppid\":0,\"sequence\":0,\"program\":\"pool ",
        MEMSHIM_REPORT_VERSION, MEMSHIM_REPORT_SCHEMA, MEMSHIM_VERSION, (int)MAX(pid, 0));
    put_bytes(out, name, length);
    fputs("\",\"argv\":[\"pool ", out);
    put_bytes(out, name, length);
    fputs("\"],\"python\":null,\"started\":\"", out);
    put_time(out, time);
    fputs("\",\"options\":\"\",\"forked\":false}", out);
    end_line(writer);
}

static void put_group(struct writer *writer, const struct finding *finding, unsigned trace, bool in_use)
{
    FILE *out = writer->out;
    const char *name = writer->view->header->name;

    fprintf(out, "{\"group\":%u,\"trace\":%u,\"kind\":\"%s\",\"known\":true,\"domain\":\"%s\",\"type\":\"",
            ++writer->groups, trace, in_use ? "reachable" : "definite",
            finding->is_attachment ? "pool-attachment" : "pool");
    put_bytes(out, name, strnlen(name, POOL_NAME_MAX));
    if (!finding->is_attachment)
        fprintf(out, ": type %" PRIu32 ", id %" PRIu64, finding->type, finding->id);
    fprintf(out, "\",\"startup\":false,\"blocks\":1,\"bytes\":%" PRIu64 "}", finding->bytes);
    end_line(writer);
}

static void put_end(struct writer *writer, const struct finding *rows, size_t count)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += rows[i].bytes;
    fprintf(writer->out,
            "{\"totals\":true,\"allocations\":%zu,\"frees\":0,\"live_blocks\":%zu,\"live_bytes\":%" PRIu64
            ",\"peak_bytes\":%" PRIu64 ",\"dropped\":0,\"startup_blocks\":0,\"startup_bytes\":0,\"inherited_frees\":0,"
            "\"threads\":0,\"self_checks\":0,\"self_check_differences\":0,\"sample\":0,\"error_bytes\":0}",
            count, count, bytes, bytes);
    end_line(writer);
    fprintf(writer->out, "{\"end\":true,\"ended\":\"unknown\",\"status\":0,\"time\":null,\"lacks\":[],\"lines\":%lu}",
            writer->lines + 1);
    end_line(writer);
}

/* The report of one process; all traces come before the groups. */
static int put_process(const struct pool_view *view, const struct finding *rows, size_t count, unsigned parts,
                       FILE *out)
{
    struct writer writer = {.out = out, .view = view};
    unsigned *traces = calloc(count + 1, sizeof(*traces));

    if (!traces)
        return -ENOMEM;
    put_head(&writer, count ? rows->pid : view->header->creator, count ? rows->made_at : view->header->created_at);
    for (size_t i = 0; i < count; i++) {
        bool same = i > 0 && rows[i].stack == rows[i - 1].stack;
        traces[i] = same ? traces[i - 1] : put_stack(&writer, rows[i].stack);
    }
    for (size_t i = 0; i < count; i++)
        put_group(&writer, &rows[i], traces[i], parts & POOL_REPORT_IN_USE);
    put_end(&writer, rows, count);
    free(traces);
    return 0;
}

int pool_report_write(const struct pool_view *view, unsigned parts, FILE *out)
{
    struct findings findings = gather(view, parts);
    int result = findings.full ? -ENOMEM : 0;
    size_t first = 0;

    do {
        size_t end = first;
        while (end < findings.count && findings.rows[end].pid == findings.rows[first].pid &&
               findings.rows[end].process_start == findings.rows[first].process_start)
            end++;
        if (!result)
            result = put_process(view, findings.rows ? findings.rows + first : NULL, end - first, parts, out);
        first = end;
    } while (first < findings.count && !result);
    free(findings.rows);
    if (!result && (fflush(out) || ferror(out)))
        result = errno ? -errno : -EIO;
    return result;
}
