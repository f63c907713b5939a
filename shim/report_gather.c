/* SPDX-License-Identifier: MIT
 *
 * From a ledger to the rows of a report (report_gather.h). The ledger may change while it is read and may hold anything:
 * fields are loaded once, and what makes no sense is counted in `damaged` and left out. */
#include "report_gather.h"

#include "options.h"
#include "report_busy.h"
#include "report_modules.h"
#include "report_stacks.h"
#include "rounded.h"
#include "sampling.h"

#include <errno.h>
#include <string.h>

#define BLOCK_SIZE_MAX (1ULL << 47) /* no block of a process is larger */
#define BATCH 32                    /* records whose table slots are fetched together */

/* Live blocks */

struct block {
    struct row_key key;
    uint64_t hash;
    uint64_t size;
};

/* Reads a record. Returns false for a free one, one that changes at this moment, and a damaged one. */
static bool read_record(struct gathered *gathered, const struct ledger_record *record, struct block *block)
{
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
    uint32_t flags = ledger_owner_flags(owner);
    uint32_t kind = (flags & RECORD_KIND_MASK) >> RECORD_KIND_SHIFT;
    uint32_t domain = ledger_owner_domain(owner);

    if (owner == 0 || flags & RECORD_FREED)
        return false;
    block->size = LOAD(record->size);
    block->key.a = (uint64_t)LOAD(record->trace) << 32 | LOAD(record->type);
    block->key.b = domain << GROUP_DOMAIN_SHIFT | kind << GROUP_KIND_SHIFT |
                   (flags & RECORD_STARTUP ? GROUP_STARTUP : 0) | (flags & RECORD_INTERPRETER ? GROUP_INTERPRETER : 0);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (LOAD(record->owner) != owner)
        return false;
    if (domain >= DOMAIN_COUNT || kind >= BLOCK_KIND_COUNT || block->size > BLOCK_SIZE_MAX) {
        gathered->damaged++;
        return false;
    }
    return true;
}

static void add_block(struct gathered *gathered, const struct block *block)
{
    uint32_t number = table_intern_hashed(&gathered->groups, block->key, block->hash);
    struct group_row *group;

    if (number == 0) {
        fail(gathered);
        return;
    }
    group = table_row(&gathered->groups, number);
    group->blocks++;
    group->bytes = add_saturated(group->bytes, block->size);
    if (gathered->totals.sample) {
        double weight = sampling_weight(block->size, gathered->totals.sample);
        group->weight += weight;
        group->weighted_bytes += weight * (double)block->size;
        group->variance += sampling_variance(block->size, gathered->totals.sample);
    }
}

/* Adds up to BATCH records. Reading them all first gives the memory time to fetch the slots that the second loop needs:
 * with a million groups nearly each one is a cache miss. */
static void gather_batch(struct gathered *gathered, const struct ledger_record *records, size_t count)
{
    const struct table *groups = &gathered->groups;
    struct block blocks[BATCH];
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        struct block *block = &blocks[used];

        if (!read_record(gathered, &records[i], block))
            continue;
        block->hash = row_hash(block->key);
        if (groups->slots)
            __builtin_prefetch(&groups->index[(uint32_t)block->hash & (groups->slots - 1)]);
        used++;
    }
    for (size_t i = 0; i < used && groups->slots; i++) {
        uint32_t guess = (uint32_t)groups->index[(uint32_t)blocks[i].hash & (groups->slots - 1)];

        if (guess)
            __builtin_prefetch(table_row(groups, guess), 1);
    }
    for (size_t i = 0; i < used; i++)
        add_block(gathered, &blocks[i]);
}

static void gather_groups(struct gathered *gathered)
{
    const struct ledger_record *records;
    size_t per = ledger_per_segment(LEDGER_RECORDS);

    for (uint32_t n = 0; (records = ledger_view_segment(gathered->view, LEDGER_RECORDS, n)); n++) {
        for (size_t i = n == 0; i < per && !gathered->error; i += BATCH)
            gather_batch(gathered, records + i, MIN(per - i, (size_t)BATCH));
        ledger_view_drop(gathered->view, LEDGER_RECORDS, n);
    }
}

/* Puts the estimates in the place of what was counted. */
static void estimate_groups(struct gathered *gathered)
{
    double variance = 0;

    if (!gathered->totals.sample)
        return;
    for (uint32_t n = 1; n <= gathered->groups.count; n++) {
        struct group_row *group = table_row(&gathered->groups, n);
        group->blocks = rounded(group->weight);
        group->bytes = rounded(group->weighted_bytes);
        variance += group->variance;
    }
    gathered->totals.error_bytes = rounded(__builtin_sqrt(variance));
}

/* Stacks of what was found */

static void gather_group_traces(struct gathered *gathered)
{
    for (uint32_t n = 1; n <= gathered->groups.count; n++) {
        const struct group_row *group = table_row(&gathered->groups, n);
        gather_trace(gathered, (uint32_t)(group->key.a >> 32));
    }
}

