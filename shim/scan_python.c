/* SPDX-License-Identifier: MIT */
#include "scan_python.h"

#include "ledger.h"
#include "pyapi.h"
#include "pycompat.h"

#include <string.h>

#define OB_TYPE 8u
#define GC_HEAD 16u
#define PRE_HEADER 16u

#define TP_NAME 24u
#define TP_BASICSIZE 32u
#define TP_DEALLOC 48u
#define TP_FLAGS 168u
#define TP_TRAVERSE 184u
#define TP_WEAKLISTOFFSET 208u
#define TP_BASE 256u
#define TP_DICT 264u
#define TP_SUBCLASSES 360u
#define TYPE_SIZE_MIN 400u

#define FLAG_MANAGED_WEAKREF (1ULL << 3) /* since 3.12 */
#define FLAG_MANAGED_DICT (1ULL << 4)    /* since 3.11 */
#define FLAG_HEAPTYPE (1ULL << 9)
#define FLAG_HAVE_GC (1ULL << 14)
#define FLAG_LONG (1ULL << 24)
#define FLAG_LIST (1ULL << 25)
#define FLAG_TUPLE (1ULL << 26)
#define FLAG_DICT (1ULL << 29)
#define FLAG_TYPE (1ULL << 31)

#define STRING_HEADER 72u /* no pointers beyond it */
#define DICT_VALUES 40u
#define DICT_KEYS 32u
#define WEAKREF_OBJECT 16u
#define WEAKREF_PREVIOUS 40u
#define WEAKREF_NEXT 48u
#define LONG_SIZE 16u
#define LONG_DIGITS 24u
#define VALUES_PREFIX_MAX 64u

#define META_DEPTH 16u
#define BASES_DEPTH 16u
#define TYPES_FIRST 1024u
#define NAME_MAX_BYTES 512u

/* ---- types ---- */

/* The beginning of a type object. */
struct type_words {
    uint64_t words[TYPE_SIZE_MIN / 8];
};

static uint64_t at(const struct type_words *type, size_t offset)
{
    return type->words[offset / 8];
}

static struct scan_type *slot_of(struct scan_python *python, uintptr_t address)
{
    struct scan_type *table = (void *)python->types.data;
    uint32_t mask = python->type_room - 1, slot = (uint32_t)((address * 0x9e3779b97f4a7c15ULL) >> 40) & mask;

    while (table[slot].address && table[slot].address != address)
        slot = (slot + 1) & mask;
    return &table[slot];
}

static bool make_table(struct scan_python *python, uint32_t room)
{
    struct scan_array old = python->types;
    uint32_t old_room = python->type_room;

    python->types = (struct scan_array){0};
    if (!scan_array_grow(&python->types, room * sizeof(struct scan_type))) {
        python->types = old;
        return false;
    }
    python->type_room = room;
    for (uint32_t i = 0; i < old_room; i++) {
        const struct scan_type *type = (const struct scan_type *)(void *)old.data + i;
        if (type->address)
            *slot_of(python, type->address) = *type;
    }
    scan_array_done(&old);
    return true;
}

static bool in_ranges(const struct scan_array *ranges, uintptr_t address)
{
    const struct scan_range *range = scan_range_find(ranges, address);
    return range && range->start <= address;
}

/* A type object is static data of a module, or lies in a block large enough. */
static bool may_be_type(const struct scan_python *python, uintptr_t address)
{
    if (in_ranges(python->data, address))
        return true;
    uint32_t block = scan_index_find(python->index, address);
    if (block == SCAN_NONE)
        return false;
    const struct scan_block *found = &python->index->blocks[block];
    uint64_t offset = address - found->start;
    return (offset == 0 || offset == 16 || offset == 32) && found->size - offset >= TYPE_SIZE_MIN;
}

static const struct scan_type *type_get(struct scan_python *python, uintptr_t address, unsigned depth);

static bool is_metatype(struct scan_python *python, uintptr_t meta, unsigned depth)
{
    if (meta == (uintptr_t)python->api->type_type)
        return true;
    if (depth >= META_DEPTH || !pycompat_plausible(meta))
        return false;
    const struct scan_type *type = type_get(python, meta, depth + 1);
    return type && type->flags & TYPE_TYPE;
}

static bool is_weakref_type(const struct scan_python *python, uintptr_t address)
{
    for (unsigned i = 0; i < ARRAY_SIZE(python->api->weakref_types); i++)
        if (address == (uintptr_t)python->api->weakref_types[i])
            return true;
    return false;
}

/* All bases become known in this way, too. */
static bool is_weakref(struct scan_python *python, uintptr_t address, uintptr_t base, unsigned depth)
{
    if (is_weakref_type(python, address))
        return true;
    if (!pycompat_plausible(base) || depth >= BASES_DEPTH)
        return false;
    const struct scan_type *type = type_get(python, base, depth + 1);
    return type && type->flags & TYPE_WEAKREF;
}

