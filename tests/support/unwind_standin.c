/* SPDX-License-Identifier: MIT */
#include "unwind_standin.h"

#include "arena.h"
#include "ledger.h"
#include "lock.h"
#include "modules.h"
#include "stacks.h"

#include <stdlib.h>
#include <sys/mman.h>

#define NODES_MAX (1u << 23)

static struct ledger_header header;
struct ledger_header *ledger_header = &header;
uint32_t modules_epoch = 1;

static struct ledger_node nodes[NODES_MAX];
static uint32_t slots[2 * NODES_MAX];
static uint32_t count, left = UINT32_MAX;
static struct lock lock;

void *arena_map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void arena_unmap(void *memory, size_t size)
{
    munmap(memory, size);
}

void *arena_alloc(size_t size)
{
    return arena_map(size);
}

static uint32_t find_or_make(struct ledger_node node)
{
    uint64_t hash = (node.key ^ ((uint64_t)node.parent << 32 | node.meta)) * 0x9e3779b97f4a7c15ULL;

    for (uint64_t at = hash >> 32;; at++) {
        uint32_t *slot = &slots[at % (2 * NODES_MAX)];
        if (!*slot) {
            if (!left || count + 1 == NODES_MAX)
                return 0;
            left -= left != UINT32_MAX;
            *slot = ++count;
            nodes[count] = node;
        }
        const struct ledger_node *found = &nodes[*slot];
        if (found->key == node.key && found->parent == node.parent && found->meta == node.meta)
            return *slot;
    }
}

uint32_t stacks_node(uint32_t parent, uint64_t key, uint32_t meta)
{
    lock_take(&lock);
    uint32_t id = find_or_make((struct ledger_node){key, parent, meta});
    lock_give(&lock);
    return id;
}

uint32_t standin_nodes(void)
{
    return count;
}

void standin_limit(uint32_t limit)
{
    left = limit;
}

size_t standin_chain(uint32_t node, struct ledger_node *frames, size_t max, uint64_t *ret_cut)
{
    size_t length = 0;

    *ret_cut = UINT64_MAX;
    for (; node; node = nodes[node].parent) {
        if (nodes[node].meta & NODE_CUT) {
            *ret_cut = nodes[node].key;
            break;
        }
        if (length < max)
            frames[length] = nodes[node];
        length++;
    }
    return length;
}