static void gather_errors(struct gathered *gathered)
{
    uint32_t limit = ledger_view_limit(gathered->view, LEDGER_ERRORS);

    for (uint32_t id = 1; id < limit && !gathered->error; id++) {
        const struct ledger_error *entry = ledger_view_entry(gathered->view, LEDGER_ERRORS, id);
        struct ledger_error error;
        uint32_t number;

        if (!entry)
            continue;
        memcpy(&error, entry, sizeof(error));
        if (error.kind == ERROR_NONE || error.kind >= ERROR_KIND_COUNT || error.domain >= DOMAIN_COUNT) {
            gathered->damaged++;
            continue;
        }
        number = intern(gathered, &gathered->errors, (struct row_key){id, 0});
        if (number == 0)
            return;
        ((struct error_row *)table_row(&gathered->errors, number))->error = error;
        gather_trace(gathered, error.trace);
        gather_trace(gathered, error.alloc_trace);
        gather_trace(gathered, error.free_trace);
    }
}

static void gather_references(struct gathered *gathered)
{
    uint32_t limit = ledger_view_limit(gathered->view, LEDGER_REFERENCES);

    for (uint32_t id = 1; id < limit && !gathered->error; id++) {
        const struct ledger_reference *entry = ledger_view_entry(gathered->view, LEDGER_REFERENCES, id);
        struct ledger_reference reference;

        if (!entry)
            continue;
        memcpy(&reference, entry, sizeof(reference));
        if (reference.confidence >= CONFIDENCE_COUNT || reference.kind >= BLOCK_KIND_COUNT) {
            gathered->damaged++;
            continue;
        }
        uint32_t number = intern(gathered, &gathered->references, (struct row_key){id, 0});
        if (number == 0)
            return;
        ((struct reference_row *)table_row(&gathered->references, number))->reference = reference;
        gather_trace(gathered, reference.trace);
    }
}

/* The module with the data at `address`, which is there at the end. */
static void find_data(struct gathered *gathered, struct link_row *row)
{
    const struct module_range *range = module_ranges_find(gathered->ranges, gathered->range_count, row->link.offset,
                                                          LOAD(gathered->view->header->epoch));

    if (!range)
        return;
    row->module = intern(gathered, &gathered->modules, (struct row_key){range->id, 0});
    row->module_offset = row->link.offset - range->bias;
}

static void gather_links(struct gathered *gathered)
{
    uint32_t limit = ledger_view_limit(gathered->view, LEDGER_LINKS);

    for (uint32_t id = 1; id < limit && !gathered->error; id++) {
        const struct ledger_link *entry = ledger_view_entry(gathered->view, LEDGER_LINKS, id);
        struct ledger_link link;

        if (!entry)
            continue;
        memcpy(&link, entry, sizeof(link));
        if (link.role == LINK_NONE || link.role >= LINK_ROLE_COUNT || link.kind >= BLOCK_KIND_COUNT ||
            link.domain >= DOMAIN_COUNT || link.root >= LINK_ROOT_COUNT || link.subject == 0) {
            gathered->damaged++;
            continue;
        }
        uint32_t number = intern(gathered, &gathered->links, (struct row_key){id, 0});
        if (number == 0)
            return;
        struct link_row *row = table_row(&gathered->links, number);
        row->link = link;
        if (link.role == LINK_ROOT && link.root == LINK_ROOT_DATA)
            find_data(gathered, row);
        gather_trace(gathered, link.trace);
    }
}

static void gather_growth(struct gathered *gathered)
{
    if (growth_init(&gathered->growth, gathered->view) < 0)
        fail(gathered);
    for (uint32_t n = 1; n <= gathered->growth.series.count; n++) {
        const struct growth_series *series = table_row(&gathered->growth.series, n);
        if (series->first_point)
            gather_trace(gathered, (uint32_t)series->key.a);
    }
}

/* Totals */

static void gather_live(struct gathered *gathered)
{
    struct totals *totals = &gathered->totals;

    for (uint32_t n = 1; n <= gathered->groups.count; n++) {
        const struct group_row *group = table_row(&gathered->groups, n);

        if (!ledger_is_block(group->key.b >> GROUP_DOMAIN_SHIFT))
            continue;
        totals->live_blocks += group->blocks;
        totals->live_bytes = add_saturated(totals->live_bytes, group->bytes);
        if (group->key.b & GROUP_STARTUP) {
            totals->startup_blocks += group->blocks;
            totals->startup_bytes = add_saturated(totals->startup_bytes, group->bytes);
        }
    }
}

static void gather_busy(struct gathered *gathered)
{
    uint32_t ids[BUSY_MAX], count = busy_traces(gathered->view, ids);

    for (uint32_t i = 0; i < count; i++)
        gather_trace(gathered, ids[i]);
}

/* Adds what threads have counted for their latest traces to these. */
static void gather_tallies(struct gathered *gathered)
{
    uint32_t limit = ledger_view_limit(gathered->view, LEDGER_TALLIES);

    for (uint32_t id = 1; id < limit; id++) {
        const struct ledger_tally *tally = ledger_view_entry(gathered->view, LEDGER_TALLIES, id);
        if (!tally || !LOAD(tally->allocations))
            continue;
        uint32_t number = gathered_trace(gathered, LOAD(tally->trace));
        if (number == 0)
            continue;
        struct trace_row *row = table_row(&gathered->traces, number);
        row->allocations = add_saturated(row->allocations, LOAD(tally->allocations));
        row->bytes = add_saturated(row->bytes, LOAD(tally->bytes));
    }
}

