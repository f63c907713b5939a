/* SPDX-License-Identifier: MIT
 *
 * Two walks from the roots (scan_cached.h): the first one follows no pointer of a cache, the second begins at these. What only the
 * second comes to is kept for the next time. What none comes to is lost. Memory that was not cleared has pointers of an earlier
 * use, which lead the first walk astray: where all references of an object are found in caches, the walks are repeated
 * without those to it. */
#include "scan_scope.h"

#include "arena.h"
#include "place.h"
#include "scan_cached.h"
#include "scan_graph.h"

#include <errno.h>
#include <string.h>

#define WALKS_MAX 10u
#define COUNTERS 6u /* words for each block */

struct walk {
    struct scan_cached cached;
    uint32_t *explained; /* pointers to each block from caches */
    uint32_t *firm;      /* and from what was made in the scope and no cache leads to */
    uint32_t *lists;     /* the list + 1 whose items are in the block; 0: of none */
    uint32_t *queue;
    uint32_t next, used;
    struct scan_array later; /* uint32_t: blocks at which the second walk begins */
    bool second;
};

static bool is_made(const struct walk *walk, uint32_t block)
{
    return walk->cached.marks[block] & MARK_MADE;
}

/* ---- marks ---- */

static void mark_made(struct walk *walk, const struct scan_scope *scope)
{
    const struct scan *scan = walk->cached.scan;

    for (uint32_t i = 0; i < scan->index.count; i++) {
        const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, scan->index.blocks[i].record);
        uint32_t mark = __atomic_load_n(&record->mark, __ATOMIC_RELAXED);
        if (mark - scope->first < scope->last - scope->first) {
            walk->cached.marks[i] |= MARK_MADE;
            scan_cached_add_loaded(&walk->cached, i);
        } else if (mark - scope->last < 1u << 31 && record->thread == scope->thread) {
            walk->cached.marks[i] |= MARK_SKIPPED; /* it was made to look for caches, for one */
        }
    }
}

static void mark_known(struct walk *walk, const struct memshim_scope_known *known)
{
    struct scan_cached *cached = &walk->cached;
    const struct scan_index *index = &cached->scan->index;
    uint32_t block = scan_index_find(index, (uintptr_t)known->object);

    if (block == SCAN_NONE)
        return;
    switch (known->role) {
    case MEMSHIM_SCOPE_EXCEPT:
        cached->marks[block] |= MARK_OUT | MARK_SKIPPED;
        break;
    case MEMSHIM_SCOPE_CACHE:
        cached->marks[block] |= MARK_CLOSED;
        scan_cached_mark_table(cached, block, MARK_CLOSED);
        break;
    case MEMSHIM_SCOPE_CONTAINER:
        scan_cached_mark_table(cached, block, MARK_LIBRARY);
        break;
    case MEMSHIM_SCOPE_NAMESPACE:
        scan_cached_mark_names(cached, block);
        break;
    case MEMSHIM_SCOPE_MODULE:
        if (is_made(walk, block)) {
            cached->marks[block] |= MARK_CLOSED;
            scan_cached_add_module(cached, block);
        }
        break;
    }
}

/* ---- what is left over ---- */

static bool is_frame(const struct walk *walk, uint32_t number)
{
    const struct scan_block *block = &walk->cached.scan->index.blocks[number];
    return block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT && block->facts & FACT_FRAME;
}

/* Where an object is taken off a stack the pointer stays, and memory of C code may have words of an earlier use. */
static bool is_weak(const struct walk *walk, uint32_t source)
{
    uint8_t domain = walk->cached.scan->index.blocks[source].domain;
    return is_frame(walk, source) || (domain != DOMAIN_OBJ && domain != DOMAIN_MEM && domain != DOMAIN_RAW);
}

static bool is_interpreters(const struct walk *walk, uintptr_t place)
{
    const struct scan_range *range = &walk->cached.scan->interpreter;
    return place - range->start < range->end - range->start;
}

/* What is in it is stale. */
static bool is_parked(const struct walk *walk, uint32_t number)
{
    const struct scan_block *block = &walk->cached.scan->index.blocks[number];
    return block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT && block->facts & FACT_PARKED;
}

