/* SPDX-License-Identifier: MIT
 *
 * The 16 bytes before every recorded block, by which a pointer is known to be ours or not:
 *
 *     base                       p - 16          p - 8           p
 *     | alignment padding        | reference     | check word    | the program's bytes
 *
 * With guard=1 it stands 16 bytes lower, and guard.h has what is between it and the program's bytes. The check word mixes
 * address, reference, size and a secret of the process, so a pointer that is not ours (allocated before the shim, by the
 * loader, by another heap) is recognised by reading 8 bytes, and a stale copy of a prefix is worth nothing at another address.
 * All pointer arithmetic between the program's block and the real one is here. */
#ifndef SHIM_BLOCK_H
#define SHIM_BLOCK_H

#include "compiler.h"
#include "ledger_format.h"

#include <stdbool.h>

#define BLOCK_PREFIX 16u

/* In the check word: the record knows the size. */
#define BLOCK_SIZE_UNKNOWN UINT32_MAX
#define BLOCK_PADDING_LOG_MIN 4u /* the prefix alone */
#define BLOCK_ALIGNMENT_MAX_LOG 40u

#define BLOCK_PROCESS_SHIFT 32
#define BLOCK_ALLOCATOR_SHIFT 48
#define BLOCK_DOMAIN_SHIFT 54
#define BLOCK_PADDING_SHIFT 58

/* What the reference says. It is used packed in one word, whose parts the functions below tell. */
struct block_ref {
    uint32_t record;     /* LEDGER_RECORDS id, 0 = the ledger was full */
    uint16_t process;    /* generation: changes with each fork, so that a child knows its parent's blocks */
    uint8_t allocator;   /* which saved Python allocators made it (pymem.c), 6 bits */
    uint8_t domain;      /* enum block_domain, 4 bits */
    uint8_t padding_log; /* log2 of the distance p - base: 4, or that of the alignment; 6 bits */
};

extern _hidden_ uint64_t block_secret;

/* p - prefix, which is also the least distance p - base: 16, or 32 with guard bytes. Constant after the constructor. */
extern _hidden_ uint32_t block_distance;

/* Bytes of guard behind every recorded block. Constant likewise. */
extern _hidden_ uint32_t block_trailer;

/* The largest `process` of any block: that of this process, since a fork counts up from its parent. */
extern _hidden_ uint16_t block_process_max;

/* The reference of a block that has no more than that before it, without all else. */
extern _hidden_ uint64_t block_template;

static inline uint64_t block_pack(struct block_ref ref)
{
    return ref.record | (uint64_t)ref.process << BLOCK_PROCESS_SHIFT |
           (uint64_t)ref.allocator << BLOCK_ALLOCATOR_SHIFT | (uint64_t)ref.domain << BLOCK_DOMAIN_SHIFT |
           (uint64_t)ref.padding_log << BLOCK_PADDING_SHIFT;
}

static inline uint32_t block_record(uint64_t ref)
{
    return (uint32_t)ref;
}

static inline uint16_t block_process(uint64_t ref)
{
    return (uint16_t)(ref >> BLOCK_PROCESS_SHIFT);
}

static inline unsigned block_allocator(uint64_t ref)
{
    return ref >> BLOCK_ALLOCATOR_SHIFT & 63;
}

static inline enum block_domain block_domain_of(uint64_t ref)
{
    return (enum block_domain)(ref >> BLOCK_DOMAIN_SHIFT & 15);
}

static inline size_t block_padding(uint64_t ref)
{
    return (size_t)1 << (ref >> BLOCK_PADDING_SHIFT);
}

static inline uint64_t block_with_domain(uint64_t ref, enum block_domain domain)
{
    return (ref & ~(15ULL << BLOCK_DOMAIN_SHIFT)) | (uint64_t)domain << BLOCK_DOMAIN_SHIFT;
}

/* A change of any of them changes the sum, and the factor is odd: the product is another one, and its upper half is too, but
 * for a chance of 1 in 2^32. */
static inline uint64_t block_product(const void *p, uint64_t packed, uint32_t size)
{
    return (((uintptr_t)p ^ block_secret) + packed + size) * 0x9e3779b97f4a7c15ULL;
}

/* In the lower half of the word the size, as far as it fits, or with guard bytes, which tell the size, the trace of the allocation: a
 * free has no need of the record then, which may have left the caches of the processor long ago. */
static inline uint64_t block_check_word(const void *p, uint64_t packed, uint32_t size)
{
    return (block_product(p, packed, size) & ~(uint64_t)UINT32_MAX) | size;
}

/* Whether `word` is that check word, but for its lower half. */
static inline bool block_has_check(uint64_t word, const void *p, uint64_t packed, uint32_t size)
{
    return !((word ^ block_product(p, packed, size)) >> 32);
}

