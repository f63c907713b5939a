/* SPDX-License-Identifier: MIT
 *
 * The 16 bytes before every recorded block, by which a pointer is known to be ours or not:
 *
 *     base                       p - 16          p - 8           p
 *     | alignment padding        | reference     | check word    | the program's bytes
 *
 * The check word mixes address, reference and a secret of the process, so a pointer that is not ours (allocated before the
 * shim, by the loader, by another heap) is recognised by reading 8 bytes, and a stale copy of a prefix is worth nothing at
 * another address. All pointer arithmetic between the program's block and the real one is here. */
#ifndef SHIM_BLOCK_H
#define SHIM_BLOCK_H

#include "compiler.h"
#include "ledger_format.h"

#include <stdbool.h>

#define BLOCK_PREFIX 16u
#define BLOCK_PADDING_LOG_MIN 4u /* the prefix alone */
#define BLOCK_ALIGNMENT_MAX_LOG 40u

/* What the reference says. */
struct block_ref {
    uint32_t record;     /* LEDGER_RECORDS id, 0 = the ledger was full */
    uint16_t process;    /* generation: changes with each fork, so that a child knows its parent's blocks */
    uint8_t allocator;   /* which saved Python allocators made it (pymem.c), 6 bits */
    uint8_t domain;      /* enum block_domain, 4 bits */
    uint8_t padding_log; /* log2 of the distance p - base: 4, or that of the alignment; 6 bits */
};

extern uint64_t block_secret;

static inline uint64_t block_pack(struct block_ref ref)
{
    return ref.record | (uint64_t)ref.process << 32 | (uint64_t)ref.allocator << 48 | (uint64_t)ref.domain << 54 |
           (uint64_t)ref.padding_log << 58;
}

static inline struct block_ref block_unpack(uint64_t packed)
{
    return (struct block_ref){(uint32_t)packed, (uint16_t)(packed >> 32), packed >> 48 & 63, packed >> 54 & 15,
                              (uint8_t)(packed >> 58)};
}

static inline uint64_t block_check_word(const void *p, uint64_t packed)
{
    uint64_t mixed = ((uintptr_t)p ^ block_secret) * 0x9e3779b97f4a7c15ULL + packed;
    mixed *= 0xbf58476d1ce4e5b9ULL;
    return mixed ^ mixed >> 31;
}

/* Writes the prefix of `p`. */
static inline void block_mark(void *p, struct block_ref ref)
{
    uint64_t *prefix = (uint64_t *)p - 2;
    prefix[0] = block_pack(ref);
    prefix[1] = block_check_word(p, prefix[0]);
}

/* What is left of the check word in memory that was given back, where no heap has written over it: by it the leak scan tells
 * freed chunks that their heap keeps as if they were in use (glibc's fastbins). */
#define BLOCK_FREED 0x3d6572662d6b6c62ULL

/* Makes the block unknown, before its memory is given back. */
static inline void block_unmark(void *p)
{
    ((uint64_t *)p)[-1] = BLOCK_FREED;
}

/* Whether the bytes before a page-aligned pointer can be read at all. Costs a system call. */
bool block_prefix_readable(const void *p);

/* True and *ref filled when `p` (not NULL) is a recorded block. Foreign pointers to the start of some heap's block may be
 * asked about: all heaps in use keep a header or another block before theirs, except at the start of a page. */
static inline bool block_find(const void *p, struct block_ref *ref)
{
    if (unlikely(((uintptr_t)p & 15) != 0))
        return false;
    if (unlikely(((uintptr_t)p & 4095) == 0) && !block_prefix_readable(p))
        return false;
    const uint64_t *prefix = (const uint64_t *)p - 2;
    uint64_t packed = prefix[0];
    if (packed >> 58 < BLOCK_PADDING_LOG_MIN) /* most foreign ones are known by this already */
        return false;
    if (prefix[1] != block_check_word(p, packed))
        return false;
    *ref = block_unpack(packed);
    return true;
}

static inline size_t block_padding(struct block_ref ref)
{
    return (size_t)1 << ref.padding_log;
}

/* The address that the real allocator knows. */
static inline void *block_base(void *p, struct block_ref ref)
{
    return (uint8_t *)p - block_padding(ref);
}

#endif
