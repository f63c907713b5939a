/* SPDX-License-Identifier: MIT
 *
 * See rows_fields.h. */
#include "rows_fields.h"

#include "compiler.h"
#include "text_pool.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SYMBOLS_MAX 64 /* of one frame: functions inlined into each other */

/* Texts of the model are C strings, so a NUL becomes the four characters that the writer has for a byte that is not
 * UTF-8. */
static const char *pool_escaped(struct rows *rows, const char *text, size_t length)
{
    _cleanup_free_ char *escaped = length < SIZE_MAX / 4 ? malloc(4 * length + 1) : NULL;
    char *to = escaped;

    if (!escaped)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        if (text[i])
            *to++ = text[i];
        else
            to = mempcpy(to, "\\x00", 4);
    }
    return text_pool_add(rows->process->texts, escaped, (size_t)(to - escaped));
}

static const char *pool_text(struct rows *rows, const char *text, size_t length)
{
    if (memchr(text, '\0', length))
        return pool_escaped(rows, text, length);
    return text_pool_add(rows->process->texts, text, length);
}

int get_text(struct rows *rows, struct line *line, const char *key, const char *otherwise, const char **ret)
{
    struct value value = line_get(line, key);

    *ret = otherwise;
    if (value.kind != VALUE_TEXT)
        return 0;
    *ret = pool_text(rows, value.text, value.length);
    return *ret ? 0 : -ENOMEM;
}

bool get_id(struct line *line, const char *key, size_t limit, uint32_t *ret)
{
    int64_t number;

    if (limit == 0 || !value_number(line_get(line, key), 0, (int64_t)limit - 1, &number))
        return false;
    *ret = (uint32_t)number;
    return true;
}

bool get_count(struct line *line, const char *key, uint64_t *ret)
{
    int64_t number;

    if (!value_number(line_get(line, key), 0, INT64_MAX, &number))
        return false;
    *ret = (uint64_t)number;
    return true;
}

uint64_t get_count_or_0(struct line *line, const char *key)
{
    uint64_t number = 0;

    return get_count(line, key, &number) ? number : 0;
}

int get_int(struct line *line, const char *key, int otherwise)
{
    int64_t number;

    return value_number(line_get(line, key), INT_MIN, INT_MAX, &number) ? (int)number : otherwise;
}

bool get_bool(struct line *line, const char *key)
{
    struct value value = line_get(line, key);

    return value.kind == VALUE_BOOL && value.number;
}

int get_list(struct rows *rows, struct line *line, const char *key, const char ***ret, size_t *ret_count)
{
    struct value value = line_get(line, key);
    size_t size = value.kind == VALUE_LIST ? json_array_size(value.list) : 0;
    const char **texts;
    size_t count = 0;

    texts = text_pool_take(rows->process->texts, (size + 1) * sizeof(*texts));
    if (!texts)
        return -ENOMEM;
    for (size_t i = 0; i < size; i++) {
        json_t *item = json_array_get(value.list, i);

        if (!json_is_string(item))
            continue;
        texts[count] = pool_text(rows, json_string_value(item), json_string_length(item));
        if (!texts[count++])
            return -ENOMEM;
    }
    texts[count] = NULL;
    *ret = texts;
    *ret_count = count;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int get_bytes(struct rows *rows, struct line *line, const char *key, const uint8_t **ret, size_t *ret_size)
{
    struct value value = line_get(line, key);
    uint8_t *bytes;

    *ret = NULL;
    *ret_size = 0;
    if (value.kind != VALUE_TEXT || value.length == 0)
        return 0;
    if (value.length % 2 != 0)
        return -EINVAL;
    bytes = text_pool_take(rows->process->texts, value.length / 2);
    if (!bytes)
        return -ENOMEM;
    for (size_t i = 0; i < value.length / 2; i++) {
        int high = hex_digit(value.text[2 * i]), low = hex_digit(value.text[2 * i + 1]);

        if (high < 0 || low < 0)
            return -EINVAL;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret = bytes;
    *ret_size = value.length / 2;
    return 0;
}

/* A text of an object within a line, NULL without. */
static int get_inner_text(struct rows *rows, const json_t *object, const char *key, const char **ret)
{
    const json_t *text = json_object_get(object, key);

    *ret = json_is_string(text) ? pool_text(rows, json_string_value(text), json_string_length(text)) : NULL;
    return json_is_string(text) && !*ret ? -ENOMEM : 0;
}

static int get_symbol(struct rows *rows, const json_t *object, struct symbol *ret)
{
    json_int_t line = json_integer_value(json_object_get(object, "line"));
    int r;

    *ret = (struct symbol){.line = line > 0 && line <= INT_MAX ? (int)line : 0};
    r = get_inner_text(rows, object, "function", &ret->function);
    if (r == 0)
        r = get_inner_text(rows, object, "mangled", &ret->mangled);
    return r < 0 ? r : get_inner_text(rows, object, "file", &ret->file);
}

int rows_add_symbols(struct rows *rows, struct line *line)
{
    struct process *process = rows->process;
    struct value value = line_get(line, "symbols");
    size_t count = value.kind == VALUE_LIST ? MIN(json_array_size(value.list), (size_t)SYMBOLS_MAX) : 0;

    if (count == 0)
        return 0;
    if (process->frame_count > process->symbol_count) {
        size_t room = rows->tables[ROWS_FRAMES].capacity;
        struct symbol_list *larger = reallocarray(process->symbols, room, sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        memset(larger + process->symbol_count, 0, (room - process->symbol_count) * sizeof(*larger));
        process->symbols = larger;
        process->symbol_count = room;
    }
    struct symbol *symbols = text_pool_take(process->texts, count * sizeof(*symbols));
    int r = symbols ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = get_symbol(rows, json_array_get(value.list, i), &symbols[i]);
    if (r == 0)
        process->symbols[process->frame_count - 1] = (struct symbol_list){symbols, count};
    return r;
}
