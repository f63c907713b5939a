/* SPDX-License-Identifier: MIT
 *
 * One walk over the stacks, with a heap of the best so far for each of the two orders: its first is the least of them, and
 * nearly all stacks are refused by a look at that. */
#include "report_busy.h"

#include "compiler.h"

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)

struct best {
    uint32_t count;
    struct entry {
        uint64_t value;
        uint32_t id;
    } entries[BUSY_EACH];
};

static void swap(struct entry *a, struct entry *b)
{
    struct entry c = *a;
    *a = *b;
    *b = c;
}

static void sift_up(struct best *best, uint32_t at)
{
    for (; at > 0 && best->entries[(at - 1) / 2].value > best->entries[at].value; at = (at - 1) / 2)
        swap(&best->entries[at], &best->entries[(at - 1) / 2]);
}

static void sift_down(struct best *best)
{
    uint32_t at = 0;

    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < best->count; child++)
            if (best->entries[child].value < best->entries[least].value)
                least = child;
        if (least == at)
            return;
        swap(&best->entries[at], &best->entries[least]);
        at = least;
    }
}

static void offer(struct best *best, uint64_t value, uint32_t id)
{
    if (best->count < BUSY_EACH) {
        best->entries[best->count] = (struct entry){value, id};
        sift_up(best, best->count++);
    } else if (value > best->entries[0].value) {
        best->entries[0] = (struct entry){value, id};
        sift_down(best);
    }
}

static void offer_trace(struct best best[static 2], uint64_t allocations, uint64_t bytes, uint32_t id)
{
    if (allocations >= BUSY_ALLOCATIONS_LEAST)
        offer(&best[0], allocations, id);
    if (bytes >= BUSY_BYTES_LEAST)
        offer(&best[1], bytes, id);
}

/* What a thread has counted for a stack and not added to it yet: of a loop that may be all. */
static void offer_tallies(const struct ledger_view *view, struct best best[static 2])
{
    uint32_t limit = ledger_view_limit(view, LEDGER_TALLIES);

    for (uint32_t i = 1; i < limit; i++) {
        const struct ledger_tally *tally = ledger_view_entry(view, LEDGER_TALLIES, i);
        uint32_t id = tally ? LOAD(tally->trace) : 0;
        const struct ledger_trace *trace = id ? ledger_view_entry(view, LEDGER_TRACES, id) : NULL;
        if (trace)
            offer_trace(best, LOAD(trace->allocations) + LOAD(tally->allocations),
                        LOAD(trace->bytes) + LOAD(tally->bytes), id);
    }
}

uint32_t busy_traces(const struct ledger_view *view, uint32_t ids[static BUSY_MAX])
{
    uint32_t limit = ledger_view_limit(view, LEDGER_TRACES), count = 0;
    struct best best[2] = {{0}, {0}};

    for (uint32_t id = 1; id < limit; id++) {
        const struct ledger_trace *trace = ledger_view_entry(view, LEDGER_TRACES, id);
        if (trace && LOAD(trace->used))
            offer_trace(best, LOAD(trace->allocations), LOAD(trace->bytes), id);
    }
    offer_tallies(view, best);
    for (size_t i = 0; i < ARRAY_SIZE(best); i++)
        for (uint32_t j = 0; j < best[i].count; j++)
            ids[count++] = best[i].entries[j].id;
    return count;
}