/* A type's dict of its subclasses has weak references for values, but their addresses for keys. */
static void note_subclasses(struct scan_python *python, uintptr_t dict)
{
    uint32_t block = pycompat_plausible(dict) ? scan_index_find(python->index, dict) : SCAN_NONE;
    uint32_t *place = block != SCAN_NONE ? scan_array_push(&python->subclasses, sizeof(*place)) : NULL;

    if (place)
        *place = block;
}

/* A class inherits the interpreter's functions, which call those of its base. Without the collector's function, that which
 * frees an object tells. */
static bool is_foreign(struct scan_python *python, const struct type_words *words, unsigned depth)
{
    uintptr_t base = at(words, TP_BASE);
    uintptr_t code = at(words, TP_FLAGS) & FLAG_HAVE_GC ? at(words, TP_TRAVERSE) : at(words, TP_DEALLOC);

    if (code && code - python->interpreter->start >= python->interpreter->end - python->interpreter->start &&
        !in_ranges(python->library, code))
        return true;
    if (!pycompat_plausible(base) || depth >= BASES_DEPTH)
        return false;
    const struct scan_type *type = type_get(python, base, depth + 1);
    return type && type->flags & TYPE_FOREIGN;
}

static uint32_t flags_of(struct scan_python *python, const struct type_words *words, uintptr_t address, unsigned depth)
{
    uint64_t flags = at(words, TP_FLAGS);

    return TYPE_VALID | TYPE_UNNAMED | (flags & FLAG_HAVE_GC ? TYPE_GC : 0) | (flags & FLAG_LONG ? TYPE_LONG : 0) |
           (address == (uintptr_t)python->api->unicode_type ? TYPE_STRING : 0) |
           (address == (uintptr_t)python->api->module_type ? TYPE_MODULE : 0) |
           (address == (uintptr_t)python->api->frame_type ? TYPE_FRAME : 0) | (flags & FLAG_DICT ? TYPE_DICT : 0) |
           (flags & FLAG_LIST ? TYPE_LIST : 0) |
           (address == (uintptr_t)python->api->code_type || (flags & FLAG_TUPLE && !(flags & FLAG_HEAPTYPE))
                ? TYPE_CONSTANT
                : 0) |
           (flags & FLAG_TYPE ? TYPE_TYPE : 0) | (flags & FLAG_HEAPTYPE ? TYPE_HEAP : 0) |
           (python->minor >= 11 && flags & FLAG_MANAGED_DICT ? TYPE_MANAGED_DICT : 0) |
           (python->minor >= 12 && flags & FLAG_MANAGED_WEAKREF ? TYPE_MANAGED_WEAKREF : 0) |
           (is_weakref(python, address, at(words, TP_BASE), depth) ? TYPE_WEAKREF : 0) |
           (is_foreign(python, words, depth) ? TYPE_FOREIGN : 0);
}

static void read_type(struct scan_python *python, struct scan_type *type, unsigned depth)
{
    struct type_words words;

    if (!may_be_type(python, type->address) || !scan_copy(python->reader, &words, type->address, sizeof(words)) ||
        !is_metatype(python, at(&words, OB_TYPE), depth))
        return;
    uint64_t size = at(&words, TP_BASICSIZE), weakrefs = at(&words, TP_WEAKLISTOFFSET);
    if (size < 16 || size > 1u << 20 || !at(&words, TP_NAME))
        return;
    type->basic_size = (uint32_t)size;
    type->weakref_list = weakrefs < size ? (uint16_t)weakrefs : 0;
    type->flags = flags_of(python, &words, type->address, depth);
    note_subclasses(python, at(&words, TP_SUBCLASSES));
    type->head = (uint16_t)((type->flags & TYPE_GC ? GC_HEAD : 0) +
                            (type->flags & (TYPE_MANAGED_DICT | TYPE_MANAGED_WEAKREF) ? PRE_HEADER : 0));
}

/* What is known of the type at `address`; without TYPE_VALID it is none. NULL: no memory. */
static const struct scan_type *type_get(struct scan_python *python, uintptr_t address, unsigned depth)
{
    struct scan_type *slot = slot_of(python, address), found = {.address = address};

    if (slot->address)
        return slot;
    read_type(python, &found, depth); /* may add others */
    if (python->type_count >= python->type_room / 2 && !make_table(python, python->type_room * 2))
        return NULL;
    python->type_count++;
    slot = slot_of(python, address);
    *slot = found;
    return slot;
}

/* ---- objects ---- */

static bool is_immortal(const struct scan_python *python, uint64_t refs)
{
    uint32_t low = (uint32_t)refs;

    if (python->minor >= 14)
        return low >= 1u << 31;
    return python->minor >= 12 && low == UINT32_MAX;
}

