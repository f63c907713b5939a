/* SPDX-License-Identifier: MIT
 *
 * Why blocks are still there: for one block of each group (stack, type and kind) the shortest way from a root, or from the
 * lost block that it hangs on, and of lost ones who points to them. Written as links into the ledger. */
#include "arena.h"
#include "ledger.h"
#include "scan_graph.h"
#include "scan_state.h"

#include <string.h>

#define GROUPS_MAX 4096u /* of the lost and of the others each; later ones are not explained. A power of two */
#define CHOSEN_MAX 400u
#define HOLDERS_MAX 24u
#define REFERRERS_MAX 4u
#define SEARCH_MAX (1u << 20) /* bytes of a holder that are looked through for the pointer */
#define PIECE 4096u

struct group {
    uint64_t trace_type; /* trace << 32 | type */
    uint64_t bytes;
    uint32_t block; /* that stands for all + 1, 0 = free slot */
    uint8_t kind;
    bool over; /* the block has more counts than references */
    uint8_t referrers;
};

struct scan_why {
    struct group lost[GROUPS_MAX], others[GROUPS_MAX];
    uint32_t lost_count, other_count;
    struct group *latest; /* blocks of one group come in rows */
    struct group *chosen[CHOSEN_MAX];
    uint32_t chosen_count;
    uint32_t subject; /* number of the explanation */
};

bool scan_why_init(struct scan *scan)
{
    scan->why = arena_map(sizeof(*scan->why));
    scan->parents = arena_map(((size_t)scan->index.count + 1) * sizeof(*scan->parents));
    return scan->why && scan->parents;
}

void scan_why_done(struct scan *scan)
{
    arena_unmap(scan->why, sizeof(*scan->why));
    arena_unmap(scan->parents, ((size_t)scan->index.count + 1) * sizeof(*scan->parents));
}

/* ---- groups ---- */

static struct group *group_of(struct scan_why *why, uint64_t key, uint8_t kind)
{
    bool lost = kind != BLOCK_REACHABLE;
    struct group *groups = lost ? why->lost : why->others;
    uint32_t *count = lost ? &why->lost_count : &why->other_count;
    uint32_t slot = (uint32_t)(((key ^ kind) * 0x9e3779b97f4a7c15ULL) >> 40) & (GROUPS_MAX - 1);

    while (groups[slot].block && (groups[slot].trace_type != key || groups[slot].kind != kind))
        slot = (slot + 1) & (GROUPS_MAX - 1);
    if (groups[slot].block)
        return &groups[slot];
    if (*count >= GROUPS_MAX / 4 * 3)
        return NULL;
    (*count)++;
    groups[slot] = (struct group){.trace_type = key, .kind = kind};
    return &groups[slot];
}

static bool is_over(const struct scan *scan, uint32_t number)
{
    return scan->counts && scan->counts[number] > scan->found[number];
}

void scan_why_note(struct scan *scan, uint32_t number, const struct ledger_record *record)
{
    struct scan_why *why = scan->why;
    uint64_t key = (uint64_t)record->trace << 32 | record->type;
    uint8_t kind = scan->kinds[number];
    struct group *group = why->latest;

    if (!group || group->trace_type != key || group->kind != kind)
        group = group_of(why, key, kind);
    if (!group)
        return;
    why->latest = group;
    group->bytes += scan->index.blocks[number].size;
    if (!group->block || (!group->over && is_over(scan, number))) {
        group->block = number + 1;
        group->over = is_over(scan, number);
    }
}

/* What matters most comes first. */
static bool is_before(const struct group *a, const struct group *b)
{
    bool first = a->kind == BLOCK_REACHABLE && !a->over, second = b->kind == BLOCK_REACHABLE && !b->over;
    return first != second ? second : a->bytes > b->bytes;
}

/* The groups that are explained, when there are more than that: the least important one of those chosen makes room. */
static void choose(struct scan_why *why, struct group *group)
{
    uint32_t least = 0;

    if (why->chosen_count < CHOSEN_MAX) {
        why->chosen[why->chosen_count++] = group;
        return;
    }
    for (uint32_t i = 1; i < CHOSEN_MAX; i++)
        if (is_before(why->chosen[least], why->chosen[i]))
            least = i;
    if (is_before(group, why->chosen[least]))
        why->chosen[least] = group;
}

/* ---- links ---- */

#define MARKED 0x80u /* in a kind: the block is explained, and lost */

static struct ledger_link *add_link(struct scan *scan, enum link_role role)
{
    uint32_t id = ledger_take(LEDGER_LINKS, 1);
    struct ledger_link *link = id ? ledger_entry(LEDGER_LINKS, id) : NULL;

    if (!link)
        return NULL;
    link->subject = scan->why->subject;
    link->offset = UINT64_MAX;
    __atomic_store_n(&link->role, (uint32_t)role, __ATOMIC_RELEASE);
    return link;
}

static struct ledger_link *add_block(struct scan *scan, enum link_role role, uint32_t number)
{
    const struct scan_block *block = &scan->index.blocks[number];
    const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
    struct ledger_link *link = add_link(scan, role);

