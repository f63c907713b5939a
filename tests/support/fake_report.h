/* SPDX-License-Identifier: MIT
 *
 * For tests of the report writer: a ledger made by hand and the lines of its report. One per test program. */
#ifndef TESTS_FAKE_REPORT_H
#define TESTS_FAKE_REPORT_H

#include "report_writer.h"

#include "fake_ledger.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>

#define LINES_MAX 4096

struct report {
    json_t *lines[LINES_MAX];
    size_t count;
};

static struct fake_ledger fake;

static inline void set_up(void)
{
    fake_init(&fake);
}

static inline void tear_down(void)
{
    fake_done(&fake);
}

static inline void parse_report(struct report *report, char *text, size_t size)
{
    report->count = 0;
    for (char *line = text; line < text + size;) {
        char *newline = memchr(line, '\n', (size_t)(text + size - line));
        json_error_t error;

        cr_assert(newline, "the last line ends");
        cr_assert(report->count < LINES_MAX);
        report->lines[report->count] = json_loadb(line, (size_t)(newline - line), JSON_ALLOW_NUL, &error);
        cr_assert(report->lines[report->count], "line %zu: %s", report->count + 1, error.text);
        report->count++;
        line = newline + 1;
    }
}

static inline void free_report(struct report *report)
{
    for (size_t i = 0; i < report->count; i++)
        json_decref(report->lines[i]);
    report->count = 0;
}

/* The report of the first `size` bytes of the ledger. Returns what report_write returned, or the error of the open. */
static inline int make_report(struct report *report, size_t size, const struct report_end *end)
{
    int fd = fake_file(&fake, size);
    struct ledger_view view;
    char *text = NULL;
    size_t length = 0;
    FILE *out;
    int error = ledger_view_open_fd(&view, fd, NULL);

    report->count = 0;
    close(fd);
    if (error)
        return error;
    out = open_memstream(&text, &length);
    error = report_write(&view, end, out);
    fclose(out);
    ledger_view_close(&view);
    if (!error)
        parse_report(report, text, length);
    free(text);
    return error;
}

static inline void report_of_fake(struct report *report)
{
    cr_assert_eq(make_report(report, fake.size, NULL), 0);
}

/* The n-th line (from 0) that has `key`, or NULL. */
static inline json_t *line_with(const struct report *report, const char *key, size_t n)
{
    for (size_t i = 0; i < report->count; i++) {
        if (json_object_get(report->lines[i], key) && n-- == 0)
            return report->lines[i];
    }
    return NULL;
}

static inline size_t count_with(const struct report *report, const char *key)
{
    size_t count = 0;

    while (line_with(report, key, count))
        count++;
    return count;
}

static inline json_int_t number_of(const json_t *line, const char *key)
{
    cr_assert(json_is_integer(json_object_get(line, key)), "%s is a number", key);
    return json_integer_value(json_object_get(line, key));
}

static inline const char *text_of(const json_t *line, const char *key)
{
    cr_assert(json_is_string(json_object_get(line, key)), "%s is a string", key);
    return json_string_value(json_object_get(line, key));
}

static inline bool lacks_something_with(const struct report *report, const char *part)
{
    json_t *lacks = json_object_get(line_with(report, "ended", 0), "lacks");
    json_t *text;
    size_t i;

    json_array_foreach(lacks, i, text)
    {
        if (strstr(json_string_value(text), part))
            return true;
    }
    return false;
}

static inline uint32_t add_module(uint64_t start, uint64_t end, const char *path, uint32_t first, uint32_t last)
{
    struct ledger_module module = {
        .start = start, .end = end, .bias = start - 0x1000, .first_epoch = first, .last_epoch = last};

    module.path = fake_text(&fake, path);
    module.build_id_size = 2;
    module.build_id[0] = 0xab;
    module.build_id[1] = 0x01;
    return fake_add(&fake, LEDGER_MODULES, &module);
}