/* A list's memory that it does not use is not cleared. */
static bool is_behind_items(const struct walk *walk, uint32_t source, uint32_t target)
{
    return walk->lists[source] && is_made(walk, target) &&
           !scan_cached_is_item(&walk->cached, walk->lists[source] - 1, target);
}

static void note_list(struct walk *walk, uint32_t source, uint32_t target)
{
    const struct scan_block *from = &walk->cached.scan->index.blocks[source];
    const struct scan_block *to = &walk->cached.scan->index.blocks[target];

    if (from->domain == DOMAIN_OBJ && from->object != SCAN_NOT_OBJECT && from->facts & FACT_LIST &&
        to->domain == DOMAIN_MEM)
        walk->lists[target] = source + 1;
}

static void find_lists(struct walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    for (uint32_t i = 0; i < scan->index.count; i++)
        if (!is_parked(walk, i))
            for (uint64_t k = scan->first[i]; k < scan->first[i + 1]; k++)
                if (edges[k] != SCAN_EDGE_NONE)
                    note_list(walk, i, edges[k] & SCAN_EDGE_TARGET);
}

static void count_owned(struct walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data, *roots = (const void *)scan->roots.data;
    const uintptr_t *places = (const void *)scan->places.data;

    for (uint32_t i = 0; i < scan->index.count; i++) {
        if (is_weak(walk, i) || is_parked(walk, i))
            continue;
        uint32_t *counts = i == walk->cached.interpreter ? walk->cached.listed : walk->cached.owned;
        for (uint64_t k = scan->first[i]; k < scan->first[i + 1]; k++)
            if (!(edges[k] & SCAN_EDGE_INTERIOR) && !is_behind_items(walk, i, edges[k]))
                counts[edges[k]]++;
    }
    for (size_t i = 0; i < scan->roots.used / sizeof(*roots); i++) {
        if (roots[i] & SCAN_EDGE_INTERIOR)
            continue;
        if (i < scan->late_roots)
            walk->cached.owned[roots[i]]++;
        else if (is_interpreters(walk, places[i]))
            walk->cached.listed[roots[i]]++;
    }
}

/* As scan_cached_is_owned; what the interpreter's data has counts as a reference, too. */
static bool is_listed(const struct walk *walk, uint32_t target)
{
    const struct scan_cached *cached = &walk->cached;
    uint32_t listed = cached->listed[target];

    return scan_cached_is_owned(cached, target) ||
           (listed && scan_cached_count(cached, target) <= cached->owned[target] + listed);
}

/* What the interpreter has in its free lists and its cache of methods, where entries stay behind, and what is left on stacks. C code
 * that goes on has nothing yet of what was made in the scope. */
static bool is_root_left_over(const struct walk *walk, uintptr_t place, uint32_t target)
{
    if (place_on_stack(place))
        return true;
    return is_interpreters(walk, place) ? scan_cached_is_owned(&walk->cached, target) : is_listed(walk, target);
}

/* A frame holds objects only. */
static bool is_edge_left_over(const struct walk *walk, uint32_t source, uint32_t target)
{
    const struct scan_block *block = &walk->cached.scan->index.blocks[target];

    if (source == walk->cached.interpreter)
        return scan_cached_is_owned(&walk->cached, target);
    if (!is_weak(walk, source) || (block->domain != DOMAIN_OBJ && block->domain != DOMAIN_MEM))
        return false;
    return (is_frame(walk, source) && (block->domain == DOMAIN_MEM || block->object == SCAN_NOT_OBJECT)) ||
           is_listed(walk, target);
}

/* ---- walks ---- */

static void begin_later(struct walk *walk, uint32_t block)
{
    uint32_t *item = scan_array_push(&walk->later, sizeof(*item));

    if (item)
        *item = block;
    else
        walk->cached.scan->failed = true;
}

/* The pointer is that of a cache. */
static void cut(struct walk *walk, uint32_t target)
{
    walk->explained[target]++;
    begin_later(walk, target);
}

