/* SPDX-License-Identifier: MIT
 *
 * The reference audit: an object with a higher count than there are references to it in memory was given away without its last
 * Py_DECREF, whoever still points to it. All errors lie on the quiet side: a stale word or a borrowed reference hides a
 * surplus, and nothing that owns a reference is left out unless memory could not be read, which lowers the confidence. */
#include "arena.h"
#include "ledger.h"
#include "scan_graph.h"
#include "scan_state.h"
#include "start.h"

#include <string.h>

#define LAST_LATE_VERSION 9u /* see scan_garbage.c */
#define GROUPS_MAX 4096u     /* later ones are left out: a power of two */

/* What is added up: objects of one type and stack that are lost or kept in the same way. */
struct group {
    uint64_t trace_type; /* trace << 32 | type, both of the ledger */
    uint32_t state;      /* kind, confidence and flags */
    uint32_t unseen;
    uint32_t entry; /* LEDGER_REFERENCES id, 0 = free slot */
};

/* References in blocks that are not recorded would not be found. */
static bool is_possible(const struct scan *scan)
{
    const uint64_t needed = 1u << DOMAIN_OBJ | 1u << DOMAIN_MEM;

    return scan->python.active && (start_options.domains & needed) == needed &&
           !(__atomic_load_n(&ledger_header->lacks, __ATOMIC_RELAXED) & (LACK_LEDGER_FULL | LACK_PYTHON_RESTARTS));
}

bool scan_references_init(struct scan *scan)
{
    if (!is_possible(scan))
        return true;
    scan->counts = arena_map(((size_t)scan->index.count + 1) * sizeof(*scan->counts));
    scan->found = arena_map(((size_t)scan->index.count + 1) * sizeof(*scan->found));
    scan->leaders = arena_map(((size_t)scan->index.count + 1) * sizeof(*scan->leaders));
    return scan->counts && scan->found && scan->leaders;
}

void scan_references_done(struct scan *scan)
{
    arena_unmap(scan->counts, ((size_t)scan->index.count + 1) * sizeof(*scan->counts));
    arena_unmap(scan->leaders, ((size_t)scan->index.count + 1) * sizeof(*scan->leaders));
    arena_unmap(scan->found, ((size_t)scan->index.count + 1) * sizeof(*scan->found));
}

/* ---- references ---- */

/* An int that is the address of an object is no reference. */
static bool is_plain_int(const struct scan_block *block)
{
    return block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT &&
           (block->facts & (FACT_INT | FACT_INSTANCE)) == FACT_INT;
}

static void count_edges(struct scan *scan, const uint32_t *edges, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        if (!(edges[i] & SCAN_EDGE_INTERIOR)) /* nor SCAN_EDGE_NONE */
            scan->found[edges[i]]++;
}

void scan_references_count(struct scan *scan)
{
    const uint32_t *edges = (const void *)scan->edges.data;

    if (!scan->found)
        return;
    for (uint32_t i = 0; i < scan->index.count; i++)
        if (!is_plain_int(&scan->index.blocks[i]))
            count_edges(scan, edges, scan->first[i], scan->first[i + 1]);
    count_edges(scan, (const void *)scan->roots.data, 0, scan->roots.used / sizeof(uint32_t));
}

/* ---- findings ---- */

/* Modules keep what they make while they are imported, and some take one more reference to be sure of it. */
static enum reference_confidence confidence_in(const struct scan *scan, const struct ledger_record *record,
                                               enum block_kind kind)
{
    const struct ledger_trace *trace = record->trace ? ledger_entry(LEDGER_TRACES, record->trace) : NULL;
    bool kept = kind == BLOCK_REACHABLE || kind == BLOCK_POSSIBLE;

    if (scan->skipped || ledger_header->forked || (kept && (!trace || scan_comes_from_import(trace))))
        return CONFIDENCE_LOW;
    /* A pointer to the middle may be one that its owner has marked. */
    return scan->python.running || kind == BLOCK_POSSIBLE ? CONFIDENCE_MEDIUM : CONFIDENCE_HIGH;
}

static struct ledger_reference *entry_of(struct group *groups, const struct ledger_record *record, uint32_t unseen,
                                         uint32_t state)
{
    uint64_t key = (uint64_t)record->trace << 32 | record->type;
    uint32_t slot =
        (uint32_t)(((key ^ state ^ (uint64_t)unseen << 16) * 0x9e3779b97f4a7c15ULL) >> 40) & (GROUPS_MAX - 1);

    for (uint32_t tries = 0; tries < GROUPS_MAX; tries++, slot = (slot + 1) & (GROUPS_MAX - 1)) {
        struct group *group = &groups[slot];
        if (!group->entry) {
            *group = (struct group){key, state, unseen, ledger_take(LEDGER_REFERENCES, 1)};
            return group->entry ? ledger_entry(LEDGER_REFERENCES, group->entry) : NULL;
        }
        if (group->trace_type == key && group->state == state && group->unseen == unseen)
            return ledger_entry(LEDGER_REFERENCES, group->entry);
    }
    return NULL;
}

