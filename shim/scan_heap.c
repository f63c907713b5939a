/* SPDX-License-Identifier: MIT
 *
 * Memory between recorded blocks. Of glibc's heap the chunks are known by their headers, from each recorded block on up to
 * the next one, so that chunks which nobody recorded (allocated before the shim, or by what it does not see) are told from
 * free ones, whose stale contents must not keep anything alive. Of other heaps only the recorded blocks count; what lies
 * around them within a span is taken for the heap's own. */
#include "block.h"
#include "ledger.h"
#include "scan_state.h"

#define CHUNK_HEADER 16u
#define CHUNK_MIN 32u
#define CHUNK_IN_USE 1u /* in the next chunk's size word */
#define CHUNK_MAPPED 2u
#define CHUNK_ARENA 4u /* not of the main arena */
#define CHUNK_FLAGS 7u
#define HEAP_WINDOW (64ull << 20) /* heaps of the other arenas are aligned to it */
#define SPAN (64u << 10)          /* of an unknown heap */
#define SLACK 64u

struct chunk {
    uintptr_t start, end;
    uint64_t flags;
};

/* The size word of the chunk at `chunk`; 0: cannot be read. */
static uint64_t size_word(struct scan *scan, uintptr_t chunk)
{
    const uint64_t *word = scan_read(&scan->reader, chunk + 8, 8);
    return word ? *word : 0;
}

/* Whether `base` is what glibc's malloc gave for a block that ends at `end`. */
static bool is_chunk(struct scan *scan, uintptr_t base, uintptr_t end, uint64_t padding, struct chunk *ret)
{
    const uint64_t *header = scan_read(&scan->reader, base - CHUNK_HEADER, CHUNK_HEADER);
    uint64_t size = header ? header[1] & ~(uint64_t)CHUNK_FLAGS : 0;

    if (size < CHUNK_MIN || size % 16)
        return false;
    bool mapped = header[1] & CHUNK_MAPPED;
    *ret = (struct chunk){base - CHUNK_HEADER, base - CHUNK_HEADER + size, header[1] & CHUNK_FLAGS};
    if (mapped && (header[0] % 16 || header[0] > padding + 4096))
        return false;
    if (mapped)
        ret->start -= header[0];
    uint64_t slack = SLACK + padding + (mapped ? 2 * 4096 : 0);
    /* The last 8 bytes may lie in the next chunk's header. */
    return ret->end + 8 >= end && ret->end <= end + slack;
}

static bool find_chunk(struct scan *scan, const struct scan_block *block, struct chunk *ret)
{
    const uint64_t *prefix = scan_read(&scan->reader, block->start - block_distance, BLOCK_PREFIX);
    uintptr_t end = block->start + scan_whole_size(block);

    if (block->domain == DOMAIN_TRACKED)
        return false;
    if (!prefix || !block_is_marked(prefix, (const void *)block->start))
        return false;
    size_t padding = block_padding(prefix[0]);
    uintptr_t base = block->start - padding;
    if (is_chunk(scan, base, end, padding, ret))
        return true;
    /* The interpreter's debug allocators put 16 bytes before it and 16 behind. */
    return (block->domain == DOMAIN_MEM || block->domain == DOMAIN_OBJ) && is_chunk(scan, base - 16, end, 48, ret);
}

/* ---- between two chunks ---- */

static bool is_kept_free(const struct scan *scan, uintptr_t chunk, const uint64_t *words)
{
    return words[3] == BLOCK_FREED || (scan->tcache_key && words[3] == scan->tcache_key) ||
           block_is_kept(words + 2, (const void *)(chunk + CHUNK_HEADER + block_distance));
}

/* Walks the chunks from `at` to `end`; with `top`, the last one is the unused rest of the heap. False: they are none (what
 * was found so far has been added). *ret_at receives where it failed. */
static bool walk(struct scan *scan, uintptr_t at, uintptr_t end, bool top, uintptr_t *ret_at)
{
    while (at < end) {
        const uint64_t *words = scan_read(&scan->reader, at, CHUNK_MIN);
        uint64_t size = words ? words[1] & ~(uint64_t)CHUNK_FLAGS : 0;
        *ret_at = at;
        if (size < CHUNK_MIN || size % 16 || size > end - at || words[1] & CHUNK_MAPPED)
            return false;
        if (at + size == end && top)
            return true;
        bool kept_free = is_kept_free(scan, at, words);
        if (size_word(scan, at + size) & CHUNK_IN_USE && !kept_free)
            scan_root_range(scan, at + CHUNK_HEADER, at + size + 8);
        at += size;
    }
    *ret_at = at;
    return at == end;
}

static void walk_or_take(struct scan *scan, uintptr_t at, uintptr_t end, bool top)
{
    uintptr_t failed = at;

    if (at < end && !walk(scan, at, end, top, &failed))
        scan_root_range(scan, failed, end);
}

/* ---- an area ---- */

/* Where the part that is being looked at came to. */
struct place {
    uintptr_t at;
    bool chunks;      /* a chunk begins here */
    uintptr_t limit;  /* where the chunks end at the latest */
    uintptr_t beside; /* what is below stands beside a tracked region */
};

