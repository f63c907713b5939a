/* SPDX-License-Identifier: MIT
 *
 * Objects: what block holds one, and which of its words are no references (scan_python.h). */
#include "scan_python.h"

#include "compiler.h"
#include "ledger.h"
#include "pyapi.h"
#include "pycompat.h"

#include <string.h>

#define STRING_HASH 24u
#define STRING_STATE 32u
#define STRING_HEADER 72u /* no pointers beyond it */
#define DICT_VALUES 40u
#define WEAKREF_OBJECT 16u
#define WEAKREF_PREVIOUS 40u
#define WEAKREF_NEXT 48u
#define LONG_SIZE 16u
#define LONG_DIGITS 24u
#define VALUES_PREFIX_MAX 64u
#define SET_TABLE 40u
#define SET_SMALL 64u /* the table of a small one */

#define TYPES_FIRST 1024u

static bool is_immortal(const struct scan_python *python, uint64_t refs)
{
    uint32_t low = (uint32_t)refs;

    if (python->minor >= 14)
        return low >= 1u << 31;
    return python->minor >= 12 && low == UINT32_MAX;
}

static bool is_count(const struct scan_python *python, uint64_t refs)
{
    if (python->minor >= 14 && refs >> 32 & UINT16_MAX) /* between the count and the flags */
        return false;
    if (is_immortal(python, refs))
        return true;
    if (python->minor >= 14)
        refs = (uint32_t)refs;
    return refs < 1u << 28;
}

/* From 3.14 on an object in a free list has the address of the next one for its count. Only static types have such lists. */
static bool is_next_parked(const struct scan_python *python, uint64_t refs, uintptr_t type)
{
    return python->minor >= 14 && refs >> 32 && pycompat_plausible(refs) &&
           type - python->interpreter->start < python->interpreter->end - python->interpreter->start &&
           scan_index_find(python->index, refs) != SCAN_NONE;
}

/* `size`: whole words of the block that can be read, of its `whole` bytes. */
static const struct scan_type *type_at(struct scan_python *python, const uint64_t *words, size_t size, uint64_t whole,
                                       unsigned offset)
{
    if (size < offset + 16u)
        return NULL;
    uintptr_t address = words[offset / 8 + 1];
    if (!pycompat_plausible(address) ||
        (!is_count(python, words[offset / 8]) && !is_next_parked(python, words[offset / 8], address)))
        return NULL;
    const struct scan_type *type = scan_type_get(python, address, 0);
    if (!type || !(type->flags & TYPE_VALID) || type->head != offset)
        return NULL;
    uint32_t least = type->flags & TYPE_STRING ? 40 : type->basic_size;
    return MIN(whole, SCAN_PIECE) - offset >= MIN(least, SCAN_PIECE - 64) ? type : NULL;
}

static void clear(uint64_t *words, size_t size, size_t offset)
{
    if (offset + 8 <= size)
        words[offset / 8] = 0;
}

/* A pointer to the values of an instance, up to 3.12: they begin some words into their block. */
static void correct_values(const struct scan_python *python, uint64_t *words, size_t size, size_t offset, bool tagged)
{
    if (offset + 8 > size)
        return;
    uintptr_t pointer = words[offset / 8];
    if (tagged) {
        if (!(pointer & 1))
            return;
        pointer++;
    }
    uint32_t block = scan_index_find(python->index, pointer);
    if (block != SCAN_NONE && python->index->blocks[block].domain != DOMAIN_OBJ &&
        pointer - python->index->blocks[block].start <= VALUES_PREFIX_MAX)
        words[offset / 8] = python->index->blocks[block].start;
}

/* An int may hold an address, in digits of 30 bits; the copy gets it as a word. `words` begin with the object. Behind the digits
 * of an instance of a class stands its dict: where they are if the value is 0. */
static void put_long(const struct scan_python *python, uint64_t *words, size_t size, bool of_class)
{
    uint64_t tag = words[LONG_SIZE / 8], count = python->minor >= 12 ? tag >> 3 : tag;
    bool positive = python->minor < 12 || !(tag & 3);

    words[LONG_SIZE / 8] = 0;
    if (size < LONG_DIGITS + 8 || (of_class && count == 0))
        return;
    uint64_t digits = words[LONG_DIGITS / 8];
    if (!positive || count == 0 || count > 2)
        digits = 0;
    words[LONG_DIGITS / 8] = (digits & 0x3fffffff) | (count == 2 ? (digits >> 32) << 30 : 0);
}

/* What has grown out of its small table leaves its pointers there. */
static void clear_small_table(uint64_t *words, size_t size, size_t object, uintptr_t address)
{
    if (object + SCAN_SET_SIZE > size || words[(object + SET_TABLE) / 8] == address + SET_SMALL)
        return;
    for (size_t offset = SET_SMALL; offset < SCAN_SET_SIZE; offset += 8)
        words[(object + offset) / 8] = 0;
}

static void clear_borrowed(const struct scan_python *python, const struct scan_type *type, uint64_t *words, size_t size)
{
    size_t object = type->head;

    if (type->flags & TYPE_GC) {
        clear(words, size, object - 16);
        clear(words, size, object - 8);
    }
    if (type->flags & TYPE_MANAGED_WEAKREF)
        clear(words, size, object - 32);
    if (type->weakref_list)
        clear(words, size, object + type->weakref_list);
    if (type->flags & TYPE_WEAKREF) {
        clear(words, size, object + WEAKREF_OBJECT);
        clear(words, size, object + WEAKREF_PREVIOUS);
        clear(words, size, object + WEAKREF_NEXT);
    }
    if (type->flags & TYPE_FRAME && python->frame_generator)
        clear(words, size, object + python->frame_generator);
    if (type->flags & TYPE_MANAGED_DICT && python->minor == 11)
        correct_values(python, words, size, object - 32, false);
    if (type->flags & TYPE_MANAGED_DICT && python->minor == 12)
        correct_values(python, words, size, object - 24, true);
    if (type->flags & TYPE_DICT && (python->minor == 11 || python->minor == 12))
        correct_values(python, words, size, object + DICT_VALUES, false);
}

