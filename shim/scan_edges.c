/* SPDX-License-Identifier: MIT
 *
 * From words to edges: every word of every block is looked up in the index, and what the pointer means is decided when all
 * blocks have been seen. */
#include "ledger.h"
#include "scan_graph.h"
#include "scan_state.h"

#include <string.h>

#define RESIDENT_FROM (1u << 20) /* bytes from which on it pays to ask which pages are there */
#define VTABLE_WORDS 20u
#define LOW_BITS 3u
#define SMALL_INT 28u      /* bytes of a Python int of one digit: its last word is half a word */
#define HEADERS_MAX 65536u /* system calls; what is left out is possibly lost at worst */
#define ROOT_CHECK (1ULL << 63)

_Static_assert(SCAN_PIECE % 4096 == 0, "pieces are whole pages");

/* ---- words ---- */

static enum scan_hit hit_of(uint64_t offset)
{
    switch (offset) {
    case 0:
        return HIT_START;
    case 8:
        return HIT_8;
    case 16:
        return HIT_16;
    case 24:
        return HIT_24;
    case 32:
        return HIT_32;
    default:
        return HIT_MIDDLE;
    }
}

static _cold_ void note_base(struct scan *scan, uint64_t edge, uint64_t offset, uint32_t target)
{
    struct scan_base_check *check = scan_array_push(&scan->bases, sizeof(*check));

    if (check)
        *check = (struct scan_base_check){edge, (uint32_t)offset, target};
}

static void note_place(struct scan *scan, uintptr_t place)
{
    uintptr_t *item = scan_array_push(&scan->places, sizeof(*item));

    if (item)
        *item = place;
    else
        scan->failed = true;
}

/* Whether a pointer `offset` bytes into a block may be to a base of a C++ object, or to a header that a library keeps behind what
 * it hands out (SQLite's pages): both are told by the word there. */
static _always_inline_ bool may_be_part(const struct scan *scan, const struct scan_block *block, uint64_t offset,
                                        enum scan_hit hit)
{
    if (!offset || offset % 8 || offset >= UINT32_MAX)
        return false;
    return block->domain == DOMAIN_NEW ||
           (block->domain == DOMAIN_MALLOC && hit == HIT_MIDDLE && block->size - offset >= 8 &&
            scan->bases.used < HEADERS_MAX * sizeof(struct scan_base_check));
}

/* Extensions mark pointers to memory of Python's in their low bits (NumPy those to its buffers by 3). */
static enum scan_hit hit_python(const struct scan *scan, uint64_t offset)
{
    if (offset && offset == scan->python.text)
        return HIT_TEXT;
    return offset <= LOW_BITS ? HIT_START : hit_of(offset);
}

static void add_hit(struct scan *scan, const struct scan_word *word, uint32_t target)
{
    const struct scan_block *block = &scan->index.blocks[target];
    uint64_t offset = word->address - block->start;
    enum scan_hit hit = block->domain == DOMAIN_OBJ ? hit_python(scan, offset) : hit_of(offset);
    bool root = word->source == SCAN_NONE;
    struct scan_array *array = root ? &scan->roots : &scan->edges;

    if (unlikely(word->beside) && block->domain == DOMAIN_TRACKED)
        return;
    if (root && block->start + block->size - word->address <= 8 && word->address % 16 == 0 && offset)
        return; /* the C library's pointer to the next chunk, which begins with the last 8 bytes of this one */
    if (word->exact && hit != HIT_START && (block->domain != DOMAIN_OBJ || (hit != HIT_16 && hit != HIT_32)))
        return;
    if (unlikely(may_be_part(scan, block, offset, hit)))
        note_base(scan, array->used / sizeof(uint32_t) | (root ? ROOT_CHECK : 0), offset, target);
    uint32_t *edge = scan_array_push(array, sizeof(*edge));
    if (unlikely(!edge)) {
        scan->failed = true;
        return;
    }
    *edge = (uint32_t)hit << SCAN_HIT_SHIFT | target;
    if (root)
        note_place(scan, word->place);
    else
        scan->first[word->source + 1]++;
}

