/* SPDX-License-Identifier: MIT
 *
 * The scanner for flat lines accepts only what needs no decoding; whatever else it meets, right or wrong, is left to
 * jansson, so that there is one judge of what JSON is. */
#include "line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 18 /* of a number that fits in int64_t whatever they are */

/* Printable ASCII except '"' and '\'. */
static const bool is_plain[256] = {[' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};

static const char *skip_spaces(const char *p, const char *end)
{
    while (p < end && *p == ' ')
        p++;
    return p;
}

/* `p` is behind the opening quote. Returns the place of the closing one, or NULL. */
static const char *scan_text(const char *p, const char *end)
{
    while (p < end && is_plain[(unsigned char)*p])
        p++;
    return p < end && *p == '"' ? p : NULL;
}

/* Returns the place behind the number, or NULL. */
static const char *scan_number(const char *p, const char *end, int64_t *ret)
{
    const char *start = p;
    int64_t number = 0;

    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (p - start == DIGITS_MAX)
            return NULL;
        number = number * 10 + (*p - '0');
    }
    if (p == start || (p - start > 1 && *start == '0'))
        return NULL;
    *ret = number;
    return p;
}

static const char *scan_word(const char *p, const char *end, struct value *ret)
{
    static const struct {
        const char *text;
        size_t length;
        enum value_kind kind;
        int64_t number;
    } words[] = {{"false", 5, VALUE_BOOL, 0}, {"null", 4, VALUE_NULL, 0}, {"true", 4, VALUE_BOOL, 1}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (*p != *words[i].text || (size_t)(end - p) < words[i].length ||
            memcmp(p, words[i].text, words[i].length) != 0)
            continue;
        ret->kind = words[i].kind;
        ret->number = words[i].number;
        return p + words[i].length;
    }
    return NULL;
}

static const char *scan_value(const char *p, const char *end, struct value *ret)
{
    const char *stop;

    if (p >= end)
        return NULL;
    if (*p == '"') {
        stop = scan_text(p + 1, end);
        if (!stop)
            return NULL;
        ret->kind = VALUE_TEXT;
        ret->text = p + 1;
        ret->length = (size_t)(stop - ret->text);
        return stop + 1;
    }
    if (*p >= '0' && *p <= '9') {
        ret->kind = VALUE_NUMBER;
        return scan_number(p, end, &ret->number);
    }
    return scan_word(p, end, ret);
}

/* One `"key": value`. Returns the place behind it, or NULL. */
static const char *scan_field(const char *p, const char *end, struct field *ret)
{
    const char *stop;

    if (p >= end || *p != '"')
        return NULL;
    stop = scan_text(p + 1, end);
    if (!stop)
        return NULL;
    ret->key = p + 1;
    ret->key_length = (size_t)(stop - ret->key);
    ret->value = (struct value){0};
    p = skip_spaces(stop + 1, end);
    if (p >= end || *p != ':')
        return NULL;
    return scan_value(skip_spaces(p + 1, end), end, &ret->value);
}

/* True if the line was one flat object. */
static bool scan_line(const char *p, const char *end, struct line *ret)
{
    if (p >= end || *p != '{')
        return false;
    do {
        if (ret->count == LINE_FIELDS_MAX)
            return false;
        p = scan_field(skip_spaces(p + 1, end), end, &ret->fields[ret->count]);
        if (!p)
            return false;
        ret->count++;
        p = skip_spaces(p, end);
    } while (p < end && *p == ',');
    if (p >= end || *p != '}')
        return false;
    return skip_spaces(p + 1, end) == end;
}

/* jansson does not always tell lack of memory from bad input; a line must not count as damaged for it. */
static bool memory_out;

static void *noting_malloc(size_t size)
{
    void *memory = malloc(size);

    if (!memory)
        memory_out = true;
    return memory;
}

static int parse_by_jansson(const char *text, size_t length, struct line *ret, char *why)
{
    json_error_t error;
    void *first;

    memory_out = false;
    json_set_alloc_funcs(noting_malloc, free);
    ret->count = 0;
    ret->json = json_loadb(text, length, JSON_ALLOW_NUL, &error);
    if (memory_out) {
        line_clear(ret);
        return -ENOMEM;
    }
    if (!json_is_object(ret->json)) {
        snprintf(why, 256, "%s", ret->json ? "not an object" : error.text);
        json_decref(ret->json);
        ret->json = NULL;
        return -EINVAL;
    }
    first = json_object_iter(ret->json);
    ret->kind = first ? json_object_iter_key(first) : "";
    ret->kind_length = strlen(ret->kind);
    return 0;
}

int line_parse(const char *text, size_t length, struct line *ret, char why[static 256])
{
    ret->json = NULL;
    ret->count = 0;
    ret->next = 0;
    if (!scan_line(text, text + length, ret))
        return parse_by_jansson(text, length, ret, why);
    ret->kind = ret->fields[0].key;
    ret->kind_length = ret->fields[0].key_length;
    return 0;
}

void line_clear(struct line *line)
{
    json_decref(line->json);
    line->json = NULL;
}

static struct value from_jansson(json_t *json)
{
    struct value value = {.kind = VALUE_OTHER};

    if (!json) {
        value.kind = VALUE_NONE;
    } else if (json_is_null(json)) {
        value.kind = VALUE_NULL;
    } else if (json_is_boolean(json)) {
        value.kind = VALUE_BOOL;
        value.number = json_is_true(json);
    } else if (json_is_integer(json)) {
        value.kind = VALUE_NUMBER;
        value.number = json_integer_value(json);
    } else if (json_is_string(json)) {
        value.kind = VALUE_TEXT;
        value.text = json_string_value(json);
        value.length = json_string_length(json);
    } else if (json_is_array(json)) {
        value.kind = VALUE_LIST;
        value.list = json;
    }
    return value;
}

/* Most keys are short, and the first letters tell most of them apart: faster than by the C library. */
static bool is_key(const struct field *field, const char *key)
{
    size_t i = 0;

    while (i < field->key_length && field->key[i] == key[i])
        i++;
    return i == field->key_length && !key[i];
}

struct value line_get(struct line *line, const char *key)
{
    if (line->json)
        return from_jansson(json_object_get(line->json, key));
    for (size_t i = 0; i < line->count; i++) {
        size_t at = line->next + i < line->count ? line->next + i : line->next + i - line->count;

        if (!is_key(&line->fields[at], key))
            continue;
        line->next = at + 1 == line->count ? 0 : at + 1;
        return line->fields[at].value;
    }
    return (struct value){0};
}

bool value_number(struct value value, int64_t low, int64_t high, int64_t *ret)
{
    if (value.kind != VALUE_NUMBER || value.number < low || value.number > high)
        return false;
    *ret = value.number;
    return true;
}

bool value_hex(struct value value, uint64_t *ret)
{
    uint64_t number = 0;

    if (value.kind != VALUE_TEXT || value.length < 3 || value.length > 18 || memcmp(value.text, "0x", 2) != 0)
        return false;
    for (size_t i = 2; i < value.length; i++) {
        char c = value.text[i];
        unsigned int digit;

        if (c >= '0' && c <= '9')
            digit = (unsigned int)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned int)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            digit = (unsigned int)(c - 'A' + 10);
        else
            return false;
        number = number << 4 | digit;
    }
    *ret = number;
    return true;
}
