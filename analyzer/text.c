/* SPDX-License-Identifier: MIT
 *
 * Numbers, sizes, escaping and paths for people. See text.h. */
#include "text.h"

#include "memshim/report.h"

#include "compiler.h"

#include <errno.h>
#include <string.h>

const char *text_number(char buffer[static TEXT_NUMBER_SIZE], uint64_t value)
{
    char digits[TEXT_NUMBER_SIZE];
    int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    char *to = buffer;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return buffer;
}

const char *text_plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* Reads digits and leaves *text behind them. */
static int parse_digits(const char **text, uint64_t *ret)
{
    const char *p = *text;
    uint64_t value = 0;
    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return -ERANGE;
    }
    *text = p;
    *ret = value;
    return 0;
}

int text_parse_count(const char *text, uint64_t *ret)
{
    uint64_t value;
    int r = parse_digits(&text, &value);
    if (r < 0)
        return r;
    if (*text != '\0')
        return -EINVAL;
    *ret = value;
    return 0;
}

int text_parse_size(const char *text, uint64_t *ret)
{
    uint64_t value;
    int r = parse_digits(&text, &value);
    if (r < 0)
        return r;
    unsigned int shift = 0;
    switch (*text) {
    case 'k':
    case 'K':
        shift = 10;
        break;
    case 'm':
    case 'M':
        shift = 20;
        break;
    case 'g':
    case 'G':
        shift = 30;
        break;
    default:
        break;
    }
    if (text[shift ? 1 : 0] != '\0')
        return -EINVAL;
    if (__builtin_mul_overflow(value, UINT64_C(1) << shift, &value))
        return -ERANGE;
    *ret = value;
    return 0;
}

size_t text_decode(const char *text, uint32_t *ret_point)
{
    const unsigned char *s = (const unsigned char *)text;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    uint32_t point = s[0];
    if (length == 1) {
        *ret_point = point;
        return 1;
    }
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    point &= 0x7fu >> length;
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    if (point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *ret_point = point;
    return length;
}

/* C0 and C1 controls, DEL, line and paragraph separators, and what reorders or hides text on a screen. */
static bool point_is_hostile(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point <= 0x9f) || point == 0x061c ||
           (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2060 && point <= 0x206f) || point == 0xfeff || (point >= 0xe0000 && point <= 0xe007f);
}

void text_escape(FILE *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)(text ? text : "??");
    while (*s) {
        uint32_t point;
        size_t length = text_decode((const char *)s, &point);
        if (length == 0)
            fprintf(out, "\\x%02x", *s);
        else if (!point_is_hostile(point))
            fwrite(s, 1, length, out);
        else if (point == '\n')
            fputs("\\n", out);
        else if (point == '\t')
            fputs("\\t", out);
        else
            fprintf(out, point < 0x80 ? "\\x%02x" : "\\u%04x", point);
        s += length ? length : 1;
    }
}

char *text_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    char *copy = malloc(strlen(text) * 3 + 1); /* U+FFFD takes three bytes */
    if (!copy)
        return NULL;
    char *to = copy;
    while (*s) {
        uint32_t point;
        size_t length = text_decode((const char *)s, &point);
        if (length == 0) {
            to = stpcpy(to, "\xef\xbf\xbd");
            s++;
            continue;
        }
        memcpy(to, s, length);
        to += length;
        s += length;
    }
    *to = '\0';
    return copy;
}

const char *text_below(const char *path, const char *folder)
{
    size_t length = folder ? strlen(folder) : 0;
    if (length < 2 || strncmp(path, folder, length) != 0 || path[length] != '/' || path[length + 1] == '\0')
        return path;
    return path + length + 1;
}

const char *text_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

bool text_ends_with(const char *text, const char *suffix)
{
    size_t length = text ? strlen(text) : 0, tail = strlen(suffix);
    return text && length >= tail && strcmp(text + length - tail, suffix) == 0;
}

bool text_is_snapshot(const char *name, size_t *ret_stem, unsigned long *ret_number)
{
    const char *infix = name, *last = NULL;

    while ((infix = strstr(infix, MEMSHIM_SNAPSHOT_INFIX)) != NULL)
        last = infix++;
    if (!last)
        return false;
    const char *digits = last + strlen(MEMSHIM_SNAPSHOT_INFIX);
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 9 || strcmp(digits + count, MEMSHIM_REPORT_SUFFIX) != 0)
        return false;
    if (ret_stem)
        *ret_stem = (size_t)(last - name);
    if (ret_number)
        *ret_number = strtoul(digits, NULL, 10);
    return true;
}
