/* SPDX-License-Identifier: MIT
 *
 * Type objects: what the scan has to know of each type, read once and kept in a hash table (scan_python.h). */
#include "compiler.h"
#include "pyapi.h"
#include "pycompat.h"
#include "scan_python.h"

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
#define TP_SUBCLASSES 360u

#define FLAG_INLINE_VALUES (1ULL << 2)   /* since 3.13 */
#define FLAG_MANAGED_WEAKREF (1ULL << 3) /* since 3.12 */
#define FLAG_MANAGED_DICT (1ULL << 4)    /* since 3.11 */
#define FLAG_HEAPTYPE (1ULL << 9)
#define FLAG_HAVE_GC (1ULL << 14)
#define FLAG_LONG (1ULL << 24)
#define FLAG_LIST (1ULL << 25)
#define FLAG_TUPLE (1ULL << 26)
#define FLAG_DICT (1ULL << 29)
#define FLAG_TYPE (1ULL << 31)

#define META_DEPTH 16u
#define BASES_DEPTH 16u

/* The beginning of a type object. */
struct type_words {
    uint64_t words[SCAN_TYPE_SIZE_MIN / 8];
};

static uint64_t at(const struct type_words *type, size_t offset)
{
    return type->words[offset / 8];
}

struct scan_type *scan_type_slot(struct scan_python *python, uintptr_t address)
{
    struct scan_type *table = (void *)python->types.data;
    uint32_t mask = python->type_room - 1, slot = (uint32_t)((address * 0x9e3779b97f4a7c15ULL) >> 40) & mask;

    while (table[slot].address && table[slot].address != address)
        slot = (slot + 1) & mask;
    return &table[slot];
}

bool scan_types_make_table(struct scan_python *python, uint32_t room)
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
            *scan_type_slot(python, type->address) = *type;
    }
    scan_array_done(&old);
    return true;
}

static bool in_ranges(const struct scan_array *ranges, uintptr_t address)
{
    const struct scan_range *range = scan_range_find(ranges, address);
    return range && range->start <= address;
}

/* A type object is static data of a module, or lies in a block large enough; in a forked child in memory that only the parent has
 * recorded, maybe. */
static bool may_be_type(const struct scan_python *python, uintptr_t address)
{
    if (in_ranges(python->data, address))
        return true;
    uint32_t block = scan_index_find(python->index, address);
    if (block == SCAN_NONE)
        return python->inherits;
    const struct scan_block *found = &python->index->blocks[block];
    uint64_t offset = address - found->start;
    return (offset == 0 || offset == 16 || offset == 32) && found->size - offset >= SCAN_TYPE_SIZE_MIN;
}

static bool is_metatype(struct scan_python *python, uintptr_t meta, unsigned depth)
{
    if (meta == (uintptr_t)python->api->type_type)
        return true;
    if (depth >= META_DEPTH || !pycompat_plausible(meta))
        return false;
    const struct scan_type *type = scan_type_get(python, meta, depth + 1);
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
    const struct scan_type *type = scan_type_get(python, base, depth + 1);
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
    const struct scan_type *type = scan_type_get(python, base, depth + 1);
    return type && type->flags & TYPE_FOREIGN;
}

/* set and frozenset have no flag; no other static type has their layout. */
static bool is_set(const struct type_words *words)
{
    return !(at(words, TP_FLAGS) & FLAG_HEAPTYPE) && at(words, TP_FLAGS) & FLAG_HAVE_GC &&
           at(words, TP_BASICSIZE) == SCAN_SET_SIZE && at(words, TP_WEAKLISTOFFSET) == SCAN_SET_SIZE - 8;
}

static uint32_t flags_of(struct scan_python *python, const struct type_words *words, uintptr_t address, unsigned depth)
{
    uint64_t flags = at(words, TP_FLAGS);

    return TYPE_VALID | TYPE_UNNAMED | (flags & FLAG_HAVE_GC ? TYPE_GC : 0) | (flags & FLAG_LONG ? TYPE_LONG : 0) |
           (address == (uintptr_t)python->api->unicode_type ? TYPE_STRING : 0) |
           (address == (uintptr_t)python->api->module_type ? TYPE_MODULE : 0) |
           (address == (uintptr_t)python->api->frame_type ? TYPE_FRAME : 0) | (flags & FLAG_DICT ? TYPE_DICT : 0) |
           (flags & FLAG_LIST ? TYPE_LIST : 0) | (is_set(words) ? TYPE_SET : 0) |
           (address == (uintptr_t)python->api->code_type || (flags & FLAG_TUPLE && !(flags & FLAG_HEAPTYPE))
                ? TYPE_CONSTANT
                : 0) |
           (flags & FLAG_TYPE ? TYPE_TYPE : 0) | (flags & FLAG_HEAPTYPE ? TYPE_HEAP : 0) |
           (python->minor >= 11 && flags & FLAG_MANAGED_DICT ? TYPE_MANAGED_DICT : 0) |
           (python->minor >= 12 && flags & FLAG_MANAGED_WEAKREF ? TYPE_MANAGED_WEAKREF : 0) |
           (python->minor >= 13 && flags & FLAG_INLINE_VALUES ? TYPE_INLINE_VALUES : 0) |
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

const struct scan_type *scan_type_get(struct scan_python *python, uintptr_t address, unsigned depth)
{
    struct scan_type *slot = scan_type_slot(python, address), found = {.address = address};

    if (slot->address)
        return slot;
    read_type(python, &found, depth); /* may add others */
    if (python->type_count >= python->type_room / 2 && !scan_types_make_table(python, python->type_room * 2))
        return NULL;
    python->type_count++;
    slot = scan_type_slot(python, address);
    *slot = found;
    return slot;
}