/* Made to live for ever, or parked in a free list: the interpreter keeps it, and forgets it at its end. Free lists of static
 * types begin in static data and are seen from there; unused memory that a program lost may look like one of their objects. */
static bool is_survivor(const struct scan_python *python, const struct scan_type *type, uint64_t refs)
{
    return (refs == 0 && type->flags & TYPE_HEAP) || (type->flags & TYPE_STRING && is_immortal(python, refs));
}

/* What an object holds that is parked in a free list is stale, but for the link to the next one, which stands in place of the
 * count, or, up to 3.13, in one of the first two words after the type. */
static void clear_parked(const struct scan_python *python, size_t head, uint64_t *words, size_t size)
{
    for (size_t offset = 0; offset < size; offset += 8)
        if (python->minor >= 14 ? offset != head : offset != head + 16 && offset != head + 24)
            words[offset / 8] = 0;
}

static bool is_parked(const struct scan_python *python, uint64_t refs)
{
    return refs == 0 || !is_count(python, refs);
}

/* Of the word with a str's state the interpreter writes 8 bits: the others are what was left of a pointer before, which then leads
 * into the middle of what lies there. The hash before it is a number. */
static void clear_string(uint64_t *words, size_t size)
{
    for (size_t offset = STRING_HASH; offset <= STRING_STATE && offset < size; offset += 8)
        words[offset / 8] = 0;
}

/* What ends up beyond the range of counts was made immortal, whatever the version calls it. */
static uint32_t count_of(const struct scan_python *python, uint64_t refs)
{
    uint64_t count = python->minor >= 12 ? (uint32_t)refs : refs;

    return count < 1u << 28 ? (uint32_t)count : 0;
}

const struct scan_type *scan_python_look(struct scan_python *python, struct scan_block *block, uint64_t *words,
                                         size_t *size, unsigned *ret_facts, uint32_t *ret_references)
{
    const struct scan_type *type = NULL;
    unsigned last = python->minor >= 11 ? 32 : 16;

    for (unsigned offset = 0; offset <= last && !type; offset += 16)
        type = type_at(python, words, *size, block->size, offset);
    if (!type)
        return NULL;
    block->object = (uint8_t)type->head;
    *ret_references = count_of(python, words[type->head / 8]);
    if (is_survivor(python, type, words[type->head / 8]))
        block->facts |= FACT_INTERPRETER;
    block->facts |= (type->flags & TYPE_MODULE ? FACT_MODULE : 0) | (type->flags & TYPE_TYPE ? FACT_TYPE : 0) |
                    (type->flags & TYPE_HEAP ? FACT_INSTANCE : 0) | (type->flags & TYPE_LONG ? FACT_INT : 0) |
                    (type->flags & TYPE_DICT ? FACT_DICT : 0) | (type->flags & TYPE_LIST ? FACT_LIST : 0) |
                    (type->flags & TYPE_CONSTANT ? FACT_CONSTANT : 0) | (type->flags & TYPE_FRAME ? FACT_FRAME : 0) |
                    (type->flags & TYPE_FOREIGN ? FACT_FOREIGN : 0) | (type->flags & TYPE_GC ? FACT_COLLECTED : 0);
    if (is_parked(python, words[type->head / 8])) {
        *ret_references = 0;
        block->facts |= FACT_PARKED;
        clear_parked(python, type->head, words, *size);
        return type;
    }
    clear_borrowed(python, type, words, *size);
    if (type->flags & TYPE_SET)
        clear_small_table(words, *size, type->head, block->start + type->head);
    if (type->flags & TYPE_LONG) {
        put_long(python, words + type->head / 8, *size - type->head, type->flags & TYPE_HEAP);
        *ret_facts |= OBJECT_EXACT;
    }
    if (type->flags & TYPE_STRING) {
        *size = MIN(*size, STRING_HEADER);
        clear_string(words + type->head / 8, *size - type->head);
    }
    return type;
}

/* ---- the whole ---- */

void scan_python_init(struct scan_python *python, const struct pyapi *api, struct scan_reader *reader,
                      const struct scan_index *index, const struct scan_array *data,
                      const struct scan_range *interpreter, const struct scan_array *library)
{
    struct pycompat compat;
    enum ledger_lack lack;

    *python = (struct scan_python){
        .api = api, .reader = reader, .index = index, .data = data, .interpreter = interpreter, .library = library};
    if (!api || pycompat_find(api, &compat, &lack) < 0)
        return;
    python->minor = compat.minor;
    python->text = compat.text_ascii;
    if (compat.shape == SHAPE_OBJECTS)
        python->frame_generator = (uint16_t)(compat.frame_instr - 8);
    python->running = api->is_initialized();
    python->inherits = ledger_header->forked;
    python->active = scan_types_make_table(python, TYPES_FIRST);
}

void scan_python_done(struct scan_python *python)
{
    scan_array_done(&python->types);
    scan_array_done(&python->subclasses);
    python->active = false;
}
