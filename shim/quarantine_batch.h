/* SPDX-License-Identifier: MIT
 *
 * What the quarantine knows of the blocks that are kept back, in batches. For quarantine.c and lanes.c. */
#ifndef SHIM_QUARANTINE_BATCH_H
#define SHIM_QUARANTINE_BATCH_H

#include "block.h"
#include "ledger_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quarantine_cache;

#define QUARANTINE_BATCH 64u
#define QUARANTINE_AHEAD 8u /* blocks that are fetched before it is their turn */
#define QUARANTINE_COST 72u /* bytes around a block and of its entry */

/* What is known of a freed block, apart from the block: it has no record any more. */
struct quarantine_entry {
    uint64_t place; /* address, domain, flags; 0 = it has left */
    uint64_t size;
    uint32_t alloc_trace, free_trace;
};

#define QUARANTINE_DOMAIN_SHIFT 56
#define QUARANTINE_SIDES_NOTED (1ULL << 62) /* damage of its guard bytes has been noted */
#define QUARANTINE_DEAD_NOTED (1ULL << 63)  /* a use after it was freed has been noted */

static inline uint64_t quarantine_place(const void *p, enum block_domain domain)
{
    return (uintptr_t)p | (uint64_t)domain << QUARANTINE_DOMAIN_SHIFT;
}

static inline uintptr_t quarantine_address(uint64_t place)
{
    return (uintptr_t)(place & ((1ULL << 48) - 1));
}

static inline enum block_domain quarantine_domain(uint64_t place)
{
    return (enum block_domain)(place >> QUARANTINE_DOMAIN_SHIFT & 15);
}

static inline bool quarantine_is_python(uint64_t place)
{
    enum block_domain domain = quarantine_domain(place);

    return domain == DOMAIN_MEM || domain == DOMAIN_OBJ;
}

struct quarantine_batch {
    struct quarantine_batch *next;
    struct quarantine_batch *next_all;
    uint64_t bytes;
    uint64_t traffic;    /* lanes.traffic, when it was full (lanes.h) */
    uint32_t generation; /* of the ledger, when it was begun */
    uint32_t count;
    struct quarantine_entry entries[QUARANTINE_BATCH + QUARANTINE_AHEAD]; /* those behind the last one: 0 */
};

#define QUARANTINE_LINE 64u /* of the cache */

/* An empty batch for what is freed in this `generation`; NULL: there is no memory. */
struct quarantine_batch *quarantine_new_batch(struct quarantine_cache *cache, uint32_t generation);

/* Gives it back, when nothing is in it any more. */
void quarantine_drop_batch(struct quarantine_cache *cache, struct quarantine_batch *batch);

#endif