/* A range of roots in unknown memory. Near to tracked regions that is the allocator's own, which may hold what it likes, but does
 * not make a region used. */
static void take_range(struct scan *scan, const struct place *place, uintptr_t end, uintptr_t beside)
{
    uintptr_t first = MIN(MAX(place->at, place->beside), end), last = MAX(first, MIN(beside, end));

    scan->beside = true;
    scan_root_range(scan, place->at, first);
    scan->beside = false;
    scan_root_range(scan, first, last);
    scan->beside = true;
    scan_root_range(scan, last, end);
    scan->beside = false;
}

/* `beside`: from there on it stands beside a tracked region. */
static void fill_gap_beside(struct scan *scan, struct place *place, uintptr_t end, uintptr_t beside)
{
    if (place->at >= end)
        return;
    if (place->chunks && place->limit < end) {
        walk_or_take(scan, place->at, place->limit, true);
        place->at = place->limit;
        place->chunks = false;
    }
    if (place->chunks)
        walk_or_take(scan, place->at, end, false);
    else
        take_range(scan, place, end, beside);
}

static void fill_gap(struct scan *scan, struct place *place, uintptr_t end)
{
    fill_gap_beside(scan, place, end, end);
}

static void pass_chunk(struct scan *scan, struct place *place, const struct chunk *chunk, uintptr_t end)
{
    fill_gap(scan, place, chunk->start);
    place->at = MAX(place->at, chunk->end);
    place->chunks = !(chunk->flags & CHUNK_MAPPED);
    place->limit = chunk->flags & CHUNK_ARENA ? MIN((chunk->start & ~(HEAP_WINDOW - 1)) + HEAP_WINDOW, end) : end;
}

static void pass_foreign(struct scan *scan, struct place *place, const struct scan_block *block, uintptr_t end)
{
    uintptr_t first = block->start & ~(uintptr_t)(SPAN - 1);
    uintptr_t last = (block->start + scan_whole_size(block) + SPAN - 1) & ~(uintptr_t)(SPAN - 1);

    fill_gap(scan, place, MIN(first, end));
    place->at = MAX(place->at, MIN(last, end));
    place->chunks = false;
}

/* Memory that no hook has seen made, but that holds a region. */
static void pass_region(struct scan *scan, struct place *place, const struct scan_block *block, uintptr_t end)
{
    uintptr_t last = block->start + scan_whole_size(block);

    fill_gap_beside(scan, place, MIN(block->start, end), block->start > SPAN ? block->start - SPAN : 0);
    place->at = MAX(place->at, MIN(last, end));
    place->beside = MAX(place->beside, last + SPAN);
    place->chunks = false;
}

/* Another thread has freed it since the index was made. */
static bool is_freed(const struct scan_block *block)
{
    const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
    return ledger_owner_address(__atomic_load_n(&record->owner, __ATOMIC_ACQUIRE)) != block->start;
}

/* What is no chunk in the midst of chunks is just being freed or made: the way from the one before leads past it. */
void scan_area(struct scan *scan, const struct scan_mapping *mapping, uintptr_t start, uintptr_t end)
{
    const struct scan_index *index = &scan->index;
    bool first_of_heap = mapping->flags & MAPPING_HEAP && start == mapping->start;
    struct place place = {.at = start, .chunks = first_of_heap, .limit = end};

    for (uint32_t i = scan_index_lower(index, start); i < index->count && index->blocks[i].start < end; i++) {
        const struct scan_block *block = &index->blocks[i];
        struct chunk chunk;
        if (block->start < place.at)
            continue;
        if (block->domain == DOMAIN_TRACKED)
            pass_region(scan, &place, block, end);
        else if (find_chunk(scan, block, &chunk) && chunk.start >= start)
            pass_chunk(scan, &place, &chunk, end);
        else if (!is_freed(block) && !(place.chunks && block->start < place.limit))
            pass_foreign(scan, &place, block, end);
    }
    if (place.at >= end)
        return;
    if (place.chunks) {
        walk_or_take(scan, place.at, place.limit, true);
        place.at = MAX(place.at, place.limit);
    }
    take_range(scan, &place, end, end);
}

/* ---- the parent's blocks ---- */

#define PYMALLOC_MAX 512u

void scan_inherited(struct scan *scan, uintptr_t start, uintptr_t end)
{
    uintptr_t live_end = 0;

    for (uintptr_t at = start + BLOCK_PREFIX; at < end; at += 16) {
        const uint64_t *words = scan_read(&scan->reader, at - BLOCK_PREFIX, BLOCK_PREFIX + 16);
        if (!words) {
            at = (at | 4095) + 1;
            live_end = 0;
            continue;
        }
        uint64_t contents[2] = {words[2], words[3]};
        if (block_is_marked(words, (const void *)at))
            live_end = scan_index_find(&scan->index, at) == SCAN_NONE ? at + PYMALLOC_MAX : 0;
        scan->origin = at;
        if (at < live_end)
            scan_words(scan, contents, 2, SCAN_NONE, 0);
    }
}
