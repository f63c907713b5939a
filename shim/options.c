/* SPDX-License-Identifier: MIT
 *
 * The options of the shim: options.h's table, and the grammar of names, values and quotes; option_values.c knows what a value may
 * be. It runs in the traced process before its main, so: no allocation, no stdio but snprintf into local buffers, no state. */
#include "options.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_LENGTH 31
#define SHOWN_MAX 64 /* bytes of a bad name or value in a message */

/* A piece of text that is not terminated. */
struct slice {
    const char *start;
    size_t length;
};

static const struct option_row rows[] = {
#define OPTION_ROW(name, type, value, low, high, argument, help) \
    {#name, type, value, low, high, argument, help, offsetof(struct options, name)},
    OPTION_TABLE(OPTION_ROW)
#undef OPTION_ROW
};

const struct option_row *options_rows(size_t *count)
{
    *count = ARRAY_SIZE(rows);
    return rows;
}

void options_defaults(struct options *options)
{
    memset(options, 0, sizeof(*options));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        (void)option_set(options, &rows[i], rows[i].value, strlen(rows[i].value));
}

/* How names are compared: '-' is '_'. */
static char name_char(char c)
{
    return c == '-' ? '_' : c;
}

const struct option_row *option_find(const char *name, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t at = 0;
        while (at < length && rows[i].name[at] && name_char(name[at]) == rows[i].name[at])
            at++;
        if (at == length && rows[i].name[at] == 0)
            return &rows[i];
    }
    return NULL;
}

/* Edit distance (insert, delete, replace, swap of neighbours) of two names of up to NAME_MAX_LENGTH bytes. */
static unsigned name_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned d[3][NAME_MAX_LENGTH + 1]; /* rows i-2, i-1 and i of the table, by i % 3 */

    for (size_t j = 0; j <= b_length; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_length; i++) {
        unsigned *row = d[i % 3], *above = d[(i + 2) % 3], *second = d[(i + 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            bool same = name_char(a[i - 1]) == name_char(b[j - 1]);
            unsigned best = MIN(above[j] + 1, row[j - 1] + 1);

            best = MIN(best, above[j - 1] + !same);
            if (i > 1 && j > 1 && name_char(a[i - 1]) == name_char(b[j - 2]) &&
                name_char(a[i - 2]) == name_char(b[j - 1]))
                best = MIN(best, second[j - 2] + 1);
            row[j] = best;
        }
    }
    return d[a_length % 3][b_length];
}

const struct option_row *option_nearest(const char *name, size_t length)
{
    const struct option_row *nearest = NULL;
    unsigned best = UINT32_MAX;

    if (length == 0 || length > NAME_MAX_LENGTH)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t row_length = strlen(rows[i].name);
        unsigned distance = name_distance(name, length, rows[i].name, row_length);

        /* Near: at most a third of the longer name differs. */
        if (distance * 3 <= MAX(length, row_length) && distance < best) {
            best = distance;
            nearest = &rows[i];
        }
    }
    return nearest;
}

/* A slice as a message may show it: one line, printable, not long. */
static const char *shown(struct slice slice, char buffer[SHOWN_MAX + 4])
{
    size_t length = MIN(slice.length, (size_t)SHOWN_MAX);

    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)slice.start[i];
        buffer[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    memcpy(buffer + length, length < slice.length ? "..." : "", length < slice.length ? 4 : 1);
    return buffer;
}

/* Where the warnings of one parse go. */
struct warnings {
    option_warning warn;
    void *context;
};

static void warn_text(const struct warnings *to, const char *before, struct slice subject, const char *after)
{
    char text[256];
    char subject_text[SHOWN_MAX + 4];

    if (!to->warn)
        return;
    snprintf(text, sizeof(text), "%s '%s'%s", before, shown(subject, subject_text), after);
    to->warn(to->context, text);
}

static void warn_unknown(const struct warnings *to, struct slice name)
{
    const struct option_row *nearest = option_nearest(name.start, name.length);
    char hint[NAME_MAX_LENGTH + 32] = "";

    if (nearest)
        snprintf(hint, sizeof(hint), " (did you mean '%s'?)", nearest->name);
    warn_text(to, "unknown option", name, hint);
}

static void warn_value(const struct warnings *to, const struct options *options, const struct option_row *row,
                       struct slice value)
{
    char expected[80];
    char kept[SHOWN_MAX];
    char after[256];

