/* SPDX-License-Identifier: MIT
 *
 * A sorted list of the address ranges of each unit's functions; inside a function the tree of scopes is followed down. */
#include "scopes.h"

#include <dwarf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hh.tbl = NULL)
#include <uthash.h>

#define NESTING_MAX 64 /* of namespaces and classes, and of scopes in a function */

struct range {
    Dwarf_Addr low, high;
    Dwarf_Die function;
};

struct scopes_unit {
    Dwarf_Off offset; /* of the unit: the key */
    struct range *ranges;
    size_t count, capacity;
    UT_hash_handle hh;
};

void scopes_clear(struct scopes *scopes)
{
    struct scopes_unit *unit, *next;

    HASH_ITER (hh, scopes->units, unit, next) {
        HASH_DEL(scopes->units, unit);
        free(unit->ranges);
        free(unit);
    }
}

static bool add_range(struct scopes_unit *unit, Dwarf_Addr low, Dwarf_Addr high, const Dwarf_Die *function)
{
    if (unit->count == unit->capacity) {
        size_t capacity = unit->capacity ? unit->capacity * 2 : 64;
        struct range *larger = reallocarray(unit->ranges, capacity, sizeof(*larger));

        if (!larger)
            return false;
        unit->ranges = larger;
        unit->capacity = capacity;
    }
    unit->ranges[unit->count++] = (struct range){.low = low, .high = high, .function = *function};
    return true;
}

static bool add_function(struct scopes_unit *unit, Dwarf_Die *function)
{
    Dwarf_Addr base = 0, low, high;
    ptrdiff_t at = 0;

    while ((at = dwarf_ranges(function, at, &base, &low, &high)) > 0)
        if (low < high && !add_range(unit, low, high, function))
            return false;
    return true;
}

/* Lists the functions below `parent`, also those that are declared inside of others. */
static bool list_functions(struct scopes_unit *unit, Dwarf_Die *parent, unsigned int depth)
{
    Dwarf_Die child;
    int r;

    if (depth == NESTING_MAX)
        return true;
    for (r = dwarf_child(parent, &child); r == 0; r = dwarf_siblingof(&child, &child)) {
        switch (dwarf_tag(&child)) {
        case DW_TAG_subprogram:
            if (!add_function(unit, &child))
                return false;
            break;
        case DW_TAG_namespace:
        case DW_TAG_module:
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
            if (!list_functions(unit, &child, depth + 1))
                return false;
            break;
        default:
            break;
        }
    }
    return true;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct range *p = a, *q = b;

    return (p->low > q->low) - (p->low < q->low);
}

static struct scopes_unit *unit_new(struct scopes *scopes, Dwarf_Die *die, Dwarf_Off offset)
{
    struct scopes_unit *unit = calloc(1, sizeof(*unit));

    if (!unit)
        return NULL;
    unit->offset = offset;
    HASH_ADD(hh, scopes->units, offset, sizeof(unit->offset), unit);
    if (!unit->hh.tbl) {
        free(unit);
        return NULL;
    }
    /* Without memory some functions have no names: what is listed is right all the same. */
    (void)list_functions(unit, die, 0);
    if (unit->count)
        qsort(unit->ranges, unit->count, sizeof(*unit->ranges), compare_ranges);
    return unit;
}

static const struct range *find_range(const struct scopes_unit *unit, Dwarf_Addr address)
{
    size_t low = 0, high = unit->count;

    while (low < high) { /* the first one that begins above the address */
        size_t middle = low + (high - low) / 2;

        if (unit->ranges[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && address < unit->ranges[low - 1].high ? &unit->ranges[low - 1] : NULL;
}

static bool is_scope(Dwarf_Die *die)
{
    int tag = dwarf_tag(die);

    return tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block;
}

/* Moves *scope into the scope inside of it that has the address. False: there is none. */
static bool descend(Dwarf_Die *scope, Dwarf_Addr address)
{
    Dwarf_Die child;
    int r;

    for (r = dwarf_child(scope, &child); r == 0; r = dwarf_siblingof(&child, &child)) {
        if (!is_scope(&child) || dwarf_haspc(&child, address) != 1)
            continue;
        *scope = child;
        return true;
    }
    return false;
}

size_t scopes_find(struct scopes *scopes, Dwarf_Die *unit, Dwarf_Addr address, Dwarf_Die *functions, size_t size)
{
    Dwarf_Off offset = dwarf_dieoffset(unit);
    struct scopes_unit *listed;
    const struct range *range;
    Dwarf_Die chain[NESTING_MAX], scope;
    size_t depth = 0, count = 0;

    HASH_FIND(hh, scopes->units, &offset, sizeof(offset), listed);
    if (!listed)
        listed = unit_new(scopes, unit, offset);
    range = listed ? find_range(listed, address) : NULL;
    if (!range)
        return 0;
    scope = range->function;
    do {
        if (dwarf_tag(&scope) != DW_TAG_lexical_block)
            chain[depth++] = scope;
    } while (depth < NESTING_MAX && descend(&scope, address));
    while (depth > 0 && count < size)
        functions[count++] = chain[--depth];
    return count;
}
