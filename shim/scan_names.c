/* SPDX-License-Identifier: MIT
 *
 * Names of types (scan_python.h): tp_name, and of classes that a class statement has made also their module and qualified name. */
#include "ledger.h"
#include "pyapi.h"
#include "pycompat.h"
#include "scan_python.h"

#include <string.h>

#define TP_NAME 24u
#define TP_DICT 264u
#define DICT_KEYS 32u

#define NAME_MAX_BYTES 512u

/* Copies a C string; 0: it cannot be read, or has no end. */
static size_t read_text(const struct scan_python *python, uintptr_t address, char *text, size_t size)
{
    size_t length = 0;

    while (length < size) {
        size_t piece = MIN(size - length, 64 - (address + length) % 64);
        if (!scan_copy(python->reader, text + length, address + length, piece))
            return 0;
        const char *end = memchr(text + length, '\0', piece);
        if (end)
            return (size_t)(end - text);
        length += piece;
    }
    return 0;
}

size_t scan_python_string(const struct scan_python *python, uintptr_t object, char *text, size_t size)
{
    uint64_t words[5];
    size_t data = python->minor >= 12 ? 40 : 48;

    if (!pycompat_plausible(object) || !scan_copy(python->reader, words, object, sizeof(words)) ||
        words[1] != (uintptr_t)python->api->unicode_type || words[2] == 0 || words[2] >= size)
        return 0;
    if ((words[4] & 0x60) != 0x60 || !scan_copy(python->reader, text, object + data, words[2])) /* compact, ASCII */
        return 0;
    return words[2];
}

static bool is_string(const struct scan_python *python, uintptr_t object, const char *wanted)
{
    char text[NAME_MAX_BYTES];
    size_t length = scan_python_string(python, object, text, sizeof(text));

    return length == strlen(wanted) && memcmp(text, wanted, length) == 0;
}

/* The value that stands behind the key "__module__" in a dict's keys: entries are (hash, key, value) or (key, value). */
static uintptr_t find_module(struct scan_python *python, uintptr_t dict)
{
    uint64_t words[1024];
    uintptr_t keys;

    if (!pycompat_plausible(dict) || !scan_copy(python->reader, &keys, dict + DICT_KEYS, sizeof(keys)))
        return 0;
    uint32_t block = scan_index_find(python->index, keys);
    if (block == SCAN_NONE)
        return 0;
    size_t size = MIN(python->index->blocks[block].start + python->index->blocks[block].size - keys, sizeof(words));
    size &= ~(size_t)7;
    if (!scan_copy(python->reader, words, keys, size))
        return 0;
    for (size_t i = 3; i + 1 < size / 8; i++) {
        uintptr_t key = words[i];
        if (!pycompat_plausible(key) || (python->module_key && key != python->module_key))
            continue;
        if (!python->module_key && !is_string(python, key, "__module__"))
            continue;
        python->module_key = key;
        return words[i + 1];
    }
    return 0;
}

/* ht_name, ht_slots, ht_qualname, ht_cached_keys stand in a row behind the parts of a type object that have grown with the
 * versions; the first is found by its contents. */
static void find_qualname(struct scan_python *python, uintptr_t type, const char *name)
{
    uint64_t words[64];

    if (python->qualname || !scan_copy(python->reader, words, type + SCAN_TYPE_SIZE_MIN, sizeof(words)))
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(words) && !python->qualname; i++)
        if (pycompat_plausible(words[i]) && is_string(python, words[i], name))
            python->qualname = (uint16_t)(SCAN_TYPE_SIZE_MIN + 8 * i + 16);
}

static size_t read_qualname(struct scan_python *python, uintptr_t type, const char *name, char *text, size_t size)
{
    uintptr_t string;

    find_qualname(python, type, name);
    if (!python->qualname || !scan_copy(python->reader, &string, type + python->qualname, sizeof(string)))
        return 0;
    return scan_python_string(python, string, text, size);
}

/* A class made by a class statement has its plain name in tp_name; module and qualified name are objects. */
static uint32_t name_class(struct scan_python *python, uintptr_t type, const char *name, size_t length)
{
    char module[NAME_MAX_BYTES], qualname[NAME_MAX_BYTES], whole[2 * NAME_MAX_BYTES];
    uintptr_t dict;
    size_t module_length = 0;

    if (scan_copy(python->reader, &dict, type + TP_DICT, sizeof(dict)))
        module_length = scan_python_string(python, find_module(python, dict), module, sizeof(module));
    size_t qualname_length = read_qualname(python, type, name, qualname, sizeof(qualname));
    if (module_length == 8 && memcmp(module, "builtins", 8) == 0)
        module_length = 0;
    int size = snprintf(whole, sizeof(whole), "%.*s%s%.*s", (int)module_length, module, module_length ? "." : "",
                        (int)(qualname_length ? qualname_length : length), qualname_length ? qualname : name);
    return ledger_text(whole, (size_t)size);
}

/* The name in tp_name, terminated; its length, or 0. */
static size_t read_name(const struct scan_python *python, uintptr_t type, char *name, size_t size)
{
    uintptr_t pointer;
    size_t length = scan_copy(python->reader, &pointer, type + TP_NAME, sizeof(pointer))
                        ? read_text(python, pointer, name, size)
                        : 0;

    name[length] = '\0';
    return length;
}

uintptr_t scan_python_cached_keys(struct scan_python *python, uintptr_t type)
{
    char name[NAME_MAX_BYTES];
    uintptr_t keys;

    if (!python->qualname && read_name(python, type, name, sizeof(name)))
        find_qualname(python, type, name);
    if (!python->qualname || !scan_copy(python->reader, &keys, type + python->qualname + 8, sizeof(keys)))
        return 0;
    return keys;
}

uint32_t scan_python_name(struct scan_python *python, const struct scan_type *type)
{
    char name[NAME_MAX_BYTES];
    uintptr_t address = type->address;
    struct scan_type *slot = scan_type_slot(python, address);

    if (!(slot->flags & TYPE_UNNAMED))
        return slot->name;
    slot->flags &= ~(uint32_t)TYPE_UNNAMED;
    size_t length = read_name(python, address, name, sizeof(name));
    if (!length)
        return 0;
    slot->name = slot->flags & TYPE_HEAP && !memchr(name, '.', length) ? name_class(python, address, name, length)
                                                                       : ledger_text(name, length);
    return slot->name;
}