static inline uint32_t add_code(const char *name)
{
    struct ledger_code code = {.used = 1, .first_line = 7, .table_kind = CODE_LOCATIONS_311};

    code.file = fake_text(&fake, "/x.py");
    code.name = fake_text(&fake, name);
    code.table = fake_text_pieces(&fake, "\x80\x00\xff", 3, 2);
    return fake_add(&fake, LEDGER_CODES, &code);
}

/* A block that another holds, which a variable of /lib/a.so points to. */
static inline void fake_links(uint32_t trace, uint32_t type)
{
    struct ledger_link link = {.role = LINK_BLOCK,
                               .subject = 1,
                               .trace = trace,
                               .type = type,
                               .kind = BLOCK_DEFINITE,
                               .domain = DOMAIN_OBJ,
                               .size = 16,
                               .offset = UINT64_MAX};

    fake_add(&fake, LEDGER_LINKS, &link);
    link.role = LINK_HOLDER;
    link.offset = 24;
    link.name = fake_text(&fake, "cache");
    fake_add(&fake, LEDGER_LINKS, &link);
    fake_add(&fake, LEDGER_LINKS,
             &(struct ledger_link){.role = LINK_ROOT, .subject = 1, .root = LINK_ROOT_DATA, .offset = 0x10300});
}

/* A ledger with some of everything; two blocks of one stack, one of another. */
static inline void fill(void)
{
    uint32_t native, python, trace, other, type;

    add_module(0x7000, 0x8000, "/not/used.so", 0, UINT32_MAX);
    add_module(0x10000, 0x20000, "/lib/a.so", 0, UINT32_MAX);
    add_code("unused");
    fake_node(&fake, 0, 0x7100, NODE_NATIVE);
    native = fake_node(&fake, 0, 0x10100, NODE_NATIVE);
    native = fake_node(&fake, native, 0x10200, NODE_NATIVE | NODE_EXACT);
    python = fake_node(&fake, 0, 5, NODE_CUT);
    python = fake_node(&fake, python, (uint64_t)add_code("f") << 32 | 42, NODE_PYTHON | NODE_ENTRY);
    fake_trace(&fake, 1, 0, 1, 1);
    trace = fake_trace(&fake, native, python, 10, 1000);
    other = fake_trace(&fake, native, 0, 5, 50);
    type = fake_text(&fake, "list");
    fake_block(&fake, 16, trace, DOMAIN_OBJ, BLOCK_DEFINITE << RECORD_KIND_SHIFT, type);
    fake_block(&fake, 48, trace, DOMAIN_OBJ, BLOCK_DEFINITE << RECORD_KIND_SHIFT, type);
    fake_block(&fake, 100, other, DOMAIN_NEW_ARRAY, RECORD_STARTUP, 0);
    fake_add(&fake, LEDGER_ERRORS,
             &(struct ledger_error){.kind = ERROR_DOUBLE_FREE,
                                    .domain = DOMAIN_MEM,
                                    .address = 0xabc,
                                    .size = 16,
                                    .count = 2,
                                    .trace = other,
                                    .free_trace = trace,
                                    .detail = fake_text(&fake, "freed twice")});
    fake_add(
        &fake, LEDGER_THREADS,
        &(struct ledger_thread){.used = 1, .allocations = 20, .frees = 17, .dropped = 1, .balance = 64, .high = 300});
    fake_add(&fake, LEDGER_TALLIES, &(struct ledger_tally){.trace = other, .allocations = 2, .bytes = 20});
    fake_add(&fake, LEDGER_THREADS, &(struct ledger_thread){.used = 1, .allocations = 2, .frees = 2, .balance = -10});
    fake_add(&fake, LEDGER_REFERENCES,
             &(struct ledger_reference){.used = 1,
                                        .trace = trace,
                                        .type = type,
                                        .kind = BLOCK_DEFINITE,
                                        .confidence = CONFIDENCE_HIGH,
                                        .least = 1,
                                        .most = 3,
                                        .objects = 2,
                                        .bytes = 64,
                                        .surplus = 4});
    fake_links(trace, type);
    fake_header(&fake)->live_bytes = 1000;
    fake_header(&fake)->peak_bytes = 1200;
}

#endif