static bool is_count(const struct scan_python *python, uint64_t refs)
{
    if (is_immortal(python, refs))
        return true;
    if (python->minor >= 14)
        refs = (uint32_t)refs;
    return refs < 1u << 28;
}

static const struct scan_type *type_at(struct scan_python *python, const uint64_t *words, size_t size, unsigned offset)
{
    if (size < offset + 16u || !is_count(python, words[offset / 8]))
        return NULL;
    uintptr_t address = words[offset / 8 + 1];
    if (!pycompat_plausible(address))
        return NULL;
    const struct scan_type *type = type_get(python, address, 0);
    if (!type || !(type->flags & TYPE_VALID) || type->head != offset)
        return NULL;
    uint32_t least = type->flags & TYPE_STRING ? 40 : type->basic_size;
    return size - offset >= MIN(least, SCAN_PIECE - 64) ? type : NULL;
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
    words[LONG_DIGITS / 8] = count == 2 && positive ? (digits & 0x3fffffff) | (digits >> 32) << 30 : 0;
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

/* What an object holds that is parked in a free list is stale, but for the link to the next one, which stands in one of the
 * first two words after its type. */
static void clear_parked(const struct scan_type *type, uint64_t *words, size_t size)
{
    for (size_t offset = 0; offset < size; offset += 8)
        if (offset != type->head + 16u && offset != type->head + 24u)
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
        type = type_at(python, words, *size, offset);
    if (!type)
        return NULL;
    block->object = (uint8_t)type->head;
    *ret_references = count_of(python, words[type->head / 8]);
    if (is_survivor(python, type, words[type->head / 8]))
        block->facts |= FACT_INTERPRETER;
    block->facts |= (type->flags & TYPE_MODULE ? FACT_MODULE : 0) | (type->flags & TYPE_TYPE ? FACT_TYPE : 0) |
                    (type->flags & TYPE_HEAP ? FACT_INSTANCE : 0) | (type->flags & TYPE_LONG ? FACT_INT : 0) |
                    (type->flags & TYPE_DICT ? FACT_DICT : 0) | (type->flags & TYPE_LIST ? FACT_LIST : 0) |
                    (type->flags & TYPE_CONSTANT ? FACT_CONSTANT : 0) |
                    (type->flags & TYPE_FOREIGN ? FACT_FOREIGN : 0) | (type->flags & TYPE_GC ? FACT_COLLECTED : 0);
    if (words[type->head / 8] == 0) {
        clear_parked(type, words, *size);
        return type;
    }
    clear_borrowed(python, type, words, *size);
    if (type->flags & TYPE_LONG) {
        put_long(python, words + type->head / 8, *size - type->head, type->flags & TYPE_HEAP);
        *ret_facts |= OBJECT_EXACT;
    }
    if (type->flags & TYPE_STRING)
        *size = MIN(*size, STRING_HEADER);
    return type;
}

/* ---- names ---- */

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

/* ht_name, ht_slots, ht_qualname stand in a row behind the parts of a type object that have grown with the versions; the
 * first is found by its contents. */
static size_t read_qualname(struct scan_python *python, uintptr_t type, const char *name, char *text, size_t size)
{
    uintptr_t string;

    if (!python->qualname) {
        uint64_t words[64];
        if (!scan_copy(python->reader, words, type + TYPE_SIZE_MIN, sizeof(words)))
            return 0;
        for (unsigned i = 0; i < ARRAY_SIZE(words) && !python->qualname; i++)
            if (pycompat_plausible(words[i]) && is_string(python, words[i], name))
                python->qualname = (uint16_t)(TYPE_SIZE_MIN + 8 * i + 16);
    }
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

uint32_t scan_python_name(struct scan_python *python, const struct scan_type *type)
{
    char name[NAME_MAX_BYTES];
    uintptr_t address = type->address, pointer;
    struct scan_type *slot = slot_of(python, address);
    size_t length = 0;

    if (!(slot->flags & TYPE_UNNAMED))
        return slot->name;
    slot->flags &= ~(uint32_t)TYPE_UNNAMED;
    if (scan_copy(python->reader, &pointer, address + TP_NAME, sizeof(pointer)))
        length = read_text(python, pointer, name, sizeof(name));
    if (!length)
        return 0;
    name[length] = '\0';
    slot->name = slot->flags & TYPE_HEAP && !memchr(name, '.', length) ? name_class(python, address, name, length)
                                                                       : ledger_text(name, length);
    return slot->name;
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
    python->active = make_table(python, TYPES_FIRST);
}

void scan_python_done(struct scan_python *python)
{
    scan_array_done(&python->types);
    scan_array_done(&python->subclasses);
    python->active = false;
}
