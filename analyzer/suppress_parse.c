/* SPDX-License-Identifier: MIT
 *
 * The lines of suppress.h. A pattern may have blanks (C++ names do): it goes on up to the next word or key. */
#include "suppress.h"

#include "compiler.h"
#include "fingerprint.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum suppress_key { KEY_KIND = SUPPRESS_WORD_COUNT, KEY_MAX_BYTES, KEY_MAX_BLOCKS, KEY_UNTIL, KEY_COUNT };

static const char *const keys[KEY_COUNT] = {
    [SUPPRESS_LEAK] = "leak:",
    [SUPPRESS_PY] = "py:",
    [SUPPRESS_TYPE] = "type:",
    [SUPPRESS_DOMAIN] = "domain:",
    [SUPPRESS_FINGERPRINT] = "fingerprint:",
    [KEY_KIND] = "kind:",
    [KEY_MAX_BYTES] = "max-bytes=",
    [KEY_MAX_BLOCKS] = "max-blocks=",
    [KEY_UNTIL] = "until=",
};

/* The key that `text` begins with, or KEY_COUNT. */
static size_t key_at(const char *text)
{
    size_t key = 0;

    while (key < KEY_COUNT && strncmp(text, keys[key], strlen(keys[key])) != 0)
        key++;
    return key;
}

/* Ends the term that begins at `text`, and returns where the next one does, or the end of the line. */
static char *split_term(char *text)
{
    for (char *blank = text; (blank = strpbrk(blank, " \t")); blank += strspn(blank, " \t")) {
        char *next = blank + strspn(blank, " \t");
        if (*next == '#' || key_at(next) < KEY_COUNT) {
            *blank = '\0';
            return *next == '#' ? strchr(next, '\0') : next;
        }
    }
    return strchr(text, '\0');
}

bool suppress_parse_kinds(const char *text, unsigned int *ret)
{
    unsigned int kinds = 0;

    for (;;) {
        size_t length = strcspn(text, ","), kind = 0;
        while (kind < LEAK_KIND_COUNT) {
            const char *name = leak_kind_name((enum leak_kind)kind);
            if (strlen(name) == length && memcmp(name, text, length) == 0)
                break;
            kind++;
        }
        if (length == 3 && memcmp(text, "all", 3) == 0)
            kinds |= (1u << LEAK_KIND_COUNT) - 1;
        else if (kind == LEAK_KIND_COUNT)
            return false;
        else
            kinds |= 1u << kind;
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    *ret = kinds;
    return true;
}

static bool is_day(const char *text)
{
    static const char shape[] = "0000-00-00";

    if (strlen(text) != strlen(shape))
        return false;
    for (size_t i = 0; shape[i]; i++)
        if (shape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return false;
    return true;
}

/* "1:" and digits, or the digits alone, to which *value is moved. Returns NULL, or what is wrong. */
static const char *check_fingerprint(const char **value)
{
    const char *colon = strchr(*value, ':');
    uint64_t version = FINGERPRINT_VERSION;

    if (colon) {
        _cleanup_free_ char *text = strndup(*value, (size_t)(colon - *value));
        if (!text)
            return "out of memory";
        if (text_parse_count(text, &version) < 0)
            return "not a fingerprint (its version is no number)";
        *value = colon + 1;
    }
    if (version != FINGERPRINT_VERSION)
        return "a fingerprint of another version of memshim: write the file anew (memshim gate --write-baseline)";
    if (strlen(*value) != FINGERPRINT_SIZE - 1 || strspn(*value, "0123456789abcdef") != FINGERPRINT_SIZE - 1)
        return "not a fingerprint (32 hex digits)";
    return NULL;
}

static const char *take_word(struct suppression *rule, size_t word, const char *value)
{
    if (rule->words[word])
        return "a word that stands there twice";
    if (!*value)
        return "a word without a pattern";
    if (word == SUPPRESS_FINGERPRINT) {
        const char *wrong = check_fingerprint(&value);
        if (wrong)
            return wrong;
    }
    rule->words[word] = strdup(value);
    return rule->words[word] ? NULL : "out of memory";
}

/* Appends to the comma list of error kinds. */
static const char *add_error_kind(struct suppression *rule, const char *name, size_t length)
{
    char *list;
    const char *before = rule->error_kinds ? rule->error_kinds : "";

    if (asprintf(&list, "%s%s%.*s", before, *before ? "," : "", (int)length, name) < 0)
        return "out of memory";
    free(rule->error_kinds);
    rule->error_kinds = list;
    return NULL;
}

/* Kinds of leaks and of memory errors, mixed as they like. */
static const char *take_kinds(struct suppression *rule, const char *value)
{
    unsigned int kinds = 0, kind;

    for (;;) {
        size_t length = strcspn(value, ",");
        _cleanup_free_ char *name = strndup(value, length);
        const char *wrong = NULL;
        if (!name)
            return "out of memory";
        if (suppress_parse_kinds(name, &kind))
            kinds |= kind;
        else if (suppress_is_error_kind(value, length))
            wrong = add_error_kind(rule, value, length);
        else
            wrong = "not a list of definite, indirect, possible, reachable, all, or kinds of memory errors";
        if (wrong)
            return wrong;
        if (value[length] == '\0')
            break;
        value += length + 1;
    }
    rule->kinds = kinds;
    return NULL;
}

static const char *take_term(struct suppression *rule, size_t key, const char *value)
{
    switch (key) {
    case KEY_KIND:
        return take_kinds(rule, value);
    case KEY_MAX_BYTES:
        return text_parse_size(value, &rule->max_bytes) == 0 ? NULL : "max-bytes= wants a number of bytes";
    case KEY_MAX_BLOCKS:
        return text_parse_count(value, &rule->max_blocks) == 0 ? NULL : "max-blocks= wants a number";
    case KEY_UNTIL:
        if (!is_day(value))
            return "until= wants a day as YYYY-MM-DD";
        memcpy(rule->until, value, sizeof(rule->until));
        return NULL;
    default:
        return take_word(rule, key, value);
    }
}

static void cut_blanks(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        text[--length] = '\0';
}

const char *suppress_parse_line(struct suppression *rule, char *line)
{
    bool says_what = false;

    while (*line) {
        size_t key = key_at(line);
        if (key == KEY_COUNT)
            return "not a suppression: want leak:, py:, type:, domain:, kind: or fingerprint: first";
        char *next = split_term(line);
        cut_blanks(line);
        const char *wrong = take_term(rule, key, line + strlen(keys[key]));
        if (wrong)
            return wrong;
        says_what |= key <= KEY_KIND;
        line = next;
    }
    return says_what ? NULL : "limits without a word that says of what";
}
