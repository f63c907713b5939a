/* SPDX-License-Identifier: MIT
 *
 * Two walks from the roots (scan_cached.h): the first one follows no pointer of a cache, the second begins at these. What only the
 * second comes to is kept for the next time. What none comes to is lost. Memory that was not cleared has pointers of an earlier
 * use, which lead the first walk astray: where all references of an object are found in caches, the walks are repeated
 * without those to it. */
#include "scan_scope.h"

#include "arena.h"
#include "place.h"
#include "scan_graph.h"
#include "scan_walk.h"

#include <errno.h>
#include <string.h>

#define WALKS_MAX 10u
#define COUNTERS 7u /* words for each block */

/* ---- marks ---- */

static void mark_made(struct scan_walk *walk, const struct scan_scope *scope)
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

static void mark_known(struct scan_walk *walk, const struct memshim_scope_known *known)
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
        if (walk_is_made(walk, block)) {
            cached->marks[block] |= MARK_CLOSED;
            scan_cached_add_module(cached, block);
        }
        break;
    }
}

/* ---- what is left over ---- */

static void note_list(struct scan_walk *walk, uint32_t source, uint32_t target)
{
    const struct scan_block *from = cached_block(&walk->cached, source);
    const struct scan_block *to = cached_block(&walk->cached, target);

    if (cached_is_object(from) && from->facts & FACT_LIST && to->domain == DOMAIN_MEM)
        walk->lists[target] = source + 1;
}

static void find_lists(struct scan_walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    for (uint32_t i = 0; i < scan->index.count; i++)
        if (!walk_is_parked(walk, i))
            for (uint64_t k = scan->first[i]; k < scan->first[i + 1]; k++)
                if (edges[k] != SCAN_EDGE_NONE)
                    note_list(walk, i, edges[k] & SCAN_EDGE_TARGET);
}

static void count_owned(struct scan_walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data, *roots = (const void *)scan->roots.data;
    const uintptr_t *places = (const void *)scan->places.data;

    for (uint32_t i = 0; i < scan->index.count; i++) {
        if (walk_is_weak(walk, i) || walk_is_parked(walk, i))
            continue;
        uint32_t *counts = i == walk->cached.interpreter ? walk->cached.listed : walk->cached.owned;
        for (uint64_t k = scan->first[i]; k < scan->first[i + 1]; k++)
            if (!(edges[k] & SCAN_EDGE_INTERIOR) && !walk_is_behind_items(walk, i, edges[k]))
                counts[edges[k]]++;
    }
    for (size_t i = 0; i < scan->roots.used / sizeof(*roots); i++) {
        if (roots[i] & SCAN_EDGE_INTERIOR)
            continue;
        if (i < scan->late_roots || scan_cached_is_type_state(&walk->cached, places[i]))
            walk->cached.owned[roots[i]]++;
        else if (walk_is_interpreters(walk, places[i]))
            walk->cached.listed[roots[i]]++;
    }
}

/* As scan_cached_is_owned; what the interpreter's data has counts as a reference, too. */
static bool is_listed(const struct scan_walk *walk, uint32_t target)
{
    const struct scan_cached *cached = &walk->cached;
    uint32_t listed = cached->listed[target];

    return scan_cached_is_owned(cached, target) ||
           (listed && scan_cached_count(cached, target) <= cached->owned[target] + listed);
}

/* What the interpreter has in its free lists and its cache of methods, where entries stay behind, and what is left on stacks. C code
 * that goes on has nothing yet of what was made in the scope. */
static bool is_root_left_over(const struct scan_walk *walk, uintptr_t place, uint32_t target)
{
    if (place_on_stack(place))
        return true;
    return walk_is_interpreters(walk, place) ? scan_cached_is_owned(&walk->cached, target) : is_listed(walk, target);
}

/* A frame holds objects only. */
static bool is_edge_left_over(const struct scan_walk *walk, uint32_t source, uint32_t target)
{
    const struct scan_block *block = cached_block(&walk->cached, target);

    if (source == walk->cached.interpreter)
        return scan_cached_is_owned(&walk->cached, target);
    if (!walk_is_weak(walk, source) || (block->domain != DOMAIN_OBJ && block->domain != DOMAIN_MEM))
        return false;
    return (walk_is_frame(walk, source) && (block->domain == DOMAIN_MEM || block->object == SCAN_NOT_OBJECT)) ||
           is_listed(walk, target);
}

