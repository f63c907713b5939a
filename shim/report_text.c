/* SPDX-License-Identifier: MIT
 *
 * Bytes, digests and times of a traced process as JSON strings (report_text.h). */
#include "report_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000000
#define DAY_SECONDS 86400

void text_space_done(struct text_space *space)
{
    bytes_done(&space->raw);
    bytes_done(&space->clean);
}

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The length of the valid UTF-8 sequence at `at`, of which `left` bytes (not 0) are there; 0 when there is none.
 * No overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t utf8_length(const unsigned char *at, size_t left)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80 ? 1 : at[0] < 0xc0 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf8 ? 4 : 0;
    uint32_t code;

    if (length < 2)
        return length;
    if (length > left)
        return 0;
    code = at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (!is_continuation(at[i]))
            return 0;
        code = code << 6 | (at[i] & 0x3fu);
    }
    if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    return length;
}

static char *put_hex_byte(char *to, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";

    *to++ = digits[byte >> 4];
    *to++ = digits[byte & 15];
    return to;
}

json_t *text_json(struct text_space *space, const char *bytes, size_t length)
{
    char *to;

    if (!bytes_reserve(&space->clean, 4 * length))
        return NULL;
    to = space->clean.data;
    for (size_t i = 0; i < length;) {
        const unsigned char *at = (const unsigned char *)bytes + i;
        size_t sequence = utf8_length(at, length - i);

        if (sequence == 0) {
            *to++ = '\\';
            *to++ = 'x';
            to = put_hex_byte(to, *at);
            sequence = 1;
        } else {
            memcpy(to, at, sequence);
            to += sequence;
        }
        i += sequence;
    }
    return json_stringn_nocheck(length ? space->clean.data : "", (size_t)(to - space->clean.data));
}

json_t *text_json_field(struct text_space *space, const char *field, size_t size)
{
    size_t length;

    /* A copy, because a damaged field of a live process might change between the check and the use. */
    if (!bytes_reserve(&space->raw, size))
        return NULL;
    memcpy(space->raw.data, field, size);
    length = strnlen(space->raw.data, size);
    return text_json(space, space->raw.data, length);
}

/* Reads a text into space->raw. Returns its length, SIZE_MAX when there is none or memory is out. */
static size_t read_ref(struct text_space *space, const struct ledger_view *view, uint32_t ref)
{
    size_t length = ledger_view_text_read(view, ref, space->raw.data, space->raw.size);

    if (length == SIZE_MAX || length <= space->raw.size)
        return length;
    if (!bytes_reserve(&space->raw, length))
        return SIZE_MAX;
    return MIN(ledger_view_text_read(view, ref, space->raw.data, length), length);
}

json_t *text_json_ref(struct text_space *space, const struct ledger_view *view, uint32_t ref, const char *missing)
{
    size_t length = read_ref(space, view, ref);

    if (length == SIZE_MAX)
        return missing ? json_string(missing) : json_null();
    return text_json(space, space->raw.data, length);
}

json_t *text_json_hex(struct text_space *space, const uint8_t *bytes, size_t length)
{
    char *to;

    if (!bytes_reserve(&space->clean, 2 * length + 1))
        return NULL;
    to = space->clean.data;
    for (size_t i = 0; i < length; i++)
        to = put_hex_byte(to, bytes[i]);
    return json_stringn_nocheck(space->clean.data, 2 * length);
}

json_t *text_json_hex_ref(struct text_space *space, const struct ledger_view *view, uint32_t ref)
{
    size_t length = read_ref(space, view, ref);

    return text_json_hex(space, (const uint8_t *)space->raw.data, length == SIZE_MAX ? 0 : length);
}

/* Year, month and day of the n-th day since 1970-01-01, without the C library's: that one takes a lock for the time zone,
 * which in a forked child may never be free. The algorithm counts years from March, so that leap days come last. */
static void civil_date(int64_t day, int *year, int *month, int *mday)
{
    int64_t shifted = day + 719468; /* days since 0000-03-01 */
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t of_era = shifted - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * of_year + 2) / 153;

    *mday = (int)(of_year - (153 * from_march + 2) / 5 + 1);
    *month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

json_t *text_json_time(int64_t nanoseconds)
{
    int64_t second = nanoseconds / SECOND - (nanoseconds % SECOND < 0);
    int64_t micro = (nanoseconds % SECOND + (nanoseconds % SECOND < 0 ? SECOND : 0)) / 1000;
    int64_t day = second / DAY_SECONDS - (second % DAY_SECONDS < 0);
    int64_t of_day = second - day * DAY_SECONDS;
    int year, month, mday;
    char text[96];

    if (nanoseconds == 0)
        return json_null();
    civil_date(day, &year, &month, &mday);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06" PRId64 "Z", year, month, mday,
             (int)(of_day / 3600), (int)(of_day / 60 % 60), (int)(of_day % 60), micro);
    return json_string(text);
}