struct finding {
    uint32_t surplus;
    uint32_t unseen; /* see struct ledger_reference */
    enum reference_confidence at_most;
};

static void note(const struct scan *scan, struct group *groups, uint32_t number, struct finding finding)
{
    const struct scan_block *block = &scan->index.blocks[number];
    const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
    uint32_t flags = ledger_owner_flags(owner) & (RECORD_STARTUP | RECORD_INTERPRETER);
    enum block_kind kind = scan->kinds[number];
    enum reference_confidence confidence = MIN(confidence_in(scan, record, kind), finding.at_most);
    struct ledger_reference *entry;

    if (ledger_owner_address(owner) != block->start) /* freed meanwhile */
        return;
    entry = entry_of(groups, record, finding.unseen, flags | (uint32_t)kind << 8 | (uint32_t)confidence << 16);
    if (!entry)
        return;
    entry->unseen = finding.unseen;
    entry->trace = record->trace;
    entry->type = record->type;
    entry->kind = kind;
    entry->confidence = confidence;
    entry->flags = flags;
    entry->least = entry->objects ? MIN(entry->least, finding.surplus) : finding.surplus;
    entry->most = MAX(entry->most, finding.surplus);
    entry->objects++;
    entry->bytes += block->size;
    entry->surplus += finding.surplus;
    __atomic_store_n(&entry->used, 1, __ATOMIC_RELEASE);
}

/* ---- cycles ---- */

enum suspicion {
    NOT_SUSPECT = 0,
    SUSPECT_UNTRACKED,
    SUSPECT_TRAVERSE, /* its tp_traverse is not the interpreter's, which all visit everything */
    SUSPECT_PLAIN,    /* of a type that takes no part in collection */
    HELD,             /* no suspect is needed: someone else has a reference */
};

/* How likely it is the object that hides the cycle from the collector. */
static enum suspicion suspicion_of(const struct scan *scan, uint32_t number)
{
    const struct scan_block *block = &scan->index.blocks[number];

    if (block->domain != DOMAIN_OBJ || block->object == SCAN_NOT_OBJECT)
        return NOT_SUSPECT;
    if (scan->counts[number] > scan->found[number])
        return HELD;
    if (!(block->facts & FACT_COLLECTED))
        return block->facts & FACT_FOREIGN ? SUSPECT_PLAIN : NOT_SUSPECT;
    if (block->facts & FACT_FOREIGN)
        return SUSPECT_TRAVERSE;
    return scan_is_tracked(scan, block) ? NOT_SUSPECT : SUSPECT_UNTRACKED;
}

struct suspect {
    uint32_t block;
    enum suspicion suspicion;
};

/* A cycle in which all counts are accounted for and that is there after the collector's last run was hidden from it. While the
 * interpreter runs that may be yet to come, unless the type says that it is of no use. */
static void note_cycles(struct scan *scan, struct group *groups)
{
    size_t size = ((size_t)scan->index.count + 1) * sizeof(struct suspect);
    struct suspect *suspects = arena_map(size);

    for (uint32_t i = 0; suspects && i < scan->index.count; i++) {
        if (!scan->leaders[i])
            continue;
        struct suspect *suspect = &suspects[scan->leaders[i] - 1];
        enum suspicion suspicion = suspicion_of(scan, i);
        if (suspicion > suspect->suspicion)
            *suspect = (struct suspect){i, suspicion};
    }
    for (uint32_t i = 0; suspects && i < scan->index.count; i++) {
        if (suspects[i].suspicion == NOT_SUSPECT || suspects[i].suspicion == HELD ||
            (scan->python.running && suspects[i].suspicion != SUSPECT_PLAIN))
            continue;
        const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, scan->index.blocks[suspects[i].block].record);
        bool sure = suspects[i].suspicion == SUSPECT_PLAIN || scan->python.minor > LAST_LATE_VERSION;
        if (record->type)
            note(scan, groups, i,
                 (struct finding){.unseen = record->type, .at_most = sure ? CONFIDENCE_HIGH : CONFIDENCE_MEDIUM});
    }
    arena_unmap(suspects, size);
}

/* ---- the whole ---- */

void scan_references_audit(struct scan *scan)
{
    struct group *groups = scan->counts ? arena_map(GROUPS_MAX * sizeof(*groups)) : NULL;

    if (!groups)
        return;
    for (uint32_t i = 0; i < scan->index.count; i++)
        if (scan->counts[i] > scan->found[i])
            note(scan, groups, i,
                 (struct finding){.surplus = scan->counts[i] - scan->found[i], .at_most = CONFIDENCE_HIGH});
    note_cycles(scan, groups);
    arena_unmap(groups, GROUPS_MAX * sizeof(*groups));
}