/* Keeps nothing alive, but is a reference. `source` may be SCAN_NONE: a root's word that points to no block. */
static void note_self(struct scan *scan, const struct scan_word *word)
{
    if (scan->found && word->source != SCAN_NONE) {
        const struct scan_block *block = &scan->index.blocks[word->source];
        scan->found[word->source] += word->address == block->start + block->object;
    }
}

void scan_flush(struct scan *scan)
{
    const struct scan_index *index = &scan->index;
    uint32_t count = scan->pending_count;

    for (uint32_t i = 0; i < count; i++)
        scan_index_prefetch_bucket(index, scan->pending[i].address);
    for (uint32_t i = 0; i < count; i++)
        scan_index_prefetch_block(index, scan->pending[i].address);
    for (uint32_t i = 0; i < count; i++) {
        const struct scan_word *word = &scan->pending[i];
        uint32_t target = scan_index_find(index, word->address);
        if (target == word->source)
            note_self(scan, word);
        else if (target != SCAN_NONE)
            add_hit(scan, word, target);
    }
    scan->pending_count = 0;
}

void scan_words(struct scan *scan, const uint64_t *words, size_t count, uint32_t source, unsigned facts)
{
    uintptr_t low = scan->index.low, span = scan->index.high - low, tags = scan_python_tags(&scan->python);
    struct scan_region *const *regions = scan->index.regions;
    bool exact = facts & OBJECT_EXACT;

    for (size_t i = 0; i < count; i++) {
        uintptr_t address = words[i];
        if (address - low >= span || !regions[address >> SCAN_TOP_SHIFT])
            continue;
        scan->pending[scan->pending_count++] = (struct scan_word){address & ~tags, scan->origin + i * sizeof(*words),
                                                                  source, exact || (address & tags), scan->beside};
        if (scan->pending_count == SCAN_PENDING)
            scan_flush(scan);
    }
}

/* ---- C++ ---- */

static bool look_like_vtable(const struct scan *scan, uintptr_t address)
{
    uint64_t words[VTABLE_WORDS];
    unsigned functions = 0, count = VTABLE_WORDS;

    while (count && !scan_copy(&scan->reader, words, address, count * 8))
        count /= 2;
    for (unsigned i = 0; i < count && functions < 2; i++)
        functions += scan_is_code(scan, words[i]);
    return functions >= 2;
}

/* A vtable is constant data of a module, most of which are addresses of functions. */
static bool is_vtable(struct scan *scan, uintptr_t address)
{
    struct scan_vtable *known = &scan->vtables[(address >> 3 ^ address >> 12) % SCAN_VTABLES];

    if (address < 4096 || address & 7 || address >> 47)
        return false;
    if (known->address != address) {
        const struct scan_mapping *mapping = scan_mapping_find(&scan->mappings, address);
        known->address = address;
        known->is_one = mapping && mapping->flags & MAPPING_FILE && look_like_vtable(scan, address);
    }
    return known->is_one;
}

static uint16_t facts_of(struct scan *scan, const struct scan_block *block, const uint64_t *words)
{
    uint64_t size = block->size;
    uint16_t facts = 0;

    if (size >= 16 && words[0] == size - 8)
        facts |= FACT_LENGTH64;
    if (block->domain == DOMAIN_NEW_ARRAY && size > 8 && words[0] && (size - 8) % words[0] == 0)
        facts |= FACT_ARRAY;
    if (size > 24 && words[1] == size - 25 && words[0] <= words[1])
        facts |= FACT_STRING;
    if (block->domain == DOMAIN_NEW && is_vtable(scan, words[0]))
        facts |= FACT_BASES;
    return facts;
}

/* ---- blocks ---- */

