/* SPDX-License-Identifier: MIT
 *
 * After the walks of scan_scope.c: which blocks the first one came to only by what is left over from an earlier use. Of an object
 * all references are found in caches. Of memory of a C library one is, and nobody else can have it: neither an object, nor memory that
 * the program's code asked for, nor its data. */
#include "scan_walk.h"

#include <string.h>

static void explain_from(struct scan_walk *walk, uint32_t block)
{
    uint16_t *marks = &walk->cached.marks[block];

    if (!(*marks & (MARK_MADE | MARK_ASKED)) || *marks & (MARK_SKIPPED | MARK_EXPLAINS) || walk_is_parked(walk, block))
        return;
    *marks |= MARK_EXPLAINS;
    walk->queue[walk->used++] = block;
}

/* All that a cache has of it is a word in the interpreter's data, and others have as many references as there are: it is left over. */
static bool is_left_over(const struct scan_walk *walk, uint32_t block)
{
    return walk->kept[block] && !walk->explained[block] && scan_cached_is_owned(&walk->cached, block);
}

/* Counts the references from what was made in the scope, or is a C library's, and caches lead to. */
static void explain(struct scan_walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data, *later = (const void *)walk->later.data;

    walk->next = walk->used = 0;
    for (size_t i = 0; i < walk->later.used / sizeof(*later); i++)
        if (!is_left_over(walk, later[i]))
            explain_from(walk, later[i]);
    while (walk->next < walk->used) {
        uint32_t source = walk->queue[walk->next++];
        for (uint64_t k = scan->first[source]; k < scan->first[source + 1]; k++) {
            if (edges[k] & SCAN_EDGE_INTERIOR)
                continue;
            if (walk_is_weak(walk, source) && !(walk->cached.marks[source] & walk->cached.marks[edges[k]] & MARK_ASKED))
                continue; /* what C libraries have they lead to themselves */
            walk->explained[edges[k]]++;
            explain_from(walk, edges[k]);
        }
    }
}

/* Whether there are as many references in caches as the block has, or may have. */
static bool is_covered(const struct scan_walk *walk, uint32_t number)
{
    const struct scan_block *block = cached_block(&walk->cached, number);
    uint32_t found = walk->explained[number], count = scan_cached_count(&walk->cached, number);

    if (block->domain != DOMAIN_OBJ && block->domain != DOMAIN_MEM)
        return false;
    if (count == UINT32_MAX)
        return found && found >= walk->cached.owned[number];
    /* of a word in the interpreter's data nobody knows whether it is left over while others have the object */
    return (found || (walk->kept[number] && !walk->cached.owned[number])) &&
           count <= found + walk->cached.listed[number];
}

static bool is_explained(const struct scan_walk *walk, uint32_t number)
{
    bool covered = walk->cached.marks[number] & MARK_ASKED ? walk->explained[number] > 0 : is_covered(walk, number);
    return covered && !walk->firm[number];
}

/* Whether the pointers in the block are all in use: not so where it was not cleared, as the values of instances. */
static bool is_firm(const struct scan_walk *walk, uint32_t source)
{
    const struct scan_block *block = cached_block(&walk->cached, source);
    uint16_t marks = walk->cached.marks[source];

    if (!(marks & MARK_HELD) || marks & MARK_EXPLAINS || walk_is_weak(walk, source) || walk_is_parked(walk, source))
        return false;
    return marks & MARK_MADE || block->domain == DOMAIN_OBJ || walk->lists[source];
}

/* The same for pointers to what a C library has asked for itself: in memory of the interpreter's that was made before, and is no
 * object, such a pointer can only be left over; and tuples and code have objects only. */
static bool is_firm_to_asked(const struct scan_walk *walk, uint32_t source)
{
    const struct scan_block *block = cached_block(&walk->cached, source);
    uint16_t marks = walk->cached.marks[source];

    if (!(marks & MARK_HELD) || marks & MARK_ASKED || walk_is_frame(walk, source) || walk_is_parked(walk, source) ||
        (cached_is_object(block) && block->facts & FACT_CONSTANT))
        return false;
    return marks & MARK_MADE || cached_is_object(block) || !scan_cached_is_asked_by_known(&walk->cached, source);
}

static bool is_firm_root(const struct scan_walk *walk, uintptr_t place)
{
    const struct scan_cached *cached = &walk->cached;
    const struct scan *scan = cached->scan;

    return cached_is_in_ranges(&scan->data, place) && !cached_is_in(&scan->interpreter, place) &&
           !cached_is_in(&cached->libc, place) && !cached_is_in_ranges(&scan->library, place) &&
           !cached_is_in_ranges(&cached->libraries, place);
}

/* Counts the pointers in a block that are in use. With what somebody has of a C library, he has what it leads to. */
static void count_from(struct scan_walk *walk, uint32_t source, bool firm, bool firm_to_asked)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    for (uint64_t k = scan->first[source]; (firm || firm_to_asked) && k < scan->first[source + 1]; k++) {
        if (edges[k] == SCAN_EDGE_NONE)
            continue;
        uint32_t target = edges[k] & SCAN_EDGE_TARGET;
        bool asked = walk->cached.marks[target] & MARK_ASKED;
        if (!(asked ? firm_to_asked : firm) || walk_is_behind_items(walk, source, target))
            continue;
        if (!walk->firm[target]++ && asked)
            walk->queue[walk->used++] = target;
    }
}

static void count_from_roots(struct scan_walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *roots = (const void *)scan->roots.data;
    const uintptr_t *places = (const void *)scan->places.data;

    for (size_t i = 0; i < scan->late_roots; i++) {
        if (roots[i] == SCAN_EDGE_NONE)
            continue;
        uint32_t target = roots[i] & SCAN_EDGE_TARGET;
        if (walk->cached.marks[target] & MARK_ASKED && is_firm_root(walk, places[i]) && !walk->firm[target]++)
            walk->queue[walk->used++] = target;
    }
}

static void count_firm(struct scan_walk *walk)
{
    uint32_t count = walk->cached.scan->index.count;

    memset(walk->firm, 0, count * sizeof(*walk->firm));
    walk->next = walk->used = 0;
    for (uint32_t i = 0; i < count; i++)
        count_from(walk, i, is_firm(walk, i), is_firm_to_asked(walk, i));
    count_from_roots(walk);
    while (walk->next < walk->used)
        count_from(walk, walk->queue[walk->next++], false, true);
}

bool scan_walk_correct(struct scan_walk *walk)
{
    uint32_t count = walk->cached.scan->index.count;
    bool corrected = false;

    explain(walk);
    count_firm(walk);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t *marks = &walk->cached.marks[i];
        if ((*marks & (MARK_MADE | MARK_HELD | MARK_CLOSED)) == (MARK_MADE | MARK_HELD) && is_explained(walk, i)) {
            *marks |= MARK_CLOSED;
            corrected = true;
        }
    }
    for (uint32_t i = 0; corrected && i < count; i++)
        walk->cached.marks[i] &= (uint16_t) ~(MARK_HELD | MARK_CACHED);
    return corrected;
}
