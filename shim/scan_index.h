/* SPDX-License-Identifier: MIT
 *
 * The live blocks of the process, ordered by address, and the way from an address to its block. */
#ifndef SHIM_SCAN_INDEX_H
#define SHIM_SCAN_INDEX_H

#include "compiler.h"
#include "ledger_format.h"

#include <stdbool.h>

/* What a block's own contents say about pointers into it (Valgrind's heuristics). */
enum scan_facts {
    /* of blocks other than DOMAIN_OBJ */
    FACT_LENGTH64 = 1u << 0, /* begins with its own size: pointers to +8 are to its start */
    FACT_ARRAY = 1u << 1,    /* begins with what may be the cookie of new[] */
    FACT_STRING = 1u << 2,   /* a std::string's copy-on-write representation */
    FACT_BASES = 1u << 3,    /* begins with what looks like a pointer to a vtable */
    /* of DOMAIN_OBJ */
    FACT_TYPE = 1u << 0,     /* a type object */
    FACT_INSTANCE = 1u << 1, /* of a class that is no static data */
    FACT_MODULE = 1u << 2,   /* a Python module */
    FACT_INT = 1u << 3,
    FACT_DICT = 1u << 6,
    FACT_LIST = 1u << 7,
    FACT_CONSTANT = 1u << 8,   /* a tuple or a code object */
    FACT_FOREIGN = 1u << 9,    /* of a type with code that is neither the interpreter's nor its library's */
    FACT_COLLECTED = 1u << 10, /* of a type that takes part in the interpreter's collection */
    FACT_FRAME = 1u << 12,
    FACT_PARKED = 1u << 13, /* in a free list: nobody refers to it */
    /* of all */
    FACT_INTERPRETER = 1u << 4, /* a survivor of the interpreter's own (pyobjects.h) */
    FACT_STARTUP = 1u << 5,
    FACT_THREAD_STATE = 1u << 11, /* of the interpreter */
};

#define SCAN_NOT_OBJECT 0xff

struct scan_block {
    uintptr_t start;
    uint64_t size;   /* at least 1; 0 of a container that begins with another block */
    uint32_t record; /* LEDGER_RECORDS id */
    uint8_t domain : 4;
    uint8_t kept : 1;      /* found to be kept by the interpreter or the loader */
    uint8_t container : 1; /* other blocks lie in it: `size` ends where the first of these begins (scan_nest.c) */
    uint8_t part : 1;      /* more of a container: of the same record */
    uint8_t object;        /* where in the block a Python object begins, SCAN_NOT_OBJECT = nowhere */
    uint16_t facts;
};

struct scan_region;

struct scan_index {
    struct scan_block *blocks;
    uint32_t count;
    uintptr_t low, high;          /* all blocks lie in [low, high) */
    struct scan_region **regions; /* by address >> 30 */
    size_t blocks_size;           /* bytes mapped */
    uint32_t tracked;             /* blocks of DOMAIN_TRACKED */
    uint32_t *outer; /* of each block the container in which it lies, SCAN_NONE; NULL when there are no regions */
    size_t outer_size;
    struct scan_buckets *buckets;
};

/* Collects the live records of the ledger of this process. Returns 0 or -ENOMEM; scan_index_done in any case. */
int scan_index_init(struct scan_index *index);
void scan_index_done(struct scan_index *index);

/* The same for blocks (mapped with arena_map, in any order) that are given. */
int scan_index_build(struct scan_index *index);

/* Makes of ordered blocks such ones that do not overlap. Returns 0 or -ENOMEM. */
int scan_index_nest(struct scan_index *index);

/* 2 MiB of addresses: the blocks that begin in it. `buckets` (256 bytes each) where they are many. */
struct scan_region {
    uint32_t first, count;
    uint32_t *buckets;
};

#define SCAN_REGION_SHIFT 21
#define SCAN_BUCKET_SHIFT 8
#define SCAN_TOP_SHIFT 30
#define SCAN_TOP_COUNT (1u << (47 - SCAN_TOP_SHIFT))
#define SCAN_NONE UINT32_MAX

/* Number of the first block that begins above `address`, which lies in a region that is known. */
static inline uint32_t scan_index_above(const struct scan_index *index, const struct scan_region *region,
                                        uintptr_t address)
{
    const struct scan_block *blocks = index->blocks;
    uint32_t at, end = region->first + region->count;

    if (region->buckets)
        at = region->buckets[address >> SCAN_BUCKET_SHIFT & ((1u << (SCAN_REGION_SHIFT - SCAN_BUCKET_SHIFT)) - 1)];
    else
        at = region->first;
    while (at < end && blocks[at].start <= address)
        at++;
    return at;
}

/* The block with `address`, or SCAN_NONE. */
static inline uint32_t scan_index_find(const struct scan_index *index, uintptr_t address)
{
    if (address - index->low >= index->high - index->low)
        return SCAN_NONE;
    const struct scan_region *regions = index->regions[address >> SCAN_TOP_SHIFT];
    if (!regions)
        return SCAN_NONE;
    uint32_t above = scan_index_above(index, &regions[address >> SCAN_REGION_SHIFT & 511], address);
    if (above == 0 || address - index->blocks[above - 1].start >= index->blocks[above - 1].size)
        return SCAN_NONE;
    return above - 1;
}

/* For addresses in [low, high): fetch what scan_index_find will need, in two steps. */
static inline uint32_t *scan_index_bucket(const struct scan_index *index, uintptr_t address)
{
    const struct scan_region *regions = index->regions[address >> SCAN_TOP_SHIFT];
    uint32_t *buckets = regions ? regions[address >> SCAN_REGION_SHIFT & 511].buckets : NULL;

    return buckets ? &buckets[address >> SCAN_BUCKET_SHIFT & ((1u << (SCAN_REGION_SHIFT - SCAN_BUCKET_SHIFT)) - 1)]
                   : NULL;
}

static inline void scan_index_prefetch_bucket(const struct scan_index *index, uintptr_t address)
{
    __builtin_prefetch(scan_index_bucket(index, address));
}

static inline void scan_index_prefetch_block(const struct scan_index *index, uintptr_t address)
{
    const uint32_t *bucket = scan_index_bucket(index, address);
    const struct scan_block *block = bucket ? &index->blocks[*bucket] : NULL;

    __builtin_prefetch(block);
    __builtin_prefetch(block + 2);
}

/* The first block that begins at or above `address`; count if there is none. By halves: for where regions are not known. */
uint32_t scan_index_lower(const struct scan_index *index, uintptr_t address);

#endif