static void name_type(struct scan *scan, const struct scan_block *block, const struct scan_type *type)
{
    struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
    uint32_t name = scan_python_name(&scan->python, type);

    if (ledger_owner_address(__atomic_load_n(&record->owner, __ATOMIC_RELAXED)) == block->start)
        __atomic_store_n(&record->type, name, __ATOMIC_RELAXED);
}

/* Looks at the first piece of a block. Returns how many of its bytes are to be scanned. */
static _always_inline_ size_t look(struct scan *scan, struct scan_block *block, uint64_t *words, size_t size,
                                   unsigned *ret_facts)
{
    if (block->domain == DOMAIN_OBJ && scan->python.active) {
        uint32_t references = 0;
        const struct scan_type *type = scan_python_look(&scan->python, block, words, &size, ret_facts, &references);
        if (scan->counts)
            scan->counts[block - scan->index.blocks] = references;
        if (type && scan->types)
            name_type(scan, block, type);
    } else if (block->domain != DOMAIN_OBJ && size >= 16) {
        block->facts |= facts_of(scan, block, words);
    }
    return size;
}

/* What comes after the first piece of a large block. */
static void scan_rest(struct scan *scan, uint32_t number, uintptr_t from, uintptr_t end, unsigned facts)
{
    uintptr_t at = from, stop = end;

    while (at < end) {
        stop = end;
        if (end - from >= RESIDENT_FROM && !scan_resident(&scan->reader, &at, end, &stop))
            return;
        for (; at < stop; at = MIN(stop, (at | (SCAN_PIECE - 1)) + 1)) {
            size_t size = MIN(stop, (at | (SCAN_PIECE - 1)) + 1) - at;
            const uint64_t *words = scan_read(&scan->reader, at, size);
            if (words)
                scan_words(scan, words, size / 8, number, facts);
        }
    }
}

/* ---- regions and containers ---- */

static void add_inside(struct scan *scan, uint32_t source, uint32_t target)
{
    uint32_t *edge = scan_array_push(&scan->edges, sizeof(*edge));

    if (!edge) {
        scan->failed = true;
        return;
    }
    *edge = (uint32_t)HIT_INSIDE << SCAN_HIT_SHIFT | target;
    scan->first[source + 1]++;
}

/* Whoever reaches a region or a part reaches its container, and so all parts of that. Not the regions in it: that they are
 * there says nothing about who uses them. */
static void add_nesting(struct scan *scan, uint32_t number)
{
    const struct scan_index *index = &scan->index;
    const struct scan_block *block = &index->blocks[number];
    uintptr_t end = block->start + scan_whole_size(block);

    scan_flush(scan);
    if (index->outer[number] != SCAN_NONE)
        add_inside(scan, number, index->outer[number]);
    for (uint32_t i = number + 1; block->container && i < index->count && index->blocks[i].start < end; i++)
        if (index->blocks[i].part && index->outer[i] == number)
            add_inside(scan, number, i);
}

/* A region or part may begin anywhere. */
static void scan_unaligned(struct scan *scan, uint32_t number)
{
    const struct scan_block *block = &scan->index.blocks[number];
    uintptr_t from = (block->start + 7) & ~(uintptr_t)7, end = (block->start + block->size) & ~(uintptr_t)7;

    if (from < end)
        scan_rest(scan, number, from, end, 0);
}

static void scan_block(struct scan *scan, uint32_t number)
{
    struct scan_block *block = &scan->index.blocks[number];
    bool small = block->domain == DOMAIN_OBJ && block->size == SMALL_INT;
    size_t size = MIN((block->size + (small ? 4 : 0)) & ~7ULL, (uint64_t)SCAN_PIECE), wanted;
    unsigned facts = 0;

    if (!size)
        return;
    uint64_t *words = (uint64_t *)(uintptr_t)scan_read(&scan->reader, block->start, size);
    if (!words)
        return;
    if (small)
        words[size / 8 - 1] &= UINT32_MAX;
    wanted = look(scan, block, words, size, &facts);
    scan_words(scan, words, MIN(wanted, size) / 8, number, facts);
    if (wanted == size && block->size > SCAN_PIECE)
        scan_rest(scan, number, block->start + size, block->start + (block->size & ~7ULL), facts);
}

