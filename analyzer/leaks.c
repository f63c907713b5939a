/* SPDX-License-Identifier: MIT
 *
 * Groups become leaks one by one; one whose fingerprint is known in its process is added to the leak that has it. */
#include "leaks.h"

#include "chunks.h"
#include "compiler.h"
#include "fingerprint.h"
#include "huge.h"
#include "merge.h"
#include "progress.h"
#include "rounded.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#define BATCH 16 /* groups that are added together */

struct slot {
    uint32_t leak; /* index + 1; 0 = free */
    uint32_t hash; /* of its fingerprint: few others are looked at */
};

struct builder {
    struct leaks *leaks;
    uint64_t *largest;  /* bytes of the group whose stack a leak shows, by leak */
    struct slot *slots; /* hash table; at most half are used */
    size_t slot_count;  /* a power of two */
};

const char *leak_kind_name(enum leak_kind kind)
{
    static const char *const names[] = {
        [LEAK_DEFINITE] = "definite",
        [LEAK_INDIRECT] = "indirect",
        [LEAK_POSSIBLE] = "possible",
        [LEAK_REACHABLE] = "reachable",
    };

    _Static_assert(ARRAY_SIZE(names) == LEAK_KIND_COUNT, "a name for every kind");
    return (unsigned int)kind < ARRAY_SIZE(names) ? names[kind] : "??";
}

int stack_build(const struct process *process, uint32_t trace, struct symbols *symbols, struct stack *ret)
{
    struct frame_table *table = frame_table_of(symbols, process);
    struct merge merge = {0};
    int r = table ? merge_trace(&merge, table, trace) : -ENOMEM;

    if (r == 0) {
        ret->frames = TAKE_PTR(merge.frames);
        ret->size = merge.size;
    }
    merge_clear(&merge);
    return r;
}

void stack_clear(struct stack *stack)
{
    free(stack->frames);
    *stack = (struct stack){0};
}

static int builder_init(struct builder *builder, const struct model *model, struct leaks *leaks)
{
    size_t groups = 0;

    for (size_t i = 0; i < model->process_count; i++)
        groups += model->processes[i]->group_count;
    if (groups >= UINT32_MAX / 4)
        return -ENOMEM;
    for (builder->slot_count = 16; builder->slot_count < 2 * groups;)
        builder->slot_count *= 2;
    builder->leaks = leaks;
    builder->slots = huge_advise(calloc(builder->slot_count, sizeof(*builder->slots)),
                                 builder->slot_count * sizeof(*builder->slots));
    builder->largest = malloc((groups + 1) * sizeof(*builder->largest));
    leaks->items = huge_advise(malloc((groups + 1) * sizeof(*leaks->items)), (groups + 1) * sizeof(*leaks->items));
    leaks->memory = calloc(1, sizeof(*leaks->memory));
    leaks->merge = calloc(1, sizeof(*leaks->merge));
    return builder->slots && builder->largest && leaks->items && leaks->memory && leaks->merge ? 0 : -ENOMEM;
}

static void builder_done(struct builder *builder)
{
    free(builder->slots);
    free(builder->largest);
}

static bool is_same(const struct leak *a, const struct leak *b)
{
    return a->process == b->process && a->kind == b->kind && a->known == b->known && a->startup == b->startup &&
           a->interpreter == b->interpreter && a->ignored == b->ignored &&
           memcmp(a->fingerprint, b->fingerprint, FINGERPRINT_SIZE) == 0;
}

static uint64_t hash_of(const struct leak *leak)
{
    uint64_t digits[2];

    memcpy(digits, leak->fingerprint, sizeof(digits)); /* hexadecimal: 4 bits in each byte */
    return (digits[0] ^ digits[1] << 4) * 0x9e3779b97f4a7c15u;
}

/* Where a leak with this hash would be. */
static size_t first_slot(const struct builder *builder, uint64_t hash)
{
    return hash >> 32 & (builder->slot_count - 1);
}