/* Whether these 16 bytes are the prefix of a recorded block at `p`, unless by a chance of 1 in 2^32. */
static inline bool block_is_marked(const uint64_t *prefix, const void *p)
{
    return block_has_check(prefix[1], p, prefix[0], (uint32_t)prefix[1]);
}

/* The prefix of `p`. */
static inline uint64_t *block_prefix(const void *p)
{
    return (uint64_t *)((uintptr_t)p - block_distance);
}

/* `lower`: the lower half of the check word. */
static inline void block_mark(void *p, uint64_t ref, uint32_t lower)
{
    uint64_t *prefix = block_prefix(p);
    prefix[0] = ref;
    prefix[1] = block_check_word(p, ref, lower);
}

/* The lower half for a block of `size` bytes without guard bytes. */
static inline uint32_t block_lower(size_t size)
{
    return size < BLOCK_SIZE_UNKNOWN ? (uint32_t)size : BLOCK_SIZE_UNKNOWN;
}

/* What is left of the check word in memory that was given back, where no heap has written over it: by it the leak scan tells
 * freed chunks that their heap keeps as if they were in use (glibc's fastbins). */
#define BLOCK_FREED 0x3d6572662d6b6c62ULL

/* Makes the block unknown, before its memory is given back. */
static inline void block_unmark(void *p)
{
    block_prefix(p)[1] = BLOCK_FREED;
}

/* Whether `base`, which some allocator gave, looks like a block that was made unknown just now. */
static inline bool block_base_is_unmarked(const void *base)
{
    return !((uintptr_t)base & 15) && ((const uint64_t *)base)[1] == BLOCK_FREED;
}

/* ---- freed blocks that are kept back (quarantine.h) ---- */

#define BLOCK_KEPT (0x6b657074ULL << 32)

/* No prefix at all: of threads that free one block at the same moment, the one that puts it there does. */
#define BLOCK_CLAIMED 0x6d69616c632d6b62ULL

/* Makes a block's prefix that of a freed one, which knows its traces in place of its record and size. */
static inline void block_keep(uint64_t *prefix, const void *p, uint64_t ref, uint32_t alloc_trace, uint32_t free_trace)
{
    uint64_t kept = (ref & ~(uint64_t)UINT32_MAX) | alloc_trace;

    prefix[0] = kept;
    prefix[1] = block_check_word(p, kept, free_trace) ^ BLOCK_KEPT;
}

/* Whether these 16 bytes are the prefix of such a block. */
static inline bool block_is_kept(const uint64_t *prefix, const void *p)
{
    return block_has_check(prefix[1] ^ BLOCK_KEPT, p, prefix[0], (uint32_t)prefix[1]);
}

static inline uint32_t block_alloc_trace(const uint64_t *prefix)
{
    return (uint32_t)prefix[0];
}

static inline uint32_t block_free_trace(const uint64_t *prefix)
{
    return (uint32_t)prefix[1];
}

/* Whether the bytes where the prefix of a pointer would be can be read at all. Costs a system call. */
bool block_prefix_readable(const void *p);

/* The same for a `p` whose own page can be read: with guard bytes on it there is no need to ask. */
bool block_prefix_there(const void *p);

/* The reference in these 16 bytes, if they are the prefix of a recorded block at `p`, else 0. */
static inline uint64_t block_ref_of(const uint64_t *prefix, const void *p)
{
    uint64_t ref = prefix[0];

    /* The check word alone would take one foreign pointer in 2^32 for ours; what no reference says makes that 2^48. */
    if (ref >> BLOCK_PADDING_SHIFT < BLOCK_PADDING_LOG_MIN || ref >> BLOCK_PADDING_SHIFT > BLOCK_ALIGNMENT_MAX_LOG ||
        block_process(ref) > block_process_max || block_domain_of(ref) >= DOMAIN_COUNT)
        return 0;
    return block_is_marked(prefix, p) ? ref : 0;
}

/* The reference of `p` (not NULL) if it is a recorded block, else 0. Foreign pointers to the start of some heap's block may
 * be asked about: all heaps in use keep a header or another block before theirs, except at the start of a page. */
static inline uint64_t block_find(const void *p)
{
    uint32_t distance = block_distance;
    if (unlikely(((uintptr_t)p & 15) != 0))
        return 0;
    if (unlikely(((uintptr_t)p & 4095) < distance) && !block_prefix_there(p))
        return 0;
    return block_ref_of((const uint64_t *)((uintptr_t)p - distance), p);
}

/* The address that the real allocator knows. */
static inline void *block_base(void *p, uint64_t ref)
{
    return (uint8_t *)p - block_padding(ref);
}

#endif
