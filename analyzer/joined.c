/* SPDX-License-Identifier: MIT
 *
 * Joins leaks across processes. See joined.h. */
#include "joined.h"

#include "chunks.h"
#include "compiler.h"

#include <errno.h>
#include <string.h>

/* By what makes two leaks one; the process with the most bytes first. */
static int compare_identity(const void *a, const void *b)
{
    const struct leak *x = a, *y = b;
    int order = strcmp(x->fingerprint, y->fingerprint);
    if (order != 0)
        return order;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->known != y->known)
        return x->known ? -1 : 1;
    if (x->startup != y->startup)
        return x->startup ? 1 : -1;
    if (x->interpreter != y->interpreter)
        return x->interpreter ? 1 : -1;
    if (!x->suppressed != !y->suppressed)
        return x->suppressed ? 1 : -1;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return 0;
}

static bool is_same(const struct leak *x, const struct leak *y)
{
    return x->kind == y->kind && x->known == y->known && x->startup == y->startup && x->interpreter == y->interpreter &&
           !x->suppressed == !y->suppressed && strcmp(x->fingerprint, y->fingerprint) == 0;
}

/* The order of struct leaks. */
static int compare_size(const void *a, const void *b)
{
    const struct leak *x = a, *y = b;
    if (leak_rank(x) != leak_rank(y))
        return leak_rank(x) < leak_rank(y) ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    if (x->blocks != y->blocks)
        return x->blocks > y->blocks ? -1 : 1;
    return strcmp(x->fingerprint, y->fingerprint);
}

static bool all_of_one_process(const struct leaks *leaks)
{
    for (size_t i = 1; i < leaks->count; i++) {
        if (leaks->items[i].process != leaks->items[0].process)
            return false;
    }
    return true;
}

int joined_build(const struct leaks *leaks, struct leaks *ret)
{
    /* There are no two to join: a million of them need not be copied. */
    if (leaks->items && all_of_one_process(leaks)) {
        *ret = (struct leaks){.items = leaks->items, .count = leaks->count, .borrowed = true};
        return 0;
    }
    struct leak *items = calloc(leaks->count + 1, sizeof(*items));
    struct chunks *memory = calloc(1, sizeof(*memory));
    *ret = (struct leaks){.items = items, .memory = memory};
    if (!items || !memory) {
        joined_clear(ret);
        return -ENOMEM;
    }
    size_t count = 0;
    if (leaks->items && leaks->count > 0) {
        memcpy(items, leaks->items, leaks->count * sizeof(*items));
        qsort(items, leaks->count, sizeof(*items), compare_identity);
    }
    for (size_t i = 0; i < leaks->count; i++) {
        struct leak item = items[i];
        item.processes = 1;
        if (count == 0 || !is_same(&items[count - 1], &item)) {
            items[count++] = item;
            continue;
        }
        struct leak *into = &items[count - 1];
        into->blocks += item.blocks;
        into->bytes += item.bytes;
        into->variance += item.variance;
        into->processes++;
        if (item.references && leak_references_add(into, item.references, memory) < 0) {
            joined_clear(ret);
            return -ENOMEM;
        }
    }
    if (count > 0)
        qsort(items, count, sizeof(*items), compare_size);
    ret->count = count;
    return 0;
}

void joined_clear(struct leaks *joined)
{
    if (!joined->borrowed)
        free(joined->items);
    if (joined->memory)
        chunks_clear(joined->memory);
    free(joined->memory);
    *joined = (struct leaks){0};
}
