/* SPDX-License-Identifier: MIT
 *
 * The look before the interpreter takes itself down. What modules made while they were imported, for as long as they are there,
 * may be lost only because the interpreter frees what led to it (cffi's declarations, what OpenSSL keeps for a library that
 * is not closed): such blocks are remembered if they are reachable now. They are kept by the interpreter then, and no leak
 * of the program. What is lost already, and what was made later, is not remembered.
 *
 * One look at most in a process, and only where extension modules are loaded that are not the interpreter's own. */
#include "arena.h"
#include "ledger.h"
#include "scan.h"
#include "scan_state.h"

#include <string.h>

#define RECORDS_MAX (1u << 20) /* of more the time for two scans is too long */
#define CACHE 4096u            /* a power of two */

struct remembered {
    uintptr_t start;
    uint32_t record, trace;
};

/* Ordered by address. */
static struct scan_array remembered;

/* ---- whether ---- */

static bool is_extension(const struct ledger_module *module)
{
    const struct ledger_text *text = module->path ? ledger_entry(LEDGER_TEXT, module->path) : NULL;
    size_t length = text && text->length_plus_1 ? text->length_plus_1 - 1 : 0;

    if (!length || module->last_epoch != UINT32_MAX || memmem(text->bytes, length, "/lib-dynload/", 13))
        return false;
    return memmem(text->bytes, length, "-packages/", 10) || memmem(text->bytes, length, ".cpython-", 9) ||
           memmem(text->bytes, length, ".abi3.so", 8);
}

static uint32_t count_segments(enum ledger_kind kind)
{
    uint32_t segments = __atomic_load_n(&ledger_header->segments, __ATOMIC_ACQUIRE), count = 0;

    for (uint32_t i = 0; i < segments; i++)
        count += ledger_header->directory[i] == kind;
    return count;
}

bool scan_look_has_extensions(void)
{
    uint32_t segments = count_segments(LEDGER_MODULES), per = ledger_per_segment(LEDGER_MODULES);

    for (uint32_t n = 0; n < segments; n++) {
        const struct ledger_module *modules = (const void *)ledger_segments[LEDGER_MODULES][n];
        for (uint32_t i = n == 0; i < per; i++)
            if (__atomic_load_n(&modules[i].end, __ATOMIC_ACQUIRE) && is_extension(&modules[i]))
                return true;
    }
    return false;
}

bool scan_look_wanted(void)
{
    return (uint64_t)count_segments(LEDGER_RECORDS) * ledger_per_segment(LEDGER_RECORDS) <= RECORDS_MAX &&
           scan_look_has_extensions();
}

/* ---- what ---- */

/* Answers by trace. */
struct cache {
    struct {
        uint32_t trace;
        bool imports;
    } entries[CACHE];
};

static bool is_of_import(struct cache *cache, uint32_t id)
{
    uint32_t slot = id & (CACHE - 1);

    if (cache->entries[slot].trace != id) {
        cache->entries[slot].trace = id;
        cache->entries[slot].imports = scan_comes_from_import(ledger_entry(LEDGER_TRACES, id));
    }
    return cache->entries[slot].imports;
}

/* Objects that Python code makes while its module is imported have counts that speak for themselves; here it is about what
 * an extension makes. */
static bool is_candidate(struct cache *cache, const struct scan_block *block, uint32_t trace)
{
    if (!trace)
        return false;
    if (block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT)
        return scan_is_importing(ledger_entry(LEDGER_TRACES, trace));
    return is_of_import(cache, trace);
}

/* Names are known by what will be gone at the end. */
static bool is_worth_it(const struct scan *scan, struct cache *cache, uint32_t number)
{
    const struct scan_block *block = &scan->index.blocks[number];
    const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
    uint8_t kind = scan->kinds[number];

    if (scan_is_names(scan, block))
        return true;
    return !block->kept && (kind == BLOCK_REACHABLE || kind == BLOCK_POSSIBLE) && !(block->facts & FACT_STARTUP) &&
           is_candidate(cache, block, record->trace);
}

void scan_look_remember(struct scan *scan)
{
    struct cache *cache = arena_map(sizeof(*cache));

    for (uint32_t i = 0; cache && i < scan->index.count; i++) {
        const struct scan_block *block = &scan->index.blocks[i];
        const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
        if (!is_worth_it(scan, cache, i))
            continue;
        struct remembered *item = scan_array_push(&remembered, sizeof(*item));
        if (!item)
            break;
        *item = (struct remembered){block->start, block->record, record->trace};
    }
    arena_unmap(cache, sizeof(*cache));
}

void scan_look_excuse(struct scan *scan)
{
    struct cache *cache = scan_look_wanted() ? arena_map(sizeof(*cache)) : NULL;

    for (uint32_t i = 0; cache && i < scan->index.count; i++) {
        struct scan_block *block = &scan->index.blocks[i];
        const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
        if (scan->kinds[i] != BLOCK_POSSIBLE || !is_candidate(cache, block, record->trace))
            continue;
        scan->kinds[i] = BLOCK_REACHABLE;
        block->kept = 1;
    }
    arena_unmap(cache, sizeof(*cache));
}

bool scan_look_knows(const struct scan_block *block)
{
    const struct remembered *list = (const void *)remembered.data;
    size_t low = 0, count = remembered.used / sizeof(*list), high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list[middle].start < block->start)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == count || list[low].start != block->start || list[low].record != block->record)
        return false;
    return ((const struct ledger_record *)ledger_entry(LEDGER_RECORDS, block->record))->trace == list[low].trace;
}