/* The peak: header.peak_bytes knows it up to the threads' last flushes. Since then the process has at most had the bytes
 * it has now and what the one thread that fell most has freed since its own high: the threads' highs do not come at one
 * time, so they are not added up. Exact with one thread. Signed sums wrap in unsigned words: damage must not trap. */
static void gather_threads(struct gathered *gathered)
{
    uint32_t limit = ledger_view_limit(gathered->view, LEDGER_THREADS);
    const struct ledger_header *header = gathered->view->header;
    struct totals *totals = &gathered->totals;
    uint64_t now = (uint64_t)LOAD(header->live_bytes);
    int64_t fall = 0;

    totals->dropped = LOAD(header->dropped);
    for (uint32_t id = 1; id < limit; id++) {
        const struct ledger_thread *thread = ledger_view_entry(gathered->view, LEDGER_THREADS, id);
        uint64_t balance;

        if (!thread)
            continue;
        balance = (uint64_t)LOAD(thread->balance);
        now += balance;
        fall = MAX(fall, (int64_t)((uint64_t)LOAD(thread->high) - balance));
        totals->threads++;
        totals->allocations = add_saturated(totals->allocations, LOAD(thread->allocations));
        totals->frees = add_saturated(totals->frees, LOAD(thread->frees));
        totals->dropped = add_saturated(totals->dropped, LOAD(thread->dropped));
    }
    totals->peak_bytes = (uint64_t)MAX(MAX(LOAD(header->peak_bytes), (int64_t)(now + (uint64_t)fall)), 0);
    totals->peak_bytes = MAX(totals->peak_bytes, totals->live_bytes);
}

static void gather_arenas(struct gathered *gathered)
{
    if (arena_use_read(&gathered->arenas, gathered->view, gathered->all_python, gathered->guarded) < 0)
        fail(gathered);
    for (uint32_t i = 0; i < gathered->arenas.pin_count; i++)
        gather_trace(gathered, (uint32_t)gathered->arenas.pins[i].key.a);
}

static void read_options(struct gathered *gathered)
{
    const char *text = gathered->view->header->options;
    struct options options;

    options_defaults(&options);
    if (!bytes_reserve(&gathered->path, LEDGER_OPTIONS_MAX + 1)) {
        fail(gathered);
        return;
    }
    memcpy(gathered->path.data, text, LEDGER_OPTIONS_MAX);
    gathered->path.data[LEDGER_OPTIONS_MAX] = 0;
    options_parse(&options, gathered->path.data, NULL, NULL);
    gathered->leak_check = options.leak_check;
    gathered->guarded = options.guard;
    gathered->all_python = options.domains >> DOMAIN_MEM & options.domains >> DOMAIN_OBJ & 1;
}

int gathered_init(struct gathered *gathered, const struct ledger_view *view)
{
    *gathered = (struct gathered){
        .view = view,
        .groups = TABLE_OF(struct group_row),
        .errors = TABLE_OF(struct error_row),
        .references = TABLE_OF(struct reference_row),
        .links = TABLE_OF(struct link_row),
        .traces = TABLE_OF(struct trace_row),
        .nodes = TABLE_OF(struct node_row),
        .frames = TABLE_OF(struct frame_row),
        .codes = TABLE_OF(struct id_row),
        .modules = TABLE_OF(struct id_row),
    };
    gathered->ranges = module_ranges_new(view, &gathered->range_count);
    if (!gathered->ranges || !id_map_init(&gathered->trace_numbers, ledger_view_limit(view, LEDGER_TRACES)) ||
        !id_map_init(&gathered->node_numbers, ledger_view_limit(view, LEDGER_NODES)))
        return -ENOMEM;
    read_options(gathered);
    gathered->totals.sample = view->header->sample;
    gather_groups(gathered);
    estimate_groups(gathered);
    if (gathered->leak_check) {
        gather_group_traces(gathered);
        gather_references(gathered);
        gather_links(gathered);
    }
    gather_errors(gathered);
    gather_busy(gathered);
    gather_growth(gathered);
    gather_arenas(gathered);
    gather_live(gathered);
    gather_threads(gathered);
    gather_tallies(gathered);
    return gathered->error;
}

void gathered_done(struct gathered *gathered)
{
    struct table *tables[] = {&gathered->groups, &gathered->errors, &gathered->references,
                              &gathered->links,  &gathered->traces, &gathered->nodes,
                              &gathered->frames, &gathered->codes,  &gathered->modules};

    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        table_done(tables[i]);
    growth_done(&gathered->growth);
    id_map_done(&gathered->trace_numbers);
    id_map_done(&gathered->node_numbers);
    bytes_done(&gathered->path);
    report_free(gathered->ranges);
    gathered->ranges = NULL;
}
