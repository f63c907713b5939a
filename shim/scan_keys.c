/* SPDX-License-Identifier: MIT
 *
 * Under which name a block holds a pointer: the key in a dict, the index in a list, the attribute of an instance. Values of
 * instances stand in a table of their own ("split"), whose names are in keys that all instances of the class share:
 *
 *   up to 3.10   the dict points to the values, and to the shared keys
 *   3.11, 3.12   so it does, if there is one; else a word before the object points to the values, the class to the keys
 *   since 3.13   the values stand in the object itself, behind its other parts
 *
 * The n-th value belongs to the n-th entry of the keys. */
#include "ledger.h"
#include "pyapi.h"
#include "pycompat.h"
#include "scan_state.h"

#include <stdio.h>

#define NAME_MAX_BYTES 200u
#define VALUES_MAX 4096u

#define DICT_KEYS 32u
#define DICT_VALUES 40u
#define INLINE_HEADER 8u /* before values in an object */

static uint32_t text_of(const struct scan *scan, uintptr_t key, bool attribute)
{
    char text[NAME_MAX_BYTES] = ".";
    size_t length = scan_python_string(&scan->python, key, text + attribute, sizeof(text) - attribute);

    return length ? ledger_text(text, length + attribute) : 0;
}

static bool read_word(const struct scan *scan, uintptr_t address, uintptr_t *ret)
{
    return pycompat_plausible(address) && scan_copy(&scan->reader, ret, address, sizeof(*ret));
}

/* ---- shared keys ---- */

struct key_table {
    uintptr_t entries;
    uint32_t entry_size;
    uint32_t key; /* offset in an entry */
    uint64_t count;
};

/* Up to 3.10: count of references, size, function, usable, entries, then indices of 1, 2, 4 or 8 bytes. */
static bool read_old_keys(const struct scan *scan, uintptr_t keys, struct key_table *ret)
{
    int64_t words[5];

    if (!scan_copy(&scan->reader, words, keys, sizeof(words)) || words[1] <= 0 || words[1] > 1 << 24)
        return false;
    uint64_t size = (uint64_t)words[1], width = size <= 0xff ? 1 : size <= 0xffff ? 2 : 4;
    *ret = (struct key_table){keys + sizeof(words) + size * width, 24, 8, (uint64_t)words[4]};
    return true;
}

/* Since 3.11: count of references, logarithms of the size and of that of the indices, kind, version, usable, entries, indices. */
static bool read_keys(const struct scan *scan, uintptr_t keys, struct key_table *ret)
{
    uint64_t words[4];

    if (!pycompat_plausible(keys))
        return false;
    if (scan->python.minor < 11)
        return read_old_keys(scan, keys, ret);
    if (!scan_copy(&scan->reader, words, keys, sizeof(words)))
        return false;
    unsigned index_log = words[1] >> 8 & 0xff, kind = words[1] >> 16 & 0xff;
    if (index_log > 32)
        return false;
    *ret =
        (struct key_table){keys + sizeof(words) + ((uint64_t)1 << index_log), kind ? 16 : 24, kind ? 0 : 8, words[3]};
    return true;
}

/* The name of the n-th of the values that belong to `keys`. */
static uint32_t name_value(const struct scan *scan, uintptr_t keys, uint64_t n)
{
    struct key_table table;
    uintptr_t key;

    if (!read_keys(scan, keys, &table) || n >= table.count || n >= VALUES_MAX ||
        !read_word(scan, table.entries + n * table.entry_size + table.key, &key))
        return 0;
    return text_of(scan, key, true);
}

/* ---- who holds ---- */

static bool is_object_with(const struct scan *scan, uint32_t number, uint16_t facts)
{
    const struct scan_block *block = number < scan->index.count ? &scan->index.blocks[number] : NULL;
    return block && block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT && block->facts & facts;
}

static const struct scan_type *type_of(struct scan *scan, const struct scan_block *block)
{
    uintptr_t address;

    if (block->domain != DOMAIN_OBJ || block->object == SCAN_NOT_OBJECT ||
        !read_word(scan, block->start + block->object + 8, &address))
        return NULL;
    const struct scan_type *type = scan_type_get(&scan->python, address, 0);
    return type && type->flags & TYPE_VALID ? type : NULL;
}

/* A dict's values, or else the word before a value in its keys, which is the key. */
static uint32_t name_in_dict(const struct scan *scan, const struct scan_block *dict, uintptr_t place)
{
    uintptr_t object = dict->start + dict->object, keys = 0, values = 0, key;

    if (read_word(scan, object + DICT_VALUES, &values) && values && read_word(scan, object + DICT_KEYS, &keys) &&
        scan_index_find(&scan->index, values) == scan_index_find(&scan->index, place) && place >= values)
        return name_value(scan, keys, (place - values) / 8);
    return read_word(scan, place - 8, &key) ? text_of(scan, key, false) : 0;
}

/* 3.11 and 3.12: values whose address stands before the object, in 3.12 less 1. */
static uint32_t name_in_values(struct scan *scan, const struct scan_block *owner, uintptr_t place)
{
    const struct scan_type *type = type_of(scan, owner);
    uintptr_t values, object = owner->start + owner->object;
    bool tagged = scan->python.minor == 12;

    if (!type || !(type->flags & TYPE_MANAGED_DICT) || scan->python.minor > 12 ||
        !read_word(scan, object - (tagged ? 24 : 32), &values) || (tagged && !(values & 1)))
        return 0;
    values += tagged;
    if (place < values)
        return 0;
    return name_value(scan, scan_python_cached_keys(&scan->python, type->address), (place - values) / 8);
}

static uint32_t name_in_object(struct scan *scan, const struct scan_block *holder, uint64_t offset)
{
    const struct scan_type *type = type_of(scan, holder);
    uint64_t values = type ? holder->object + type->basic_size + INLINE_HEADER : 0;

    if (!type || !(type->flags & TYPE_INLINE_VALUES) || offset < values)
        return 0;
    return name_value(scan, scan_python_cached_keys(&scan->python, type->address), (offset - values) / 8);
}

uint32_t scan_key_name(struct scan *scan, uint32_t holder, uint64_t offset)
{
    const struct scan_block *block = &scan->index.blocks[holder];
    uint32_t owner = scan->parents[holder];
    char text[32];

    if (!scan->python.active || offset == UINT64_MAX)
        return 0;
    if (block->object != SCAN_NOT_OBJECT)
        return name_in_object(scan, block, offset);
    if (is_object_with(scan, owner, FACT_DICT))
        return offset >= 8 ? name_in_dict(scan, &scan->index.blocks[owner], block->start + offset) : 0;
    if (is_object_with(scan, owner, FACT_LIST)) {
        int length = snprintf(text, sizeof(text), "[%llu]", (unsigned long long)(offset / 8));
        return ledger_text(text, (size_t)length);
    }
    return owner < scan->index.count ? name_in_values(scan, &scan->index.blocks[owner], block->start + offset) : 0;
}