/* The slot of the leak that `leak` belongs to, or a free one, which has the hash already. */
static struct slot *find_slot(struct builder *builder, const struct leak *leak)
{
    uint64_t hash = hash_of(leak);
    uint32_t tag = (uint32_t)(hash ^ hash >> 32);
    size_t at = first_slot(builder, hash);

    while (builder->slots[at].leak &&
           (builder->slots[at].hash != tag || !is_same(&builder->leaks->items[builder->slots[at].leak - 1], leak)))
        at = (at + 1) & (builder->slot_count - 1);
    builder->slots[at].hash = tag;
    return &builder->slots[at];
}

static struct stack_source *add_source(struct leaks *leaks, struct frame_table *table)
{
    struct stack_source *source = chunks_take(leaks->memory, sizeof(*source));

    if (!source)
        return NULL;
    *source = (struct stack_source){.table = table, .merge = leaks->merge, .next = leaks->sources};
    leaks->sources = source;
    return source;
}

const struct stack *leak_stack(const struct leak *leak)
{
    static const struct stack none;
    struct stack_source *source = leak->source;

    if (!source)
        return &none;
    if (source->table) {
        bool merged = merge_trace(source->merge, source->table, leak->trace) == 0;

        assert(merged); /* it has been there when the leak was made */
        source->stack = (struct stack){source->merge->frames, merged ? source->merge->size : 0};
    }
    return &source->stack;
}

/* Sums stop at the largest number: a report can claim anything. */
static void add(uint64_t *sum, uint64_t value)
{
    if (__builtin_add_overflow(*sum, value, sum))
        *sum = UINT64_MAX;
}

static void take_label(struct leak *leak, uint32_t trace)
{
    const struct trace *of = &leak->process->traces[trace];

    leak->label = of->label;
    leak->ignored = of->ignored;
    leak->interpreter = leak->interpreter && !leak->ignored;
}

/* The leak that the blocks of a group are by themselves. Returns 0 or -ENOMEM. */
static int make_leak(struct stack_source *source, const struct group *group, struct leak *ret)
{
    const struct merge *merge = source->merge;
    int r = merge_trace(source->merge, source->table, group->trace);

    if (r < 0)
        return r;
    *ret = (struct leak){
        .process = frame_table_process(source->table),
        .kind = group->kind,
        .known = group->known,
        .startup = group->startup,
        .interpreter = group->interpreter,
        .domain = group->domain,
        .type = group->type,
        .blocks = group->blocks,
        .bytes = group->bytes,
        .variance = (double)group->error_bytes * (double)group->error_bytes,
        .source = source,
        .trace = group->trace,
    };
    take_label(ret, group->trace);
    fingerprint_stack(&(struct fingerprint_of){ret->domain, ret->type, ret->label}, merge->frames, merge->size,
                      ret->fingerprint);
    return 0;
}

/* Adds it to the one that it belongs to, or to the list. */
static void add_leak(struct builder *builder, const struct leak *leak)
{
    struct slot *slot = find_slot(builder, leak);
    struct leaks *leaks = builder->leaks;
    size_t at;

    if (slot->leak) {
        at = slot->leak - 1;
        add(&leaks->items[at].blocks, leak->blocks);
        add(&leaks->items[at].bytes, leak->bytes);
        leaks->items[at].variance += leak->variance;
        if (leak->bytes <= builder->largest[at])
            return;
    } else {
        at = leaks->count++;
        leaks->items[at] = *leak;
        slot->leak = (uint32_t)at + 1;
    }
    builder->largest[at] = leak->bytes;
    leaks->items[at].trace = leak->trace;
}

/* Up to BATCH groups. Of a million each slot is a miss of the cache: the memory fetches it while the other stacks are made. */
static int add_groups(struct builder *builder, struct stack_source *source, const struct group *groups, size_t count)
{
    struct leak made[BATCH];
    size_t used = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++) {
        if (!groups[i].blocks)
            continue;
        r = make_leak(source, &groups[i], &made[used]);
        if (r == 0)
            __builtin_prefetch(&builder->slots[first_slot(builder, hash_of(&made[used++]))], 1);
    }
    for (size_t i = 0; r == 0 && i < used; i++)
        add_leak(builder, &made[i]);
    return r;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    add(&a, b);
    return a;
}

