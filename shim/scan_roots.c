/* SPDX-License-Identifier: MIT
 *
 * What keeps blocks alive from outside: data of modules, stacks with the thread-local storage above them, and anonymous
 * memory that is not the shim's, not pymalloc's, and not a recorded block. */
#include "arena.h"
#include "ledger.h"
#include "pyarenas.h"
#include "scan_graph.h"
#include "scan_state.h"

#include <errno.h>
#include <string.h>

#define RESIDENT_FROM (1u << 20)
#define HUGE (64ull << 30) /* of a larger mapping even the list of its pages is too long */
#define LIST_FIRST 512u

/* ---- free lists ---- */

#define FREE_LIST_LAST 9u /* version */
#define NEAR 4u           /* words looked at on each side */
#define NEAR_ENOUGH 3u

enum near { NEAR_NOTHING = 0, NEAR_LIST, NEAR_DICT, NEAR_UNUSED };

static enum near near_of(const struct scan *scan, uintptr_t address)
{
    uint32_t number = scan_index_find(&scan->index, address);
    const struct scan_range *arena;

    if (number != SCAN_NONE) {
        const struct scan_block *block = &scan->index.blocks[number];
        if (block->domain != DOMAIN_OBJ || address != block->start + block->object)
            return NEAR_NOTHING;
        return block->facts & FACT_LIST ? NEAR_LIST : block->facts & FACT_DICT ? NEAR_DICT : NEAR_NOTHING;
    }
    arena = address ? scan_range_find(&scan->arenas, address) : NULL;
    return arena && arena->start <= address ? NEAR_UNUSED : NEAR_NOTHING;
}

static bool is_parked(const struct scan *scan, uintptr_t object)
{
    uint64_t references;
    return scan_copy(&scan->reader, &references, object, sizeof(references)) && references == 0;
}

/* Up to 3.9 the interpreter parks lists and dicts in static arrays, whose entries stay behind when they are taken out again.
 * They are told from other static pointers by what stands next to them: more of the same, and pointers to unused memory. */
static void clear_free_lists(const struct scan *scan, uint64_t *words, size_t count)
{
    enum near window[2 * NEAR + 1] = {NEAR_NOTHING};

    for (size_t i = 0; i < count + NEAR; i++) {
        memmove(window, window + 1, sizeof(window) - sizeof(window[0]));
        window[2 * NEAR] = i < count ? near_of(scan, words[i]) : NEAR_NOTHING;
        enum near here = window[NEAR];
        if (i < NEAR || (here != NEAR_LIST && here != NEAR_DICT))
            continue;
        unsigned same = 0;
        for (unsigned k = 0; k < ARRAY_SIZE(window); k++)
            same += k != NEAR && (window[k] == here || window[k] == NEAR_UNUSED);
        if (same >= NEAR_ENOUGH && !is_parked(scan, words[i - NEAR]))
            words[i - NEAR] = 0;
    }
}

static bool has_free_lists(const struct scan *scan, uintptr_t address)
{
    return scan->python.active && scan->python.minor <= FREE_LIST_LAST &&
           address - scan->interpreter.start < scan->interpreter.end - scan->interpreter.start;
}

void scan_root_range(struct scan *scan, uintptr_t start, uintptr_t end)
{
    uintptr_t at = (start + 7) & ~(uintptr_t)7, stop = end;
    bool large = end - start >= RESIDENT_FROM;

    end &= ~(uintptr_t)7;
    while (at < end) {
        stop = end;
        if (large && !scan_resident(&scan->reader, &at, end, &stop))
            return;
        while (at < stop) {
            uintptr_t next = MIN(stop, (at | (SCAN_PIECE - 1)) + 1);
            const uint64_t *words = scan_read(&scan->reader, at, next - at);
            if (!words) { /* page by page: some of it can be read */
                next = MIN(stop, (at | 4095) + 1);
                words = scan_read(&scan->reader, at, next - at);
            }
            if (words && has_free_lists(scan, at))
                clear_free_lists(scan, (uint64_t *)(uintptr_t)words, (next - at) / 8);
            scan->origin = at;
            if (words)
                scan_words(scan, words, (next - at) / 8, SCAN_NONE, 0);
            at = next;
        }
    }
}

/* ---- late roots ---- */

#define RUN_NEAR 64u /* bytes */
#define RUN_ENOUGH 4u
#define ROOTS_ORDERED (1u << 20) /* of more roots the order does not matter */

static bool is_object(const struct scan *scan, uint32_t edge)
{
    uint8_t domain = edge == SCAN_EDGE_NONE ? DOMAIN_MALLOC : scan->index.blocks[edge & SCAN_EDGE_TARGET].domain;
    return domain == DOMAIN_OBJ || domain == DOMAIN_MEM;
}