static void visit(struct walk *walk, uint32_t block)
{
    uint16_t *marks = &walk->cached.marks[block], mark = walk->second ? MARK_CACHED : MARK_HELD;

    if (*marks & (MARK_SKIPPED | MARK_HELD | mark))
        return;
    if (!walk->second && *marks & MARK_CLOSED) {
        begin_later(walk, block);
        return;
    }
    *marks |= mark;
    walk->queue[walk->used++] = block;
}

static void follow(struct walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    while (walk->next < walk->used) {
        uint32_t source = walk->queue[walk->next++];
        if (is_parked(walk, source))
            continue;
        for (uint64_t i = scan->first[source]; i < scan->first[source + 1]; i++) {
            uint32_t target = edges[i] & SCAN_EDGE_TARGET;
            if (edges[i] == SCAN_EDGE_NONE || (edges[i] & SCAN_EDGE_INTERIOR && source == walk->cached.interpreter))
                continue;
            if (is_edge_left_over(walk, source, target) || is_behind_items(walk, source, target))
                continue;
            if (!walk->second && is_made(walk, target) && scan_cached_edge(&walk->cached, source, target))
                cut(walk, target);
            else if (is_frame(walk, target) && scan_cached_is_code(&walk->cached, source))
                continue; /* empty, for the next call */
            else
                visit(walk, target);
        }
    }
}

/* The interpreter's data points to objects as such; into other memory do entries of free lists that were left over. */
static void follow_root(struct walk *walk, uintptr_t place, uint32_t edge, bool late)
{
    struct scan_cached *cached = &walk->cached;
    uint32_t target = edge & SCAN_EDGE_TARGET;

    if (edge & SCAN_EDGE_INTERIOR && is_made(walk, target) && is_interpreters(walk, place))
        return;
    if (is_made(walk, target) && is_interpreters(walk, place) && scan_cached_root(cached, place, target))
        begin_later(walk, target); /* counted as listed */
    else if (late && is_root_left_over(walk, place, target))
        return;
    else if (scan_cached_is_library_root(cached, place) ||
             (is_made(walk, target) && scan_cached_root(cached, place, target)))
        cut(walk, target);
    else
        visit(walk, target);
}

static void walk_from_roots(struct walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *roots = (const void *)scan->roots.data;
    const uintptr_t *places = (const void *)scan->places.data;

    for (size_t i = 0; i < scan->roots.used / sizeof(*roots); i++)
        if (roots[i] != SCAN_EDGE_NONE)
            follow_root(walk, places[i], roots[i], i >= scan->late_roots);
    follow(walk);
}

static void walk_from_caches(struct walk *walk)
{
    const uint32_t *later = (const void *)walk->later.data;

    walk->next = walk->used = 0;
    walk->second = true;
    for (size_t i = 0; i < walk->later.used / sizeof(*later); i++)
        visit(walk, later[i]);
    follow(walk);
}

/* ---- once more ---- */

static void explain_from(struct walk *walk, uint32_t block)
{
    uint16_t *marks = &walk->cached.marks[block];

    if ((*marks & (MARK_MADE | MARK_SKIPPED | MARK_EXPLAINS)) != MARK_MADE || is_parked(walk, block))
        return;
    *marks |= MARK_EXPLAINS;
    walk->queue[walk->used++] = block;
}

/* Counts the references from what was made in the scope and caches lead to. */
static void explain(struct walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data, *later = (const void *)walk->later.data;

    walk->next = walk->used = 0;
    for (size_t i = 0; i < walk->later.used / sizeof(*later); i++)
        explain_from(walk, later[i]);
    while (walk->next < walk->used) {
        uint32_t source = walk->queue[walk->next++];
        for (uint64_t k = scan->first[source]; k < scan->first[source + 1]; k++) {
            if (edges[k] & SCAN_EDGE_INTERIOR || is_weak(walk, source))
                continue;
            walk->explained[edges[k]]++;
            explain_from(walk, edges[k]);
        }
    }
}

static bool is_explained(const struct walk *walk, uint32_t number)
{
    const struct scan_block *block = &walk->cached.scan->index.blocks[number];
    uint32_t found = walk->explained[number];

    if ((block->domain != DOMAIN_OBJ && block->domain != DOMAIN_MEM) || walk->firm[number])
        return false;
    if (block->domain == DOMAIN_MEM || block->object == SCAN_NOT_OBJECT)
        return found && found >= walk->cached.owned[number];
    return found && scan_cached_count(&walk->cached, number) <= found + walk->cached.listed[number];
}