int leak_references_add(struct leak *leak, const struct leak_references *other, struct chunks *memory)
{
    struct leak_references *into;

    if (!other || other->confidence == CONFIDENCE_UNKNOWN)
        return 0;
    into = chunks_take(memory, sizeof(*into));
    if (!into)
        return -ENOMEM;
    *into = leak->references ? *leak->references : (struct leak_references){0};
    if (other->objects) {
        into->least = into->objects ? MIN(into->least, other->least) : other->least;
        into->most = MAX(into->most, other->most);
    }
    into->objects = sum(into->objects, other->objects);
    into->surplus = sum(into->surplus, other->surplus);
    into->cycles = sum(into->cycles, other->cycles);
    if (!into->unseen)
        into->unseen = other->unseen;
    into->confidence = MAX(into->confidence, other->confidence);
    leak->references = into;
    return 0;
}

/* Tells the leak that the objects are part of. */
static int add_reference(struct builder *builder, struct stack_source *source, const struct reference *reference)
{
    struct leak like = {
        .process = frame_table_process(source->table),
        .kind = reference->kind,
        .known = true,
        .startup = reference->startup,
        .interpreter = reference->interpreter,
    };
    struct leak_references said = {.confidence = reference->confidence, .unseen = reference->unseen};
    const struct merge *merge = source->merge;
    int r = merge_trace(source->merge, source->table, reference->trace);

    if (r < 0)
        return r;
    take_label(&like, reference->trace);
    fingerprint_stack(&(struct fingerprint_of){"obj", reference->type, like.label}, merge->frames, merge->size,
                      like.fingerprint);
    uint32_t slot = find_slot(builder, &like)->leak;
    if (!slot)
        return 0;
    if (reference->unseen) {
        said.cycles = reference->objects;
    } else {
        said.objects = reference->objects;
        said.surplus = reference->surplus;
        said.least = reference->least;
        said.most = reference->most;
    }
    return leak_references_add(&builder->leaks->items[slot - 1], &said, builder->leaks->memory);
}

static int add_process(struct builder *builder, const struct process *process, struct symbols *symbols)
{
    struct frame_table *table = frame_table_of(symbols, process);
    struct stack_source *source = table ? add_source(builder->leaks, table) : NULL;
    int r = source ? 0 : -ENOMEM;

    progress_step("finding the functions", process->group_count);
    for (size_t i = 0; r == 0 && i < process->group_count; i += BATCH) {
        r = add_groups(builder, source, process->groups + i, MIN(process->group_count - i, (size_t)BATCH));
        progress_add(BATCH);
    }
    for (size_t i = 0; r == 0 && i < process->reference_count; i++)
        r = add_reference(builder, source, &process->references[i]);
    return r;
}

static int compare_leaks(const void *a, const void *b)
{
    const struct leak *p = a, *q = b;
    int r;

    if (leak_rank(p) != leak_rank(q))
        return leak_rank(p) < leak_rank(q) ? -1 : 1;
    if (p->bytes != q->bytes)
        return p->bytes < q->bytes ? 1 : -1;
    if (p->blocks != q->blocks)
        return p->blocks < q->blocks ? 1 : -1;
    r = memcmp(p->fingerprint, q->fingerprint, FINGERPRINT_SIZE);
    if (r == 0)
        r = (p->kind > q->kind) - (p->kind < q->kind);
    if (r == 0)
        r = (p->process->pid > q->process->pid) - (p->process->pid < q->process->pid);
    return r ? r : (p->process->sequence > q->process->sequence) - (p->process->sequence < q->process->sequence);
}

/* ---- sorting: most pairs are told apart by their keys, without a look at the leaks ---- */

#define CACHE_LINE 64u
#define ITEMS_AHEAD 8 /* items that are asked for before they are moved */
#define KEY_BYTES_MAX (UINT64_MAX >> 2)