/* What the container of a custom allocator holds between regions are its lists, and what was in regions that are gone: not by
 * that is a region in use. */
static void scan_nested(struct scan *scan, uint32_t number)
{
    const struct scan_block *block = &scan->index.blocks[number];

    scan->beside = block->container || block->part;
    if (block->part || block->domain == DOMAIN_TRACKED)
        scan_unaligned(scan, number);
    else
        scan_block(scan, number);
    scan->beside = false;
    if (block->container || scan->index.outer[number] != SCAN_NONE)
        add_nesting(scan, number);
}

void scan_blocks(struct scan *scan)
{
    for (uint32_t i = 0; i < scan->index.count && !scan->failed; i++) {
        if (likely(!scan->index.outer))
            scan_block(scan, i);
        else
            scan_nested(scan, i);
    }
    scan_flush(scan);
    for (uint32_t i = 0; i < scan->index.count; i++)
        scan->first[i + 1] += scan->first[i];
}

/* ---- meaning ---- */

static const uint8_t hit_offsets[] = {[HIT_START] = 0, [HIT_16] = 16, [HIT_32] = 32, [HIT_8] = 8, [HIT_24] = 24};

/* A pointer to the head of a collected object comes from the collector's list, and owns nothing; nor does one into the middle
 * of it (the interpreter's frames in generators, the values in instances): the object is always held by its start. */
static uint32_t resolve_object(const struct scan_block *block, enum scan_hit hit, uint32_t target)
{
    if (block->object == SCAN_NOT_OBJECT)
        return hit == HIT_START || hit == HIT_16 || hit == HIT_32 ? target : target | SCAN_EDGE_INTERIOR;
    if (hit < HIT_MIDDLE && hit_offsets[hit] == block->object)
        return target;
    /* Extensions keep a str or bytes by the characters in it. */
    if (!block->object && (hit == HIT_TEXT || hit == HIT_32))
        return target;
    return block->object ? SCAN_EDGE_NONE : target | SCAN_EDGE_INTERIOR;
}

static uint32_t resolve(const struct scan_index *index, uint32_t edge)
{
    uint32_t target = edge & SCAN_HIT_TARGET;
    const struct scan_block *block = &index->blocks[target];
    enum scan_hit hit = edge >> SCAN_HIT_SHIFT;

    if (hit == HIT_INSIDE)
        return target;
    if (block->part)
        return target | SCAN_EDGE_INTERIOR;
    if (block->domain == DOMAIN_OBJ)
        return resolve_object(block, hit, target);
    if (hit == HIT_START || (hit == HIT_8 && block->facts & (FACT_LENGTH64 | FACT_ARRAY)) ||
        (hit == HIT_24 && block->facts & FACT_STRING))
        return target;
    /* The interpreter leaves room for one argument before those of a call that it unpacks. */
    if (hit == HIT_8 && block->domain == DOMAIN_MEM)
        return target;
    return target | SCAN_EDGE_INTERIOR;
}

/* The second and later bases of a C++ object begin with pointers to vtables, as the object does. A header behind a block begins
 * with a pointer to the block. */
static bool is_part(struct scan *scan, const struct scan_block *block, uint64_t word)
{
    return word == block->start || (word == block->start + 8 && block->facts & FACT_LENGTH64) ||
           (block->facts & FACT_BASES && is_vtable(scan, word));
}

