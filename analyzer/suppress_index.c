/* SPDX-License-Identifier: MIT
 *
 * A hash table of fingerprints, each with the stretch of a sorted list that has its rules. See suppress.h. */
#include "suppress.h"

#include "compiler.h"

#include <stdlib.h>
#include <string.h>

struct rule_index {
    uint32_t *by_fingerprint; /* rules with a fingerprint, by it, and then in the order of the list */
    uint32_t *others;
    size_t count, other_count;
    struct slot {
        uint32_t first, count; /* in by_fingerprint; count 0: free */
    } * slots;
    size_t slot_count; /* a power of two, at least twice the fingerprints */
    const struct suppressions *rules;
};

static const char *fingerprint_of(const struct rule_index *index, uint32_t rule)
{
    return index->rules->items[rule].words[SUPPRESS_FINGERPRINT];
}

static int compare(const void *a, const void *b, void *data)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = strcmp(fingerprint_of(data, x), fingerprint_of(data, y));

    return order ? order : (x > y) - (x < y);
}

/* The slot of the fingerprint, or the free one where it would be. */
static struct slot *slot_of(const struct rule_index *index, const char *fingerprint)
{
    uint64_t digits;

    memcpy(&digits, fingerprint, sizeof(digits));
    size_t at = (digits * 0x9e3779b97f4a7c15u) >> 32 & (index->slot_count - 1);
    while (index->slots[at].count &&
           strcmp(fingerprint_of(index, index->by_fingerprint[index->slots[at].first]), fingerprint) != 0)
        at = (at + 1) & (index->slot_count - 1);
    return &index->slots[at];
}

static void fill(struct rule_index *index)
{
    for (size_t i = 0; i < index->rules->count; i++) {
        if (index->rules->items[i].words[SUPPRESS_FINGERPRINT])
            index->by_fingerprint[index->count++] = (uint32_t)i;
        else
            index->others[index->other_count++] = (uint32_t)i;
    }
    if (index->count)
        qsort_r(index->by_fingerprint, index->count, sizeof(*index->by_fingerprint), compare, index);
    for (uint32_t i = 0; i < index->count; i++) {
        struct slot *slot = slot_of(index, fingerprint_of(index, index->by_fingerprint[i]));
        if (slot->count++ == 0)
            slot->first = i;
    }
}

struct rule_index *rule_index_new(const struct suppressions *suppressions)
{
    struct rule_index *index = calloc(1, sizeof(*index));

    if (!index)
        return NULL;
    index->rules = suppressions;
    for (index->slot_count = 16; index->slot_count < 2 * suppressions->count;)
        index->slot_count *= 2;
    index->by_fingerprint = calloc(suppressions->count + 1, sizeof(*index->by_fingerprint));
    index->others = calloc(suppressions->count + 1, sizeof(*index->others));
    index->slots = calloc(index->slot_count, sizeof(*index->slots));
    if (index->by_fingerprint && index->others && index->slots) {
        fill(index);
        return index;
    }
    rule_index_free(index);
    return NULL;
}

void rule_index_free(struct rule_index *index)
{
    if (!index)
        return;
    free(index->by_fingerprint);
    free(index->others);
    free(index->slots);
    free(index);
}

struct rule_list rule_index_others(const struct rule_index *index)
{
    return (struct rule_list){index->others, index->other_count};
}

struct rule_list rule_index_find(const struct rule_index *index, const char fingerprint[static FINGERPRINT_SIZE])
{
    const struct slot *slot = slot_of(index, fingerprint);
    return (struct rule_list){index->by_fingerprint + slot->first, slot->count};
}