    option_expected(row, expected, sizeof(expected));
    option_format(options, row, kept, sizeof(kept));
    snprintf(after, sizeof(after), " for option '%s': expected %s; using %s", row->name, expected,
             kept[0] ? kept : "''");
    warn_text(to, "bad value", value, after);
}

/* Reads the value at *at up to its ':' or the end. A value in quotes is put together in `buffer`. Returns false when a quote
 * is not closed, something follows it, or the value is longer than any may be. */
static bool read_value(const char **at, char *buffer, size_t size, struct slice *value)
{
    const char *from = *at;
    size_t length = 0;
    bool fits = true;

    if (*from != '\'' && *from != '"') {
        *value = (struct slice){from, strcspn(from, ":")};
        *at = from + value->length;
        return true;
    }
    while (*from == '\'' || *from == '"') {
        const char *close = strchr(from + 1, *from);
        size_t piece = close ? (size_t)(close - from - 1) : 0;

        if (!close) {
            *at = from + strlen(from);
            return false;
        }
        fits = fits && piece < size - length;
        if (fits) {
            memcpy(buffer + length, from + 1, piece);
            length += piece;
        }
        from = close + 1;
    }
    *value = (struct slice){buffer, length};
    *at = from + strcspn(from, ":");
    return fits && *at == from;
}

/* Handles one pair at `at` (not empty), and returns what follows it: a ':' or the end. */
static const char *parse_pair(struct options *options, const char *at, const struct warnings *to)
{
    struct slice name = {at, strcspn(at, "=:")};
    const struct option_row *row = option_find(name.start, name.length);
    char buffer[OPTION_TEXT_MAX];
    struct slice value;
    bool well_formed;

    at += name.length;
    if (*at != '=') {
        if (row)
            warn_text(to, "option", name, " has no value");
        else
            warn_unknown(to, name);
        return at;
    }
    at++;
    well_formed = read_value(&at, buffer, sizeof(buffer), &value);
    if (!row)
        warn_unknown(to, name);
    else if (!well_formed)
        warn_text(to, "value of option", name, " is badly quoted or too long");
    else if (option_set(options, row, value.start, value.length))
        warn_value(to, options, row, value);
    return at;
}

void options_parse(struct options *options, const char *text, option_warning warn, void *context)
{
    struct warnings to = {warn, context};

    while (text && *text) {
        if (*text == ':')
            text++;
        else
            text = parse_pair(options, text, &to);
    }
}

/* Text under construction, cut at `size` but counted in full. */
struct output {
    char *buffer;
    size_t size;
    size_t length;
};

static void output_add(struct output *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++, out->length++) {
        if (out->length + 1 < out->size)
            out->buffer[out->length] = text[i];
    }
}

static bool is_default(const struct options *options, const struct option_row *row)
{
    struct options defaults;

    if (row->type == OPTION_PATH)
        return strcmp((const char *)options + row->offset, row->value) == 0;
    (void)option_set(&defaults, row, row->value, strlen(row->value));
    return memcmp((const char *)options + row->offset, (const char *)&defaults + row->offset, sizeof(uint64_t)) == 0;
}

/* Adds a value so that read_value gives it back: in quotes where it must be, and each run of one kind of quote mark inside
 * the other kind. */
static void output_value(struct output *out, const char *value)
{
    if (*value != '\'' && *value != '"' && !strchr(value, ':')) {
        output_add(out, value, strlen(value));
        return;
    }
    while (*value) {
        const char *quote = *value == '\'' ? "\"" : "'";
        size_t piece = strcspn(value, quote);

        output_add(out, quote, 1);
        output_add(out, value, piece);
        output_add(out, quote, 1);
        value += piece;
    }
}

size_t options_format(const struct options *options, char *buffer, size_t size)
{
    struct output out = {buffer, size, 0};
    char value[OPTION_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (is_default(options, &rows[i]))
            continue;
        if (out.length)
            output_add(&out, ":", 1);
        output_add(&out, rows[i].name, strlen(rows[i].name));
        output_add(&out, "=", 1);
        option_format(options, &rows[i], value, sizeof(value));
        output_value(&out, value);
    }
    if (size)
        buffer[MIN(out.length, size - 1)] = 0;
    return out.length;
}
