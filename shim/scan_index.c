/* SPDX-License-Identifier: MIT */
#include "scan_index.h"

#include "arena.h"
#include "ledger.h"

#include <errno.h>
#include <string.h>

#define DIGIT 11u
#define FEW 24u /* blocks of a region that are looked through one by one */
#define REGION_BUCKETS (1u << (SCAN_REGION_SHIFT - SCAN_BUCKET_SHIFT))
#define REGIONS_PER_TOP (1u << (SCAN_TOP_SHIFT - SCAN_REGION_SHIFT))

/* ---- from the ledger ---- */

static uint32_t count_segments(enum ledger_kind kind)
{
    uint32_t segments = __atomic_load_n(&ledger_header->segments, __ATOMIC_ACQUIRE), count = 0;

    for (uint32_t i = 0; i < segments; i++)
        count += ledger_header->directory[i] == kind;
    return count;
}

static bool read_record(const struct ledger_record *record, uint32_t id, struct scan_block *block)
{
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);

    if (!owner || ledger_owner_flags(owner) & RECORD_FREED || !ledger_is_block(ledger_owner_domain(owner)))
        return false;
    *block = (struct scan_block){
        .start = ledger_owner_address(owner),
        .size = MAX(__atomic_load_n(&record->size, __ATOMIC_RELAXED), 1u),
        .record = id,
        .domain = ledger_owner_domain(owner) & 15,
        .object = SCAN_NOT_OBJECT,
        .facts = ledger_owner_flags(owner) & RECORD_STARTUP ? FACT_STARTUP : 0,
    };
    return __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE) == owner && block->start < (uintptr_t)1 << 47 &&
           block->size < (uint64_t)1 << 47;
}

int scan_index_init(struct scan_index *index)
{
    uint32_t segments = count_segments(LEDGER_RECORDS), per = ledger_per_segment(LEDGER_RECORDS);
    size_t room = (size_t)segments * per + 1;

    *index = (struct scan_index){.blocks_size = room * sizeof(struct scan_block)};
    index->blocks = arena_map(index->blocks_size);
    if (!index->blocks)
        return -ENOMEM;
    for (uint32_t n = 0; n < segments; n++) {
        const struct ledger_record *records = (const void *)ledger_segments[LEDGER_RECORDS][n];
        for (uint32_t i = n == 0; i < per; i++)
            index->count += read_record(&records[i], n * per + i, &index->blocks[index->count]);
    }
    return scan_index_build(index);
}

/* ---- order ---- */

static bool is_ordered(const struct scan_block *blocks, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (blocks[i - 1].start >= blocks[i].start)
            return false;
    return true;
}

/* One pass of a radix sort. False: all have the same digit, nothing was moved. */
static bool sort_digit(const struct scan_block *from, struct scan_block *to, uint32_t count, unsigned shift)
{
    uint32_t places[1u << DIGIT], mask = (1u << DIGIT) - 1, place = 0;

    memset(places, 0, sizeof(places));
    for (uint32_t i = 0; i < count; i++)
        places[from[i].start >> shift & mask]++;
    if (places[from[0].start >> shift & mask] == count)
        return false;
    for (uint32_t i = 0; i <= mask; i++) {
        uint32_t here = places[i];
        places[i] = place;
        place += here;
    }
    for (uint32_t i = 0; i < count; i++)
        to[places[from[i].start >> shift & mask]++] = from[i];
    return true;
}

static int sort(struct scan_index *index)
{
    struct scan_block *spare;

    if (is_ordered(index->blocks, index->count))
        return 0;
    spare = arena_map(index->blocks_size);
    if (!spare)
        return -ENOMEM;
    /* Blocks of allocators lie at multiples of 16. */
    for (unsigned shift = index->tracked ? 0 : 4; shift < 47; shift += DIGIT) {
        if (sort_digit(index->blocks, spare, index->count, shift)) {
            struct scan_block *sorted = spare;
            spare = index->blocks;
            index->blocks = sorted;
        }
    }
    arena_unmap(spare, index->blocks_size);
    return 0;
}

/* ---- regions ---- */

#define BUCKETS_PER_CHUNK 64u

/* Bucket tables come in chunks. */
struct scan_buckets {
    struct scan_buckets *next;
    uint32_t used;
    uint32_t tables[BUCKETS_PER_CHUNK][REGION_BUCKETS];
};

static uint32_t *new_buckets(struct scan_index *index)
{
    struct scan_buckets *chunk = index->buckets;

    if (!chunk || chunk->used == BUCKETS_PER_CHUNK) {
        chunk = arena_map(sizeof(*chunk));
        if (!chunk)
            return NULL;
        chunk->next = index->buckets;
        index->buckets = chunk;
    }
    return chunk->tables[chunk->used++];
}

