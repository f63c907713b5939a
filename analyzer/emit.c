/* SPDX-License-Identifier: MIT
 *
 * Memory streams; escaping, one function per syntax. See emit.h. */
#include "emit.h"

#include "compiler.h"
#include "text.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Makes room for `more` bytes and a NUL. */
static bool grow(struct memo *memo, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(memo->size, more + 1, &need))
        return false;
    if (need <= memo->room)
        return true;
    size_t room = MAX(need, 2 * memo->room);
    char *text = realloc(memo->text, room);
    if (!text)
        return false;
    memo->text = text;
    memo->room = room;
    return true;
}

static ssize_t take(void *cookie, const char *data, size_t size)
{
    struct memo *memo = cookie;
    memo->failed = memo->failed || !grow(memo, size);
    if (memo->failed)
        return 0;
    memcpy(memo->text + memo->size, data, size);
    memo->size += size;
    return (ssize_t)size;
}

FILE *memo_open(struct memo *memo)
{
    *memo = (struct memo){0};
    memo->out = fopencookie(memo, "w", (cookie_io_functions_t){.write = take});
    return memo->out;
}

char *memo_close(struct memo *memo)
{
    bool failed = fclose(memo->out) != 0 || memo->failed || !grow(memo, 0);
    char *text = TAKE_PTR(memo->text);
    memo->out = NULL;
    if (failed) {
        free(text);
        return NULL;
    }
    text[memo->size] = '\0';
    return text;
}

/* Decodes the character at *text and moves *text behind it. Returns its length, or 0 for a byte that is no UTF-8. */
static size_t next_character(const char **text, uint32_t *ret_point)
{
    size_t length = text_decode(*text, ret_point);
    *text += length ? length : 1;
    return length;
}

/* Characters that are not written as they are; NULL for all others. */
static const char *json_escape(uint32_t point)
{
    switch (point) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

/* Characters that are never written as they are: control characters; for scripts, also HTML's own, and JavaScript's line ends. */
static bool json_is_coded(uint32_t point, bool script)
{
    if (point < 0x20 || point == 0x7f)
        return true;
    return script && (point == '<' || point == '>' || point == '&' || point == 0x2028 || point == 0x2029 ||
                      (point >= 0x80 && point < 0xa0));
}

static void put_json(FILE *out, const char *text, bool script)
{
    if (!text) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    while (*text) {
        uint32_t point;
        const char *from = text;
        size_t length = next_character(&text, &point);
        const char *escape = length ? json_escape(point) : REPLACEMENT;
        if (escape)
            fputs(escape, out);
        else if (json_is_coded(point, script))
            fprintf(out, "\\u%04x", point);
        else
            fwrite(from, 1, length, out);
    }
    fputc('"', out);
}

void emit_json(FILE *out, const char *text)
{
    put_json(out, text, false);
}

void emit_script(FILE *out, const char *text)
{
    put_json(out, text, true);
}

/* NULL: as it is. */
static const char *xml_escape(uint32_t point)
{
    switch (point) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\t':
        return "&#9;";
    case '\n':
        return "&#10;";
    case '\r':
        return "&#13;";
    default:
        return point < 0x20 || point == 0xfffe || point == 0xffff ? REPLACEMENT : NULL;
    }
}

void emit_xml(FILE *out, const char *text)
{
    while (text && *text) {
        uint32_t point;
        const char *from = text;
        size_t length = next_character(&text, &point);
        const char *escape = length ? xml_escape(point) : REPLACEMENT;
        if (escape)
            fputs(escape, out);
        else
            fwrite(from, 1, length, out);
    }
}

void emit_csv(FILE *out, const char *text)
{
    if (!text)
        return;
    bool is_formula = *text && strchr("=+-@\t\r", *text);
    if (!is_formula && !text[strcspn(text, ",\"\r\n")]) {
        fputs(text, out);
        return;
    }
    fputs(is_formula ? "\"'" : "\"", out);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void emit_uri_path(FILE *out, const char *path)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    for (; *path; path++) {
        if (strchr(unreserved, *path))
            fputc(*path, out);
        else
            fprintf(out, "%%%02X", (unsigned char)*path);
    }
}
