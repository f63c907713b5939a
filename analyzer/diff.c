/* SPDX-License-Identifier: MIT
 *
 * Comparison by fingerprint: both sides are sorted by it and merged. See diff.h. */
#include "diff.h"

#include "compiler.h"

#include <errno.h>
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

/* Adds up the leaks at the front of `list` that have this fingerprint, and returns how many they are. */
static size_t take_equal(const struct leak *const *list, size_t count, const char *fingerprint, uint64_t *blocks,
                         uint64_t *bytes)
{
    size_t i = 0;
    for (; i < count && strcmp(list[i]->fingerprint, fingerprint) == 0; i++) {
        *blocks += list[i]->blocks;
        *bytes += list[i]->bytes;
    }
    return i;
}

/* Bytes lead; blocks decide between equal bytes (a growing number of empty blocks is growth). */
static enum diff_change change_of(const struct diff_item *item, bool in_old, bool in_new)
{
    if (!in_old)
        return DIFF_NEW;
    if (!in_new)
        return DIFF_GONE;
    if (item->new_bytes != item->old_bytes)
        return item->new_bytes > item->old_bytes ? DIFF_GROWN : DIFF_SHRUNK;
    if (item->new_blocks != item->old_blocks)
        return item->new_blocks > item->old_blocks ? DIFF_GROWN : DIFF_SHRUNK;
    return DIFF_SAME;
}

static uint64_t moved(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
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

static void merge(struct diff *diff, const struct leak *const *a, size_t a_count, const struct leak *const *b,
                  size_t b_count)
{
    while (a_count > 0 || b_count > 0) {
        int order = a_count == 0 ? 1 : b_count == 0 ? -1 : strcmp((*a)->fingerprint, (*b)->fingerprint);
        struct diff_item item = {.leak = order < 0 ? *a : *b};
        size_t from_a = 0, from_b = 0;
        if (order <= 0)
            from_a = take_equal(a, a_count, item.leak->fingerprint, &item.old_blocks, &item.old_bytes);
        if (order >= 0)
            from_b = take_equal(b, b_count, item.leak->fingerprint, &item.new_blocks, &item.new_bytes);
        item.change = change_of(&item, from_a > 0, from_b > 0);
        add_item(diff, &item);
        a += from_a;
        a_count -= from_a;
        b += from_b;
        b_count -= from_b;
    }
}

int diff_build(const struct leaks *old_leaks, const struct leaks *new_leaks, struct diff *ret)
{
    size_t old_count = 0, new_count = 0;
    _cleanup_free_ const struct leak **old_list = sorted(old_leaks, &old_count);
    _cleanup_free_ const struct leak **new_list = sorted(new_leaks, &new_count);
    if (!old_list || !new_list)
        return -ENOMEM;
    struct diff diff = {.items = calloc(old_count + new_count + 1, sizeof(*diff.items))};
    if (!diff.items)
        return -ENOMEM;
    merge(&diff, old_list, old_count, new_list, new_count);
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