    if (!link)
        return NULL;
    link->trace = record->trace;
    link->type = block->object == SCAN_NOT_OBJECT && block->domain == DOMAIN_OBJ ? 0 : record->type;
    link->kind = scan->kinds[number] & (uint8_t)~MARKED;
    link->domain = block->domain;
    link->size = block->size;
    return link;
}

/* Where in `holder` the pointer to `held` stands, best to its start; UINT64_MAX: not found. */
static uint64_t find_pointer(const struct scan *scan, const struct scan_block *holder, const struct scan_block *held)
{
    uint64_t words[PIECE / 8], inside = UINT64_MAX;
    uintptr_t tags = scan_python_tags(&scan->python);
    uintptr_t wanted = held->start + (held->object == SCAN_NOT_OBJECT ? 0 : held->object);

    for (uint64_t at = 0; at + 8 <= MIN(holder->size, SEARCH_MAX); at += PIECE) {
        size_t size = MIN(holder->size - at, PIECE) & ~(uint64_t)7;
        if (!scan_copy(&scan->reader, words, holder->start + at, size))
            break;
        for (size_t i = 0; i < size / 8; i++) {
            if ((words[i] & ~tags) == wanted)
                return at + i * 8;
            if (inside == UINT64_MAX && (words[i] & ~tags) - held->start < held->size)
                inside = at + i * 8;
        }
    }
    return inside;
}

static void add_holder(struct scan *scan, enum link_role role, uint32_t holder, uint32_t held)
{
    const struct scan_block *blocks = scan->index.blocks;
    struct ledger_link *link = add_block(scan, role, holder);

    if (!link)
        return;
    link->offset = find_pointer(scan, &blocks[holder], &blocks[held]);
    link->name = scan_key_name(scan, holder, link->offset);
}

static void add_root(struct scan *scan, uint32_t root)
{
    uintptr_t place = ((const uintptr_t *)(const void *)scan->places.data)[root];
    const struct scan_range *data = scan_range_find(&scan->data, place);
    const struct scan_mapping *own = scan_mapping_find(&scan->mappings, scan->stack);
    struct ledger_link *link = add_link(scan, LINK_ROOT);

    if (!link)
        return;
    link->offset = place;
    if (data && data->start <= place)
        link->root = LINK_ROOT_DATA;
    else if (own && own->start <= place && place < own->end)
        link->root = LINK_ROOT_STACK;
}

/* ---- explanations ---- */

static void add_way(struct scan *scan, uint32_t block)
{
    for (unsigned i = 0; i < HOLDERS_MAX; i++) {
        uint32_t parent = scan->parents[block];
        if (parent == SCAN_PARENT_NONE)
            return;
        if (parent & SCAN_PARENT_ROOT) {
            add_root(scan, parent & ~SCAN_PARENT_ROOT);
            return;
        }
        add_holder(scan, LINK_HOLDER, parent, block);
        block = parent;
    }
}

/* The place of `block` among those that are explained. */
static struct group *chosen_of(struct scan_why *why, uint32_t block)
{
    for (uint32_t i = 0; i < why->chosen_count; i++)
        if (why->chosen[i]->block == block + 1)
            return why->chosen[i];
    return NULL;
}

/* One pass over the pointers of all lost blocks. */
static void add_referrers(struct scan *scan)
{
    struct scan_why *why = scan->why;
    const uint32_t *edges = (const void *)scan->edges.data;

    for (uint32_t i = 0; i < scan->index.count; i++) {
        uint8_t kind = scan->kinds[i] & ~MARKED;
        if (kind != BLOCK_DEFINITE && kind != BLOCK_INDIRECT)
            continue;
        for (uint64_t k = scan->first[i]; k < scan->first[i + 1]; k++) {
            uint32_t target = edges[k] & SCAN_EDGE_TARGET;
            if (edges[k] == SCAN_EDGE_NONE || !(scan->kinds[target] & MARKED))
                continue;
            struct group *group = chosen_of(why, target);
            if (!group)
                continue;
            if (++group->referrers == REFERRERS_MAX)
                scan->kinds[target] &= (uint8_t)~MARKED;
            why->subject = (uint32_t)group->bytes;
            add_holder(scan, LINK_REFERRER, i, target);
        }
    }
}

void scan_why_write(struct scan *scan)
{
    struct scan_why *why = scan->why;

    for (uint32_t i = 0; i < GROUPS_MAX; i++) {
        if (why->lost[i].block)
            choose(why, &why->lost[i]);
        if (why->others[i].block)
            choose(why, &why->others[i]);
    }
    for (uint32_t i = 0; i < why->chosen_count; i++) {
        struct group *group = why->chosen[i];
        uint32_t block = group->block - 1;
        why->subject = i + 1;
        group->bytes = why->subject; /* of no more use but for the number */
        add_block(scan, LINK_BLOCK, block);
        add_way(scan, block);
    }
    for (uint32_t i = 0; i < why->chosen_count; i++)
        if (why->chosen[i]->kind == BLOCK_DEFINITE || why->chosen[i]->kind == BLOCK_INDIRECT)
            scan->kinds[why->chosen[i]->block - 1] |= MARKED;
    if (why->lost_count)
        add_referrers(scan);
}
