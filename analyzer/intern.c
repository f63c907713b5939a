/* SPDX-License-Identifier: MIT
 *
 * A hash table with open addressing over entries in order. See intern.h. */
#include "intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* The slot of the entry with this key, or a free one. */
static uint32_t *find_slot(const struct intern *intern, const void *key, size_t size, uint64_t hash)
{
    size_t at = hash & (intern->slot_count - 1);
    while (intern->slots[at]) {
        const struct intern_entry *entry = &intern->entries[intern->slots[at] - 1];
        if (entry->hash == hash && entry->size == size && memcmp(entry->key, key, size) == 0)
            break;
        at = (at + 1) & (intern->slot_count - 1);
    }
    return &intern->slots[at];
}

/* Makes room for one more entry. */
static int grow(struct intern *intern)
{
    if (intern->count < intern->room)
        return 0;
    size_t room = intern->room ? 2 * intern->room : 64;
    if (room > UINT32_MAX / 2)
        return -ENOMEM;
    struct intern_entry *entries = reallocarray(intern->entries, room, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    intern->entries = entries;
    uint32_t *slots = calloc(2 * room, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    free(intern->slots);
    intern->slots = slots;
    intern->slot_count = 2 * room;
    intern->room = room;
    for (size_t i = 0; i < intern->count; i++)
        *find_slot(intern, entries[i].key, entries[i].size, entries[i].hash) = (uint32_t)i + 1;
    return 0;
}

int intern_add(struct intern *intern, const void *key, size_t size, uint32_t *ret_index)
{
    uint64_t hash = XXH3_64bits(key, size);
    if (intern->slot_count > 0) {
        uint32_t slot = *find_slot(intern, key, size, hash);
        if (slot > 0) {
            *ret_index = slot - 1;
            return 0;
        }
    }
    int r = grow(intern);
    char *copy = r == 0 ? chunks_take(&intern->keys, size + 1) : NULL;
    if (!copy)
        return -ENOMEM;
    memcpy(copy, key, size);
    copy[size] = '\0';
    intern->entries[intern->count] = (struct intern_entry){.key = copy, .size = size, .hash = hash};
    *ret_index = (uint32_t)intern->count++;
    *find_slot(intern, key, size, hash) = *ret_index + 1;
    return 1;
}

void intern_clear(struct intern *intern)
{
    chunks_clear(&intern->keys);
    free(intern->entries);
    free(intern->slots);
    *intern = (struct intern){0};
}