/* Whether the interpreter's data may hold the only reference: to a namespace or a module. The cache of methods, whose
 * references are borrowed, the memory of dicts, and the arrays of free objects say little. */
static bool is_namespace(const struct scan *scan, uint32_t edge)
{
    const struct scan_block *block = &scan->index.blocks[edge & SCAN_EDGE_TARGET];
    return block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT && block->facts & (FACT_DICT | FACT_MODULE);
}

static bool is_in(const struct scan_range *range, uintptr_t address)
{
    return address - range->start < range->end - range->start;
}

/* Stacks and the memory of threads and of the interpreter's frames, where much is left over; and what the interpreter's data
 * holds of objects, but for namespaces that do not stand in rows, as those do that are free. */
static bool is_late(const struct scan *scan, size_t number, size_t count)
{
    const uint32_t *roots = (const void *)scan->roots.data;
    const uintptr_t *places = (const void *)scan->places.data;
    const struct scan_range *data = scan_range_find(&scan->data, places[number]);
    unsigned same = 0;

    if (!data || data->start > places[number])
        return true;
    if (!is_in(&scan->interpreter, places[number]) || !is_object(scan, roots[number]))
        return false;
    if (!is_namespace(scan, roots[number]))
        return true;
    for (size_t i = number; i-- > 0 && places[number] - places[i] <= RUN_NEAR;)
        same += is_object(scan, roots[i]);
    for (size_t i = number + 1; i < count && places[i] - places[number] <= RUN_NEAR; i++)
        same += is_object(scan, roots[i]);
    return same >= RUN_ENOUGH;
}

struct late_root {
    uint64_t number;
    uint32_t root;
    uintptr_t place;
};

/* Such arrays keep their entries when they are taken out. They hold nothing then; but who can tell, so they only lose their
 * say in why something is there. */
void scan_order_roots(struct scan *scan)
{
    uint32_t *roots = (void *)scan->roots.data;
    uintptr_t *places = (void *)scan->places.data;
    size_t count = scan->roots.used / sizeof(*roots), kept = 0, late = 0;
    struct scan_array array = {0};

    scan->late_roots = count;
    for (size_t i = 0; count <= ROOTS_ORDERED && i < count; i++) {
        struct late_root *item = is_late(scan, i, count) ? scan_array_push(&array, sizeof(*item)) : NULL;
        if (item)
            *item = (struct late_root){i, roots[i], places[i]};
    }
    const struct late_root *list = (const void *)array.data;
    size_t late_count = array.used / sizeof(*list);
    for (size_t i = 0; late_count && i < count; i++) {
        if (late < late_count && list[late].number == i) {
            late++;
            continue;
        }
        roots[kept] = roots[i];
        places[kept++] = places[i];
    }
    for (size_t i = 0; i < late_count; i++) {
        roots[kept + i] = list[i].root;
        places[kept + i] = list[i].place;
    }
    if (late_count)
        scan->late_roots = kept;
    scan_array_done(&array);
}

/* ---- holes ---- */

static bool has_python_block(const struct scan *scan, uintptr_t start, uintptr_t end)
{
    const struct scan_index *index = &scan->index;

    for (uint32_t i = scan_index_lower(index, start); i < index->count && index->blocks[i].start < end; i++)
        if (index->blocks[i].domain == DOMAIN_MEM || index->blocks[i].domain == DOMAIN_OBJ)
            return true;
    return false;
}

#define ARENA_LEAST (256u << 10) /* of pymalloc; what the interpreter takes for frames is smaller */

/* A finalized interpreter has no more use for an arena without a block: what is in it are freed objects. */
static bool is_left_over(const struct scan *scan, size_t size)
{
    return scan->python.active && !scan->python.running && size >= ARENA_LEAST;
}

/* An arena may have been given back unseen, and another mapping be there; and the interpreter takes memory for other
 * purposes in the same way (its frames), which are roots. */
static void add_arenas(struct scan *scan)
{
    size_t room = LIST_FIRST, count;
    struct pyarena *arenas;

    for (;; room = count + LIST_FIRST) {
        arenas = arena_map(room * sizeof(*arenas));
        if (!arenas) {
            scan->failed = true;
            return;
        }
        count = pyarenas_list(arenas, room);
        if (count <= room)
            break;
        arena_unmap(arenas, room * sizeof(*arenas));
    }
    for (size_t i = 0; i < count; i++) {
        uintptr_t start = arenas[i].start, end = start + arenas[i].size;
        if (!has_python_block(scan, start, end) && !is_left_over(scan, arenas[i].size) &&
            !(ledger_header->forked && arenas[i].size > 64u << 10))
            continue;
        if (!scan_range_add(&scan->holes, start, end) || !scan_range_add(&scan->arenas, start, end))
            scan->failed = true;
    }
    arena_unmap(arenas, room * sizeof(*arenas));
    scan_ranges_order(&scan->arenas);
}

