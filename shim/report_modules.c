/* SPDX-License-Identifier: MIT
 *
 * Look-up of modules by address and epoch (report_modules.h). */
#include "report_modules.h"

#include "report_tables.h"

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

static bool comes_before(const struct module_range *a, const struct module_range *b)
{
    return a->start != b->start ? a->start < b->start : a->id < b->id;
}

/* Heap sort: at most some thousands, in memory of ours (qsort may call malloc). */
static void sift_down(struct module_range *ranges, size_t at, size_t count)
{
    for (size_t child = 2 * at + 1; child < count; at = child, child = 2 * at + 1) {
        struct module_range held = ranges[at];

        if (child + 1 < count && comes_before(&ranges[child], &ranges[child + 1]))
            child++;
        if (!comes_before(&held, &ranges[child]))
            return;
        ranges[at] = ranges[child];
        ranges[child] = held;
    }
}

static void sort_ranges(struct module_range *ranges, size_t count)
{
    for (size_t at = count / 2; at-- > 0;)
        sift_down(ranges, at, count);
    for (size_t last = count; last-- > 1;) {
        struct module_range held = ranges[0];

        ranges[0] = ranges[last];
        ranges[last] = held;
        sift_down(ranges, 0, last);
    }
}

struct module_range *module_ranges_new(const struct ledger_view *view, size_t *count)
{
    uint32_t limit = ledger_view_limit(view, LEDGER_MODULES);
    struct module_range *ranges;
    size_t published = 0, filled = 0;

    for (uint32_t id = 1; id < limit; id++)
        published += ledger_view_entry(view, LEDGER_MODULES, id) != NULL;
    ranges = report_malloc((published + 1) * sizeof(*ranges));
    if (!ranges)
        return NULL;
    for (uint32_t id = 1; id < limit && filled < published; id++) {
        const struct ledger_module *module = ledger_view_entry(view, LEDGER_MODULES, id);

        if (!module)
            continue;
        ranges[filled++] = (struct module_range){
            .start = LOAD(module->start),
            .end = LOAD(module->end),
            .bias = LOAD(module->bias),
            .first_epoch = LOAD(module->first_epoch),
            .last_epoch = LOAD(module->last_epoch),
            .id = id,
        };
    }
    sort_ranges(ranges, filled);
    for (size_t i = 0; i < filled; i++)
        ranges[i].reach = i ? MAX(ranges[i - 1].reach, ranges[i].end) : ranges[i].end;
    *count = filled;
    return ranges;
}

/* How many ranges start at or below `address`. */
static size_t starts_up_to(const struct module_range *ranges, size_t count, uint64_t address)
{
    size_t low = 0;

    while (low < count) {
        size_t middle = low + (count - low) / 2;

        if (ranges[middle].start <= address)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

const struct module_range *module_ranges_find(const struct module_range *ranges, size_t count, uint64_t address,
                                              uint32_t epoch)
{
    const struct module_range *only = NULL;
    unsigned holders = 0;

    for (size_t i = starts_up_to(ranges, count, address); i-- > 0 && ranges[i].reach > address;) {
        if (ranges[i].end <= address)
            continue;
        if (ranges[i].first_epoch <= epoch && epoch <= ranges[i].last_epoch)
            return &ranges[i];
        only = &ranges[i];
        holders++;
    }
    return holders == 1 ? only : NULL;
}