struct sort_key {
    uint64_t rank_bytes; /* in the order wanted, the rank in the two highest bits */
    uint64_t digits;     /* the first of the fingerprint, likewise */
    uint32_t blocks;     /* likewise; looked at before the digits */
    uint32_t index;
};

static int compare_keys(const void *a, const void *b, void *items)
{
    const struct sort_key *p = a, *q = b;

    if (p->rank_bytes != q->rank_bytes)
        return p->rank_bytes < q->rank_bytes ? -1 : 1;
    if (p->blocks != q->blocks)
        return p->blocks < q->blocks ? -1 : 1;
    /* Numbers that do not fit are equal here, and told apart by the leaks themselves. */
    if (p->digits != q->digits && p->blocks != 0 && p->rank_bytes & KEY_BYTES_MAX)
        return p->digits < q->digits ? -1 : 1;
    return compare_leaks((struct leak *)items + p->index, (struct leak *)items + q->index);
}

/* Asks for the memory of an item early. */
static void prefetch_item(const struct leak *item)
{
    for (size_t i = 0; i <= sizeof(*item) / CACHE_LINE; i++)
        __builtin_prefetch((const char *)item + i * CACHE_LINE, 1);
}

/* Moves every item to its place, which is that of the one from[] at that index, round by round of those that stand in each
 * other's. Changes from[]. */
static void permute(struct leak *items, uint32_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct leak first;
        size_t at = i, ahead = i;

        if (from[i] == i)
            continue;
        first = items[i];
        for (int n = 0; n < ITEMS_AHEAD; n++)
            ahead = from[ahead];
        while (from[at] != i) {
            size_t next = from[at];
            ahead = from[ahead];
            prefetch_item(&items[ahead]);
            items[at] = items[next];
            from[at] = (uint32_t)at;
            at = next;
        }
        items[at] = first;
        from[at] = (uint32_t)at;
    }
}

static int sort_leaks(struct leaks *leaks)
{
    struct sort_key *keys = malloc((leaks->count + 1) * sizeof(*keys));

    if (!keys)
        return -ENOMEM;
    for (size_t i = 0; i < leaks->count; i++) {
        const struct leak *leak = &leaks->items[i];
        uint64_t digits;

        memcpy(&digits, leak->fingerprint, sizeof(digits));
        keys[i] = (struct sort_key){
            .rank_bytes = (uint64_t)leak_rank(leak) << 62 | (KEY_BYTES_MAX - MIN(leak->bytes, KEY_BYTES_MAX)),
            .digits = be64toh(digits),
            .blocks = UINT32_MAX - (uint32_t)MIN(leak->blocks, (uint64_t)UINT32_MAX),
            .index = (uint32_t)i,
        };
    }
    qsort_r(keys, leaks->count, sizeof(*keys), compare_keys, leaks->items);
    /* The numbers alone, a sixth of the keys, stay in the caches while the items are moved. */
    uint32_t *from = (uint32_t *)(void *)keys;
    for (size_t i = 0; i < leaks->count; i++)
        from[i] = keys[i].index;
    permute(leaks->items, from, leaks->count);
    free(keys);
    return 0;
}

int leaks_build(const struct model *model, struct symbols *symbols, struct leaks *ret)
{
    struct leaks leaks = {0};
    struct builder builder = {0};
    int r = builder_init(&builder, model, &leaks);

    for (size_t i = 0; r == 0 && i < model->process_count; i++)
        r = add_process(&builder, model->processes[i], symbols);
    builder_done(&builder);
    if (r == 0)
        r = sort_leaks(&leaks);
    if (r < 0) {
        leaks_clear(&leaks);
        return r;
    }
    *ret = leaks;
    return 0;
}

void leaks_clear(struct leaks *leaks)
{
    if (leaks->memory)
        chunks_clear(leaks->memory);
    free(leaks->memory);
    if (leaks->merge)
        merge_clear(leaks->merge);
    free(leaks->merge);
    free(leaks->items);
    *leaks = (struct leaks){0};
}

uint64_t leak_error_bytes(const struct leak *leak)
{
    return rounded(sqrt(leak->variance));
}
