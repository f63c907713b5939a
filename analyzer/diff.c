/* SPDX-License-Identifier: MIT
 *
 * Comparison by fingerprint: both sides are sorted by it and merged. See diff.h. */
#include "diff.h"

#include "compiler.h"

#include "text.h"

#include <errno.h>
#include <math.h>
#include <string.h>

const char *diff_change_name(enum diff_change change)
{
    static const char *const names[DIFF_CHANGE_COUNT] = {
        [DIFF_NEW] = "new",   [DIFF_GROWN] = "grown", [DIFF_SHRUNK] = "shrunk",
        [DIFF_GONE] = "gone", [DIFF_SAME] = "same",
    };
    return names[change];
}

static int compare_fingerprints(const void *a, const void *b)
{
    const struct leak *const *x = a, *const *y = b;
    return strcmp((*x)->fingerprint, (*y)->fingerprint);
}

/* The leaks that count, by fingerprint. NULL without memory. */
static const struct leak **sorted(const struct leaks *leaks, size_t *ret_count)
{
    const struct leak **list = calloc(leaks->count + 1, sizeof(*list));
    if (!list)
        return NULL;
    size_t count = 0;
    for (size_t i = 0; i < leaks->count; i++) {
        if (!leak_is_background(&leaks->items[i]))
            list[count++] = &leaks->items[i];
    }
    if (count > 0)
        qsort(list, count, sizeof(*list), compare_fingerprints);
    *ret_count = count;
    return list;
}

int diff_tolerance_parse(const char *text, struct diff_tolerance *ret)
{
    uint64_t value;
    size_t length = strlen(text);
    if (length == 0 || text[length - 1] != '%') {
        int r = text_parse_size(text, &value);
        if (r == 0)
            *ret = (struct diff_tolerance){.bytes = value};
        return r;
    }
    char *end;
    double percent = strtod(text, &end);
    if (end == text || end != text + length - 1 || text[strspn(text, "0123456789.")] != '%' ||
        !(percent >= 0 && percent <= 100))
        return -EINVAL;
    *ret = (struct diff_tolerance){.fraction = percent / 100};
    return 0;
}

/* One fingerprint on one side. */
struct side {
    size_t leaks;
    uint64_t blocks, bytes;
    double variance;
};

/* Adds up the leaks at the front of `list` that have this fingerprint. */
static struct side take_equal(const struct leak *const *list, size_t count, const char *fingerprint)
{
    struct side side = {0};
    for (; side.leaks < count && strcmp(list[side.leaks]->fingerprint, fingerprint) == 0; side.leaks++) {
        side.blocks += list[side.leaks]->blocks;
        side.bytes += list[side.leaks]->bytes;
        side.variance += list[side.leaks]->variance;
    }
    return side;
}

static uint64_t moved(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

static bool is_within(const struct diff_tolerance *tolerance, const struct side *old_side, const struct side *new_side)
{
    uint64_t bytes = moved(old_side->bytes, new_side->bytes);
    double variance = old_side->variance + new_side->variance;
    if ((tolerance->bytes > 0 && bytes <= tolerance->bytes) || (variance > 0 && (double)bytes <= 3 * sqrt(variance)))
        return true;
    return tolerance->fraction > 0 && old_side->leaks > 0 && new_side->leaks > 0 &&
           (double)bytes <= tolerance->fraction * (double)MAX(old_side->bytes, new_side->bytes) &&
           (double)moved(old_side->blocks, new_side->blocks) <=
               tolerance->fraction * (double)MAX(old_side->blocks, new_side->blocks);
}

/* Bytes lead; blocks decide between equal bytes (a growing number of empty blocks is growth). */
static enum diff_change change_of(const struct diff_tolerance *tolerance, const struct side *old_side,
                                  const struct side *new_side)
{
    if (is_within(tolerance, old_side, new_side))
        return DIFF_SAME;
    if (old_side->leaks == 0)
        return DIFF_NEW;
    if (new_side->leaks == 0)
        return DIFF_GONE;
    if (new_side->bytes != old_side->bytes)
        return new_side->bytes > old_side->bytes ? DIFF_GROWN : DIFF_SHRUNK;
    if (new_side->blocks != old_side->blocks)
        return new_side->blocks > old_side->blocks ? DIFF_GROWN : DIFF_SHRUNK;
    return DIFF_SAME;
}

static int compare_items(const void *a, const void *b)
{
    const struct diff_item *x = a, *y = b;
    if (x->change != y->change)
        return x->change < y->change ? -1 : 1;
    uint64_t bytes_x = moved(x->old_bytes, x->new_bytes), bytes_y = moved(y->old_bytes, y->new_bytes);
    if (bytes_x != bytes_y)
        return bytes_x > bytes_y ? -1 : 1;
    uint64_t blocks_x = moved(x->old_blocks, x->new_blocks), blocks_y = moved(y->old_blocks, y->new_blocks);
    if (blocks_x != blocks_y)
        return blocks_x > blocks_y ? -1 : 1;
    return strcmp(x->leak->fingerprint, y->leak->fingerprint);
}

static void add_item(struct diff *diff, const struct diff_item *item)
{
    diff->changes[item->change]++;
    diff->old_blocks += item->old_blocks;
    diff->old_bytes += item->old_bytes;
    diff->new_blocks += item->new_blocks;
    diff->new_bytes += item->new_bytes;
    if (item->change != DIFF_SAME)
        diff->items[diff->count++] = *item;
}

static void merge(struct diff *diff, const struct diff_tolerance *tolerance, const struct leak *const *a,
                  size_t a_count, const struct leak *const *b, size_t b_count)
{
    while (a_count > 0 || b_count > 0) {
        int order = a_count == 0 ? 1 : b_count == 0 ? -1 : strcmp((*a)->fingerprint, (*b)->fingerprint);
        struct diff_item item = {.leak = order < 0 ? *a : *b};
        struct side old_side = take_equal(a, order <= 0 ? a_count : 0, item.leak->fingerprint);
        struct side new_side = take_equal(b, order >= 0 ? b_count : 0, item.leak->fingerprint);
        item.old_blocks = old_side.blocks;
        item.old_bytes = old_side.bytes;
        item.new_blocks = new_side.blocks;
        item.new_bytes = new_side.bytes;
        item.change = change_of(tolerance, &old_side, &new_side);
        add_item(diff, &item);
        a += old_side.leaks;
        a_count -= old_side.leaks;
        b += new_side.leaks;
        b_count -= new_side.leaks;
    }
}

int diff_build(const struct leaks *old_leaks, const struct leaks *new_leaks, const struct diff_tolerance *tolerance,
               struct diff *ret)
{
    size_t old_count = 0, new_count = 0;
    _cleanup_free_ const struct leak **old_list = sorted(old_leaks, &old_count);
    _cleanup_free_ const struct leak **new_list = sorted(new_leaks, &new_count);
    if (!old_list || !new_list)
        return -ENOMEM;
    struct diff diff = {.items = calloc(old_count + new_count + 1, sizeof(*diff.items))};
    if (!diff.items)
        return -ENOMEM;
    merge(&diff, tolerance, old_list, old_count, new_list, new_count);
    if (diff.count > 0)
        qsort(diff.items, diff.count, sizeof(*diff.items), compare_items);
    *ret = diff;
    return 0;
}

void diff_clear(struct diff *diff)
{
    free(diff->items);
    *diff = (struct diff){0};
}

bool diff_is_worse(const struct diff *diff)
{
    return diff->changes[DIFF_NEW] > 0 || diff->changes[DIFF_GROWN] > 0 || diff->new_errors > diff->old_errors;
}
