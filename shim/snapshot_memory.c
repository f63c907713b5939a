/* SPDX-License-Identifier: MIT */
#include "snapshot_memory.h"

#include "arena.h"
#include "compiler.h"

#define HEAD 16u /* before each block: its class or size */
#define SMALLEST_LOG 5u
#define LARGEST_LOG 15u /* above: a mapping of its own */

struct head {
    size_t size; /* of the mapping; else the logarithm of the size */
    struct head *next;
};
_Static_assert(sizeof(struct head) == HEAD, "blocks are aligned");

static struct head *free_lists[LARGEST_LOG + 1];

void *snapshot_malloc(size_t size)
{
    unsigned log = SMALLEST_LOG;
    struct head *head;

    if (size > PTRDIFF_MAX - HEAD)
        return NULL;
    size += HEAD;
    if (size > (size_t)1 << LARGEST_LOG) {
        head = arena_map(size);
        if (!head)
            return NULL;
        head->size = size;
        return head + 1;
    }
    while ((size_t)1 << log < size)
        log++;
    head = free_lists[log];
    if (head)
        free_lists[log] = head->next;
    else
        head = arena_alloc((size_t)1 << log);
    if (!head)
        return NULL;
    head->size = log;
    return head + 1;
}

void snapshot_free(void *memory)
{
    struct head *head = memory;

    if (!head)
        return;
    head--;
    if (head->size > LARGEST_LOG) {
        arena_unmap(head, head->size);
        return;
    }
    head->next = free_lists[head->size];
    free_lists[head->size] = head;
}