static void add_own_memory(struct scan *scan)
{
    size_t room = LIST_FIRST, count;
    struct arena_range *ranges;

    for (;; room = count + LIST_FIRST) {
        ranges = arena_map(room * sizeof(*ranges));
        if (!ranges) {
            scan->failed = true;
            return;
        }
        count = arena_ranges(ranges, room);
        if (count <= room)
            break;
        arena_unmap(ranges, room * sizeof(*ranges));
    }
    for (size_t i = 0; i < count; i++)
        if (!scan_range_add(&scan->holes, ranges[i].start, (ranges[i].start + ranges[i].size + 4095) & ~4095ul))
            scan->failed = true;
    arena_unmap(ranges, room * sizeof(*ranges));
}

/* ---- mappings ---- */

/* Data, but for the tracked regions in it: what they hold is theirs. */
static void scan_data(struct scan *scan, uintptr_t start, uintptr_t end)
{
    const struct scan_index *index = &scan->index;

    for (uint32_t i = scan_index_lower(index, start); i < index->count && index->blocks[i].start < end; i++) {
        const struct scan_block *block = &index->blocks[i];
        if (block->start < start)
            continue;
        scan_root_range(scan, start, block->start);
        start = MIN(block->start + scan_whole_size(block), end);
    }
    scan_root_range(scan, start, end);
}

/* [start, end) is without holes; a module's data may be in it, that which its file has no bytes for. */
static void scan_memory(struct scan *scan, const struct scan_mapping *mapping, uintptr_t start, uintptr_t end)
{
    while (start < end) {
        const struct scan_range *data = scan_range_find(&scan->data, start);
        bool inside = data && data->start <= start;
        uintptr_t stop = data ? MIN(inside ? data->end : data->start, end) : end;
        if (inside)
            scan_data(scan, start, stop);
        else
            scan_area(scan, mapping, start, stop);
        start = stop;
    }
}

/* The parts of [start, end) that are in none of the holes. */
static void scan_anonymous(struct scan *scan, const struct scan_mapping *mapping)
{
    uintptr_t at = mapping->start;

    while (at < mapping->end && !scan->failed) {
        const struct scan_range *hole = scan_range_find(&scan->holes, at);
        if (hole && hole->start <= at) {
            at = hole->end;
            continue;
        }
        uintptr_t end = hole ? MIN(hole->start, mapping->end) : mapping->end;
        scan_memory(scan, mapping, at, end);
        at = end;
    }
}

/* Of a file's mapping only what is a module's data. */
static void scan_file(struct scan *scan, const struct scan_mapping *mapping)
{
    uintptr_t at = mapping->start;

    while (at < mapping->end) {
        const struct scan_range *data = scan_range_find(&scan->data, at);
        if (!data || data->start >= mapping->end)
            break;
        at = MAX(at, data->start);
        uintptr_t end = MIN(mapping->end, data->end);
        scan_data(scan, at, end);
        at = end;
    }
}

static void scan_mapping(struct scan *scan, const struct scan_mapping *mapping)
{
    uint64_t size = mapping->end - mapping->start;

    if (!(mapping->flags & MAPPING_READ) || mapping->flags & MAPPING_ODD)
        return;
    if (mapping->flags & MAPPING_SHARED) {
        scan->skipped += mapping->flags & MAPPING_FILE ? 0 : size;
    } else if (mapping->flags & MAPPING_FILE) {
        scan_file(scan, mapping);
    } else if (size > HUGE) {
        scan->skipped += size;
    } else {
        scan_anonymous(scan, mapping);
    }
}

int scan_find_roots(struct scan *scan)
{
    const struct scan_mapping *mappings = (const void *)scan->mappings.data;
    size_t count = scan->mappings.used / sizeof(*mappings);

    add_arenas(scan);
    add_own_memory(scan);
    scan_stacks(scan);
    scan_ranges_order(&scan->holes);
    for (size_t i = 0; i < count && !scan->failed; i++)
        scan_mapping(scan, &mappings[i]);
    if (ledger_header->forked) {
        const struct scan_range *arenas = (const void *)scan->arenas.data;
        for (size_t i = 0; i < scan->arenas.used / sizeof(*arenas) && !scan->failed; i++)
            scan_inherited(scan, arenas[i].start, arenas[i].end);
    }
    scan_flush(scan);
    return scan->failed ? -ENOMEM : 0;
}
