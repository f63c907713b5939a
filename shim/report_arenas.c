/* SPDX-License-Identifier: MIT */
#include "report_arenas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_LEAST (256u << 10) /* what the interpreter takes for its frames is smaller */
#define BLOCK_MOST 512u          /* of pymalloc */
#define SPARSE_PART 10u
#define PAIRS_MAX (1u << 16) /* of a stack and an arena */

struct arena {
    uint64_t start, end, used;
    bool sparse;
};

/* A stack in an arena: a = trace, b = arena. */
struct pair_row {
    struct row_key key;
};

struct reader {
    struct arena_use *use;
    const struct ledger_view *view;
    struct arena *arenas;
    uint32_t count;
    uint32_t latest;   /* arena of the block before */
    uint64_t overhead; /* of each block */
    struct table pairs, stacks;
    int error;
};

static int compare(const void *a, const void *b)
{
    const struct arena *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static int read_arenas(struct reader *reader)
{
    uint32_t limit = ledger_view_limit(reader->view, LEDGER_ARENAS);

    reader->arenas = report_malloc((limit + 1) * sizeof(*reader->arenas));
    if (!reader->arenas)
        return -ENOMEM;
    for (uint32_t id = 1; id < limit; id++) {
        const struct ledger_arena *entry = ledger_view_entry(reader->view, LEDGER_ARENAS, id);
        struct ledger_arena arena = {0};
        if (entry)
            memcpy(&arena, entry, sizeof(arena));
        if (arena.size < ARENA_LEAST || arena.size > 1ULL << 40 || arena.start >> 47)
            continue;
        reader->arenas[reader->count++] = (struct arena){arena.start, arena.start + arena.size, 0, false};
        reader->use->bytes += arena.size;
    }
    qsort(reader->arenas, reader->count, sizeof(*reader->arenas), compare);
    reader->use->arenas = reader->count;
    return 0;
}

/* The arena with `address`, NULL = it is in none. Blocks of one arena often come one after the other. */
static struct arena *find(struct reader *reader, uint64_t address)
{
    uint32_t low = 0, high = reader->count;
    struct arena *arena = &reader->arenas[reader->latest];

    if (address - arena->start < arena->end - arena->start)
        return arena;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (reader->arenas[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == reader->count || address < reader->arenas[low].start)
        return NULL;
    reader->latest = low;
    return &reader->arenas[low];
}

/* A live block of the interpreter's, or false. */
static bool read_block(const struct ledger_record *record, uint64_t *ret_address, uint64_t *ret_size)
{
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
    enum block_domain domain = ledger_owner_domain(owner);

    *ret_address = ledger_owner_address(owner);
    *ret_size = __atomic_load_n(&record->size, __ATOMIC_RELAXED);
    return owner && !(ledger_owner_flags(owner) & RECORD_FREED) && (domain == DOMAIN_MEM || domain == DOMAIN_OBJ) &&
           *ret_size <= BLOCK_MOST;
}

static void for_each_block(struct reader *reader,
                           void (*visit)(struct reader *reader, const struct ledger_record *record))
{
    const struct ledger_record *records;
    size_t per = ledger_per_segment(LEDGER_RECORDS);

    for (uint32_t n = 0; !reader->error && (records = ledger_view_segment(reader->view, LEDGER_RECORDS, n)); n++) {
        for (size_t i = n == 0; i < per; i++)
            visit(reader, &records[i]);
        ledger_view_drop(reader->view, LEDGER_RECORDS, n);
    }
}

static void add_block(struct reader *reader, const struct ledger_record *record)
{
    uint64_t address, size;

    if (!read_block(record, &address, &size))
        return;
    struct arena *arena = find(reader, address);
    if (!arena)
        return;
    uint64_t used = (size + reader->overhead + 15) & ~15ULL;
    arena->used += used;
    reader->use->live_blocks++;
    reader->use->live_bytes += size;
    reader->use->used_bytes += used;
}

static void find_sparse(struct reader *reader)
{
    for (uint32_t i = 0; i < reader->count; i++) {
        struct arena *arena = &reader->arenas[i];
        arena->sparse = arena->used && arena->used < (arena->end - arena->start) / SPARSE_PART;
        reader->use->sparse += arena->sparse;
    }
}

static void add_pin(struct reader *reader, const struct ledger_record *record)
{
    uint64_t address, size;
    struct arena *arena = read_block(record, &address, &size) ? find(reader, address) : NULL;
    uint32_t trace = __atomic_load_n(&record->trace, __ATOMIC_RELAXED), pairs = reader->pairs.count;

    if (!arena || !arena->sparse || pairs >= PAIRS_MAX)
        return;
    uint32_t pair = table_intern(&reader->pairs, (struct row_key){trace, (uint64_t)(arena - reader->arenas)});
    uint32_t stack = table_intern(&reader->stacks, (struct row_key){trace, 0});
    if (!pair || !stack) {
        reader->error = -ENOMEM;
        return;
    }
    struct arena_pin *pin = table_row(&reader->stacks, stack);
    pin->blocks++;
    pin->bytes += size;
    pin->arenas += reader->pairs.count > pairs;
}

static bool is_before(const struct arena_pin *a, const struct arena_pin *b)
{
    if (a->arenas != b->arenas)
        return a->arenas > b->arenas;
    return a->bytes != b->bytes ? a->bytes > b->bytes : a->key.a < b->key.a;
}

static void choose_pins(struct reader *reader)
{
    struct arena_use *use = reader->use;

    for (uint32_t n = 1; n <= reader->stacks.count; n++) {
        const struct arena_pin *pin = table_row(&reader->stacks, n);
        uint32_t at = use->pin_count;
        while (at && is_before(pin, &use->pins[at - 1]))
            at--;
        if (at == ARENA_PINS_MAX)
            continue;
        use->pin_count = MIN(use->pin_count + 1, ARENA_PINS_MAX);
        memmove(&use->pins[at + 1], &use->pins[at], (use->pin_count - 1 - at) * sizeof(*pin));
        use->pins[at] = *pin;
    }
}

int arena_use_read(struct arena_use *use, const struct ledger_view *view, bool all_python, bool guarded)
{
    struct reader reader = {.use = use,
                            .view = view,
                            .overhead = guarded ? 48 : 16,
                            .pairs = TABLE_OF(struct pair_row),
                            .stacks = TABLE_OF(struct arena_pin)};

    memset(use, 0, sizeof(*use));
    if (ledger_view_limit(view, LEDGER_ARENAS) <= 1)
        return 0;
    use->known = true;
    /* In a forked child the parent's blocks are not known, and with sampling only some of all. */
    use->blocks_known = all_python && !view->header->forked && !view->header->sample;
    use->peak_bytes = view->header->arena_bytes_peak;
    reader.error = read_arenas(&reader);
    if (!reader.error && reader.count && use->blocks_known) {
        for_each_block(&reader, add_block);
        find_sparse(&reader);
        if (use->sparse)
            for_each_block(&reader, add_pin);
        choose_pins(&reader);
    }
    report_free(reader.arenas);
    table_done(&reader.pairs);
    table_done(&reader.stacks);
    return reader.error;
}