/* ---- walks ---- */

static void begin_later(struct scan_walk *walk, uint32_t block)
{
    uint32_t *item = scan_array_push(&walk->later, sizeof(*item));

    if (item)
        *item = block;
    else
        walk->cached.scan->failed = true;
}

/* The pointer is that of a cache. */
static void cut(struct scan_walk *walk, uint32_t target)
{
    walk->explained[target]++;
    begin_later(walk, target);
}

static void visit(struct scan_walk *walk, uint32_t block)
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

static void follow(struct scan_walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    while (walk->next < walk->used) {
        uint32_t source = walk->queue[walk->next++];
        if (walk_is_parked(walk, source))
            continue;
        for (uint64_t i = scan->first[source]; i < scan->first[source + 1]; i++) {
            uint32_t target = edges[i] & SCAN_EDGE_TARGET;
            if (edges[i] == SCAN_EDGE_NONE || (edges[i] & SCAN_EDGE_INTERIOR && source == walk->cached.interpreter))
                continue;
            if (is_edge_left_over(walk, source, target) || walk_is_behind_items(walk, source, target))
                continue;
            if (!walk->second && walk_is_made(walk, target) && scan_cached_edge(&walk->cached, source, target))
                cut(walk, target);
            else if (walk_is_frame(walk, target) && scan_cached_is_code(&walk->cached, source))
                continue; /* empty, for the next call */
            else
                visit(walk, target);
        }
    }
}

/* The interpreter's data points to objects as such; into other memory do entries of free lists that were left over. */
static void follow_root(struct scan_walk *walk, uintptr_t place, uint32_t edge, bool late)
{
    struct scan_cached *cached = &walk->cached;
    uint32_t target = edge & SCAN_EDGE_TARGET;

    if (edge & SCAN_EDGE_INTERIOR && walk_is_made(walk, target) && walk_is_interpreters(walk, place))
        return;
    if (walk_is_made(walk, target) && walk_is_interpreters(walk, place) && scan_cached_root(cached, place, target)) {
        walk->kept[target]++;
        begin_later(walk, target);
    } else if (late && !scan_cached_is_type_state(cached, place) && is_root_left_over(walk, place, target))
        return;
    else if (scan_cached_is_library_root(cached, place, target) ||
             (walk_is_made(walk, target) && scan_cached_root(cached, place, target)))
        cut(walk, target);
    else
        visit(walk, target);
}

static void walk_from_roots(struct scan_walk *walk)
{
    const struct scan *scan = walk->cached.scan;
    const uint32_t *roots = (const void *)scan->roots.data;
    const uintptr_t *places = (const void *)scan->places.data;

    for (size_t i = 0; i < scan->roots.used / sizeof(*roots); i++)
        if (roots[i] != SCAN_EDGE_NONE)
            follow_root(walk, places[i], roots[i], i >= scan->late_roots);
    follow(walk);
}

static void walk_from_caches(struct scan_walk *walk)
{
    const uint32_t *later = (const void *)walk->later.data;

    walk->next = walk->used = 0;
    walk->second = true;
    for (size_t i = 0; i < walk->later.used / sizeof(*later); i++)
        visit(walk, later[i]);
    follow(walk);
}

static void walk_all(struct scan_walk *walk)
{
    unsigned count = 0;

    do {
        walk->next = walk->used = 0;
        walk->later.used = 0;
        walk->second = false;
        memset(walk->explained, 0, walk->cached.scan->index.count * sizeof(*walk->explained));
        memset(walk->kept, 0, walk->cached.scan->index.count * sizeof(*walk->kept));
        walk_from_roots(walk);
        walk_from_caches(walk);
    } while (!walk->cached.scan->failed && ++count < WALKS_MAX && scan_walk_correct(walk));
}

static void note_kept(const struct scan_walk *walk, const struct scan_scope *scope)
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
    struct scan_walk walk = {0};

    if (!words || !marks) {
        arena_unmap(words, count * COUNTERS * sizeof(*words));
        arena_unmap(marks, count * sizeof(*marks));
        return -ENOMEM;
    }
    walk.queue = words + 2 * count;
    walk.explained = words + 3 * count;
    walk.lists = words + 4 * count;
    walk.firm = words + 5 * count;
    walk.kept = words + 6 * count;
    scan_cached_init(&walk.cached, scan, marks, words, words + count);
    mark_made(&walk, scope);
    scan_cached_mark_asked(&walk.cached);
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