/* Whether the pointers in the block are all in use: not so where it was not cleared, as the values of instances. */
static bool is_firm(const struct walk *walk, uint32_t source)
{
    const struct scan_block *block = &walk->cached.scan->index.blocks[source];
    uint16_t marks = walk->cached.marks[source];

    if (!(marks & MARK_HELD) || marks & MARK_EXPLAINS || is_weak(walk, source) || is_parked(walk, source))
        return false;
    return marks & MARK_MADE || block->domain == DOMAIN_OBJ || walk->lists[source];
}

static void count_firm(struct walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    memset(walk->firm, 0, scan->index.count * sizeof(*walk->firm));
    for (uint32_t i = 0; i < scan->index.count; i++) {
        if (!is_firm(walk, i))
            continue;
        for (uint64_t k = scan->first[i]; k < scan->first[i + 1]; k++)
            if (edges[k] != SCAN_EDGE_NONE && !is_behind_items(walk, i, edges[k] & SCAN_EDGE_TARGET))
                walk->firm[edges[k] & SCAN_EDGE_TARGET]++;
    }
}

/* Whether there is something that the first walk came to by what is left over. */
static bool correct(struct walk *walk)
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

static void walk_all(struct walk *walk)
{
    unsigned count = 0;

    do {
        walk->next = walk->used = 0;
        walk->later.used = 0;
        walk->second = false;
        memset(walk->explained, 0, walk->cached.scan->index.count * sizeof(*walk->explained));
        walk_from_roots(walk);
        walk_from_caches(walk);
    } while (!walk->cached.scan->failed && ++count < WALKS_MAX && correct(walk));
}

static void note_kept(const struct walk *walk, const struct scan_scope *scope)
{
    const struct scan *scan = walk->cached.scan;

    for (uint32_t i = 0; i < scan->index.count; i++) {
        uint16_t marks = walk->cached.marks[i];
        uint32_t record = scan->index.blocks[i].record;
        if (!(marks & MARK_MADE) || record >= scope->limit)
            continue;
        if (walk->lists[i] && scan->index.blocks[i].size <= 1)
            marks |= MARK_OUT; /* of an empty list */
        if ((!(marks & MARK_HELD) && marks & MARK_CACHED && scan_cached_is_theirs(&walk->cached, i)) ||
            marks & MARK_OUT || scan_cached_is_own(&walk->cached, i))
            scope->kept[record / 8] |= (uint8_t)(1u << record % 8);
    }
}

int scan_scope_find(struct scan *scan, const struct scan_scope *scope)
{
    size_t count = (size_t)scan->index.count + 1;
    uint32_t *words = arena_map(count * COUNTERS * sizeof(*words));
    uint16_t *marks = arena_map(count * sizeof(*marks));
    struct walk walk = {0};

    if (!words || !marks) {
        arena_unmap(words, count * COUNTERS * sizeof(*words));
        arena_unmap(marks, count * sizeof(*marks));
        return -ENOMEM;
    }
    walk.queue = words + 2 * count;
    walk.explained = words + 3 * count;
    walk.lists = words + 4 * count;
    walk.firm = words + 5 * count;
    scan_cached_init(&walk.cached, scan, marks, words, words + count);
    mark_made(&walk, scope);
    scan_cached_drop_borrowed(&walk.cached);
    if (scan->python.active)
        find_lists(&walk);
    count_owned(&walk);
    if (scan->python.active)
        scan_cached_mark_states(&walk.cached);
    mark_known(&walk, &(struct memshim_scope_known){scope->known, MEMSHIM_SCOPE_EXCEPT});
    for (size_t i = 0; i < scope->known_count; i++)
        mark_known(&walk, &scope->known[i]);
    walk_all(&walk);
    if (!scan->failed)
        note_kept(&walk, scope);
    scan_array_done(&walk.later);
    scan_cached_done(&walk.cached);
    arena_unmap(words, count * COUNTERS * sizeof(*words));
    arena_unmap(marks, count * sizeof(*marks));
    return scan->failed ? -ENOMEM : 0;
}