static void resolve_bases(struct scan *scan)
{
    const struct scan_base_check *checks = (const void *)scan->bases.data;
    size_t count = scan->bases.used / sizeof(*checks);

    for (size_t i = 0; i < count; i++) {
        const struct scan_block *block = &scan->index.blocks[checks[i].target];
        uint64_t word;
        if (!scan_copy(&scan->reader, &word, block->start + checks[i].offset, sizeof(word)) ||
            !is_part(scan, block, word))
            continue;
        struct scan_array *array = checks[i].edge & ROOT_CHECK ? &scan->roots : &scan->edges;
        ((uint32_t *)(void *)array->data)[checks[i].edge & ~ROOT_CHECK] = checks[i].target; /* HIT_START */
    }
}

static void resolve_array(const struct scan *scan, struct scan_array *array)
{
    uint32_t *edges = (void *)array->data;
    size_t count = array->used / sizeof(*edges);

    for (size_t i = 0; i < count; i++)
        edges[i] = resolve(&scan->index, edges[i]);
}

/* Calls `visit` for each block that block `number` points to. */
static void for_each_edge(struct scan *scan, uint32_t number, void (*visit)(struct scan *, uint32_t *edge))
{
    uint32_t *edges = (void *)scan->edges.data;

    for (uint64_t i = scan->first[number]; i < scan->first[number + 1]; i++)
        if (edges[i] != SCAN_EDGE_NONE)
            visit(scan, &edges[i]);
}

static void drop(struct scan *scan, uint32_t *edge)
{
    (void)scan;
    *edge = SCAN_EDGE_NONE;
}

/* An entry of a dict of subclasses: the class's address as a hash, and as an int. The weak references own nothing anyway. */
static void drop_subclass(struct scan *scan, uint32_t *edge)
{
    const struct scan_block *target = &scan->index.blocks[*edge & SCAN_EDGE_TARGET];

    if (target->domain != DOMAIN_OBJ || target->object == SCAN_NOT_OBJECT)
        return;
    if (target->facts & FACT_TYPE)
        *edge = SCAN_EDGE_NONE;
    else if (target->facts & FACT_INT)
        for_each_edge(scan, *edge & SCAN_EDGE_TARGET, drop);
}

static void drop_subclasses(struct scan *scan, uint32_t *edge)
{
    const struct scan_block *target = &scan->index.blocks[*edge & SCAN_EDGE_TARGET];

    if (target->object == SCAN_NOT_OBJECT) /* the dict's keys */
        for_each_edge(scan, *edge & SCAN_EDGE_TARGET, drop_subclass);
}

/* The loader knows nothing of the interpreter's blocks; but it does not clear all that it allocates, where words of an earlier
 * use remain. */
static void drop_loaders(struct scan *scan)
{
    const struct scan_block *blocks = scan->index.blocks;
    uint32_t *edges = (void *)scan->edges.data;

    for (uint32_t i = 0; i < scan->index.count; i++) {
        if (blocks[i].domain != DOMAIN_MALLOC)
            continue;
        for (uint64_t k = scan->first[i]; k < scan->first[i + 1]; k++) {
            uint8_t domain = edges[k] == SCAN_EDGE_NONE ? DOMAIN_MALLOC : blocks[edges[k] & SCAN_EDGE_TARGET].domain;
            if ((domain == DOMAIN_OBJ || domain == DOMAIN_MEM) && scan_is_loaders(scan, &blocks[i]))
                edges[k] = SCAN_EDGE_NONE;
        }
    }
}

void scan_resolve(struct scan *scan)
{
    const uint32_t *subclasses = (const void *)scan->python.subclasses.data;

    resolve_bases(scan);
    resolve_array(scan, &scan->edges);
    resolve_array(scan, &scan->roots);
    scan_order_roots(scan);
    if (scan->python.active)
        drop_loaders(scan);
    for (size_t i = 0; i < scan->python.subclasses.used / sizeof(*subclasses); i++)
        for_each_edge(scan, subclasses[i], drop_subclasses);
    scan_states_drop_links(scan);
}
