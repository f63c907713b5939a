/* SPDX-License-Identifier: MIT
 *
 * The values of options, by their types: what may be set, and how it is printed (options.h says where this runs). */
#include "ledger_format.h"
#include "options.h"
#include "signal_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct domain_name {
    const char *name;
    uint64_t mask;
};

#define DOMAIN_BIT(domain) (1ULL << (domain))

/* operator new is part of the C library family here: it gets its memory from malloc. */
static const struct domain_name domain_names[] = {
    {"malloc", DOMAIN_BIT(DOMAIN_MALLOC) | DOMAIN_BIT(DOMAIN_NEW) | DOMAIN_BIT(DOMAIN_NEW_ARRAY)},
    {"raw", DOMAIN_BIT(DOMAIN_RAW)},
    {"mem", DOMAIN_BIT(DOMAIN_MEM)},
    {"obj", DOMAIN_BIT(DOMAIN_OBJ)},
    {"mmap", DOMAIN_BIT(DOMAIN_MMAP)},
};

/* A piece of text that is not terminated. */
struct slice {
    const char *start;
    size_t length;
};

static bool slice_is(struct slice slice, const char *text)
{
    return strlen(text) == slice.length && strncasecmp(slice.start, text, slice.length) == 0;
}

static uint64_t *number_field(struct options *options, const struct option_row *row)
{
    return (uint64_t *)(void *)((char *)options + row->offset);
}

static char *text_field(struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

static const char *set_path(char *field, struct slice value)
{
    if (value.length >= OPTION_TEXT_MAX)
        return "too long";
    if (memchr(value.start, 0, value.length))
        return "has a NUL byte";
    memcpy(field, value.start, value.length);
    field[value.length] = 0;
    return NULL;
}

static const char *set_bool(uint64_t *field, struct slice value)
{
    static const char *const words[][2] = {{"0", "1"}, {"no", "yes"}, {"false", "true"}, {"off", "on"}};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        for (unsigned truth = 0; truth < 2; truth++) {
            if (slice_is(value, words[i][truth])) {
                *field = truth;
                return NULL;
            }
        }
    }
    return "neither 0 nor 1";
}

/* 10, 20 or 30 for a k, M or G at the end of `value`, which is then taken off. */
static unsigned size_unit(struct slice *value)
{
    static const char letters[] = "kmg";
    const char *found = NULL;

    if (value->length)
        found = memchr(letters, value->start[value->length - 1] | 0x20, sizeof(letters) - 1);
    if (!found)
        return 0;
    value->length--;
    return 10 * (unsigned)(found - letters + 1);
}

static const char *set_number(uint64_t *field, const struct option_row *row, struct slice value)
{
    unsigned shift = row->type == OPTION_SIZE ? size_unit(&value) : 0;
    uint64_t number = 0;

    if (value.length == 0)
        return "not a number";
    for (size_t i = 0; i < value.length; i++) {
        if (value.start[i] < '0' || value.start[i] > '9')
            return "not a number";
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(value.start[i] - '0'), &number))
            return "too large";
    }
    if (number > UINT64_MAX >> shift || number << shift > row->high)
        return "too large";
    if (number << shift < row->low)
        return "too small";
    *field = number << shift;
    return NULL;
}

static const char *add_domain(uint64_t *mask, struct slice name)
{
    for (size_t i = 0; i < ARRAY_SIZE(domain_names); i++) {
        if (slice_is(name, domain_names[i].name)) {
            *mask |= domain_names[i].mask;
            return NULL;
        }
    }
    return "names an unknown domain";
}

static const char *set_domains(uint64_t *field, struct slice value)
{
    uint64_t mask = 0;
    const char *error = NULL;

    if (slice_is(value, "none") || slice_is(value, "all")) {
        *field = slice_is(value, "all") ? DOMAIN_BIT(DOMAIN_TRACKED) - 1 : 0;
        return NULL;
    }
    for (size_t at = 0; at <= value.length && !error;) {
        const char *comma = memchr(value.start + at, ',', value.length - at);
        size_t end = comma ? (size_t)(comma - value.start) : value.length;

        error = add_domain(&mask, (struct slice){value.start + at, end - at});
        at = end + 1;
    }
    if (!error)
        *field = mask;
    return error;
}