static void fill_buckets(const struct scan_index *index, const struct scan_region *region, uintptr_t start)
{
    uint32_t at = region->first, end = region->first + region->count;

    for (uint32_t i = 0; i < REGION_BUCKETS; i++) {
        uintptr_t bucket = start + ((uintptr_t)i << SCAN_BUCKET_SHIFT);
        while (at < end && index->blocks[at].start < bucket)
            at++;
        region->buckets[i] = at;
    }
}

/* Without memory for buckets the region is merely slower. */
static uint32_t make_region(struct scan_index *index, uintptr_t start, uint32_t at)
{
    struct scan_region *region = &index->regions[start >> SCAN_TOP_SHIFT][start >> SCAN_REGION_SHIFT & 511];
    uint32_t first = at;

    while (at < index->count && index->blocks[at].start - start < (uintptr_t)1 << SCAN_REGION_SHIFT)
        at++;
    *region = (struct scan_region){.first = first, .count = at - first};
    if (region->count > FEW) {
        region->buckets = new_buckets(index);
        if (region->buckets)
            fill_buckets(index, region, start);
    }
    return at;
}

/* Makes the 512 regions of one GiB. */
static bool make_regions(struct scan_index *index, uintptr_t start)
{
    size_t top = start >> SCAN_TOP_SHIFT;
    uint32_t at = scan_index_lower(index, start);

    if (index->regions[top])
        return true;
    index->regions[top] = arena_map(REGIONS_PER_TOP * sizeof(struct scan_region));
    if (!index->regions[top])
        return false;
    for (uintptr_t i = 0; i < REGIONS_PER_TOP; i++)
        at = make_region(index, start + (i << SCAN_REGION_SHIFT), at);
    return true;
}

static uint32_t count_tracked(const struct scan_index *index)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < index->count; i++)
        count += index->blocks[i].domain == DOMAIN_TRACKED;
    return count;
}

/* The address behind all blocks: the last one may be a region in another. */
static uintptr_t end_of(const struct scan_index *index)
{
    uintptr_t end = 0;

    for (uint32_t i = 0; i < index->count; i++)
        end = MAX(end, index->blocks[i].start + index->blocks[i].size);
    return end;
}

int scan_index_build(struct scan_index *index)
{
    index->tracked = count_tracked(index);
    int result = index->count ? sort(index) : 0;

    index->regions = arena_map(SCAN_TOP_COUNT * sizeof(*index->regions));
    if (result < 0 || !index->regions)
        return -ENOMEM;
    if (!index->count)
        return 0;
    result = scan_index_nest(index);
    if (result < 0)
        return result;
    index->low = index->blocks[0].start;
    index->high = end_of(index);
    for (uint32_t i = 0; i < index->count; i++) {
        const struct scan_block *block = &index->blocks[i];
        uintptr_t first = block->start >> SCAN_TOP_SHIFT, last = (block->start + block->size - 1) >> SCAN_TOP_SHIFT;
        for (uintptr_t top = first; top <= last && top < SCAN_TOP_COUNT; top++)
            if (!index->regions[top] && !make_regions(index, top << SCAN_TOP_SHIFT))
                return -ENOMEM;
    }
    return 0;
}

/* Looks only where there are blocks: the table is large and nearly all of it was never touched. */
static void free_regions(struct scan_index *index)
{
    for (uint32_t i = 0; index->regions && i < index->count; i++) {
        const struct scan_block *block = &index->blocks[i];
        uintptr_t last = (block->start + block->size - 1) >> SCAN_TOP_SHIFT;
        for (uintptr_t top = block->start >> SCAN_TOP_SHIFT; top <= last && top < SCAN_TOP_COUNT; top++) {
            arena_unmap(index->regions[top], REGIONS_PER_TOP * sizeof(struct scan_region));
            index->regions[top] = NULL;
        }
    }
}

void scan_index_done(struct scan_index *index)
{
    free_regions(index);
    arena_unmap(index->regions, SCAN_TOP_COUNT * sizeof(*index->regions));
    arena_unmap(index->blocks, index->blocks_size);
    arena_unmap(index->outer, index->outer_size);
    while (index->buckets) {
        struct scan_buckets *next = index->buckets->next;
        arena_unmap(index->buckets, sizeof(*index->buckets));
        index->buckets = next;
    }
    *index = (struct scan_index){0};
}

uint32_t scan_index_lower(const struct scan_index *index, uintptr_t address)
{
    uint32_t low = 0, high = index->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (index->blocks[middle].start < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