static const char *set_seconds(uint64_t *field, const struct option_row *row, struct slice value)
{
    const char *point = memchr(value.start, '.', value.length);
    size_t whole = point ? (size_t)(point - value.start) : value.length, digits = point ? value.length - whole - 1 : 0;
    uint64_t number = 0;

    if (!whole || whole > 9 || digits > 3 || (point && !digits))
        return "not a number of seconds";
    for (size_t i = 0; i < value.length; i++) {
        if (i != whole && (value.start[i] < '0' || value.start[i] > '9'))
            return "not a number of seconds";
        number = i == whole ? number : number * 10 + (uint64_t)(value.start[i] - '0');
    }
    for (; digits < 3; digits++)
        number *= 10;
    if (number > row->high)
        return "too large";
    *field = number;
    return NULL;
}

static const char *set_signal(uint64_t *field, struct slice value)
{
    int number = signal_number(value.start, value.length);

    if (number < 0)
        return "not a signal that can be used";
    *field = (uint64_t)number;
    return NULL;
}

const char *option_set(struct options *options, const struct option_row *row, const char *value, size_t length)
{
    struct slice slice = {value, length};

    switch (row->type) {
    case OPTION_PATH:
        return set_path(text_field(options, row), slice);
    case OPTION_BOOL:
        return set_bool(number_field(options, row), slice);
    case OPTION_NUMBER:
    case OPTION_SIZE:
        return set_number(number_field(options, row), row, slice);
    case OPTION_DOMAINS:
        return set_domains(number_field(options, row), slice);
    case OPTION_SECONDS:
        return set_seconds(number_field(options, row), row, slice);
    case OPTION_SIGNAL:
        return set_signal(number_field(options, row), slice);
    }
    return "of an unknown type";
}

int option_expected(const struct option_row *row, char *buffer, size_t size)
{
    switch (row->type) {
    case OPTION_PATH:
        return snprintf(buffer, size, "a path of at most %u bytes", OPTION_TEXT_MAX - 1);
    case OPTION_BOOL:
        return snprintf(buffer, size, "0 or 1");
    case OPTION_NUMBER:
        return snprintf(buffer, size, "a number from %" PRIu64 " to %" PRIu64, row->low, row->high);
    case OPTION_SIZE:
        return snprintf(buffer, size, "a number of bytes, or one with k, M or G");
    case OPTION_DOMAINS:
        return snprintf(buffer, size, "'all', 'none', or any of malloc,raw,mem,obj,mmap");
    case OPTION_SECONDS:
        return snprintf(buffer, size, "a number of seconds up to %" PRIu64, row->high / 1000);
    case OPTION_SIGNAL:
        return snprintf(buffer, size, "a signal such as USR2 or RTMIN+3, or 0");
    }
    return snprintf(buffer, size, "nothing");
}

static int format_domains(uint64_t mask, char *buffer, size_t size)
{
    size_t length = (size_t)snprintf(buffer, size, "%s", mask ? "" : "none");

    for (size_t i = 0; i < ARRAY_SIZE(domain_names); i++) {
        size_t at = MIN(length, size);

        if (mask & domain_names[i].mask)
            length += (size_t)snprintf(buffer + at, size - at, "%s%s", length ? "," : "", domain_names[i].name);
    }
    return (int)length;
}

int option_format(const struct options *options, const struct option_row *row, char *buffer, size_t size)
{
    const char *field = (const char *)options + row->offset;
    uint64_t number;

    if (row->type == OPTION_PATH)
        return snprintf(buffer, size, "%s", field);
    memcpy(&number, field, sizeof(number));
    if (row->type == OPTION_DOMAINS)
        return format_domains(number, buffer, size);
    if (row->type == OPTION_SECONDS)
        return snprintf(buffer, size, number % 1000 ? "%" PRIu64 ".%03u" : "%" PRIu64, number / 1000,
                        (unsigned)(number % 1000));
    if (row->type == OPTION_SIGNAL)
        return signal_name((int)number, buffer, size);
    return snprintf(buffer, size, "%" PRIu64, number);
}
