/* SPDX-License-Identifier: MIT
 *
 * A pool as it lies in shared memory: header, manifest, stacks, heap. The processes that share it may be killed anywhere, so
 * this holds: an allocation exists if and only if the `state` of its chunk is CHUNK_USED, which is the last word that is written
 * when it is made and the first when it is freed. Whatever else says where free space is (lists, maps, buckets, all below
 * "derived") is made anew from the used chunks by the next one who gets the lock of a dead owner (pool_heap_rebuild).
 *
 * The allocator is TLSF (two-level segregated fit: M. Masmano et al., 2004): free pieces in lists by size, 16 classes for each
 * power of two, found by two bit maps; neighbours that are free are joined at once. So allocating and freeing are O(1), no
 * two free pieces touch, and a piece that is taken is at most 1/16 larger than what was asked for, whose rest is split off.
 * What describes the pieces lies apart from the heap: what a program writes past its end destroys no list. */
#ifndef CLIENT_POOL_FORMAT_H
#define CLIENT_POOL_FORMAT_H

#include <pthread.h>
#include <stdint.h>

#define POOL_MAGIC 0x4c4f4f504d48534dULL /* "MSHMPOOL" in memory */
#define POOL_VERSION 1
#define POOL_NAME_MAX 200
#define POOL_GRAIN 64u /* bytes: sizes and offsets in the heap are multiples */

#define POOL_CLASS_BITS 4 /* 16 classes for each power of two */
#define POOL_CLASSES (1u << POOL_CLASS_BITS)
#define POOL_POWERS 40u
#define POOL_BUCKETS 4096u
#define POOL_STACK_BUCKETS 256u
#define POOL_ATTACHMENTS 512u

enum pool_state { POOL_NEW = 0, POOL_LIVE, POOL_DESTROYED };
enum chunk_state { CHUNK_UNUSED = 0, CHUNK_FREE, CHUNK_USED };

/* A piece of the heap, free or used; or a place for one. Number 0 stands for none. */
struct pool_chunk {
    uint64_t offset, size; /* in the heap, multiples of POOL_GRAIN */
    uint64_t asked;        /* bytes */
    uint64_t id, serial;
    uint64_t process_start; /* of the maker: field 22 of /proc/PID/stat */
    int64_t made_at;        /* nanoseconds since the epoch */
    int32_t pid;            /* of the maker */
    uint32_t type;
    uint32_t stack; /* of the maker: place among the stacks in units of 8 bytes, 0 = not known */
    uint32_t state; /* enum chunk_state */
    /* derived */
    uint32_t before, after;            /* neighbours in the heap */
    uint32_t previous_free, next_free; /* in the list of their class; unused ones: next_free */
    uint32_t next_same;                /* used ones: in their bucket */
    uint32_t reserved;
};

/* A stack as text (pool_stack.h). */
struct pool_stack {
    uint64_t hash;
    uint32_t next; /* in its bucket */
    uint32_t length;
    char text[];
};

struct pool_attachment {
    uint64_t process_start;
    int64_t made_at;
    int32_t pid;
    uint32_t stack;
    uint32_t used; /* written last and first, as a chunk's state */
    uint32_t reserved;
};

struct pool_header {
    uint64_t magic; /* written last */
    uint32_t version, header_size;
    uint64_t instance; /* random: tells a pool from others that had its name */
    uint64_t uid;
    uint64_t file_size;
    uint64_t chunks_offset, chunk_capacity;
    uint64_t stacks_offset, stacks_size;
    uint64_t heap_offset, heap_size;
    uint64_t creator_start;
    int64_t created_at;
    int32_t creator;
    uint32_t state;               /* enum pool_state */
    char name[POOL_NAME_MAX + 8]; /* without slash */

    pthread_mutex_t mutex __attribute__((aligned(64))); /* robust, shared between processes */
    uint32_t freed __attribute__((aligned(64)));        /* futex: counts what may let a waiting allocation succeed */
    uint32_t waiting;                                   /* may be too high: those that were killed while they waited */
    uint32_t recoveries;
    uint32_t damaged; /* chunks that made no sense when free space was rebuilt */

    uint64_t next_id, next_serial;
    uint64_t chunks_committed;              /* chunks that have memory */
    uint64_t stacks_committed, stacks_used; /* bytes */
    uint64_t stacks_dropped;

    /* derived */
    uint64_t used_bytes, used_count;
    uint32_t unused; /* list of unused chunks below `fresh` */
    uint32_t fresh;  /* chunks from here on were never used */
    uint64_t powers; /* bit map: sizes for which there are free chunks */
    uint32_t classes[POOL_POWERS];
    uint32_t lists[POOL_POWERS][POOL_CLASSES];
    uint32_t buckets[POOL_BUCKETS]; /* used chunks by type and id */

    uint32_t stack_buckets[POOL_STACK_BUCKETS];
    struct pool_attachment attachments[POOL_ATTACHMENTS];
};

#define POOL_HEADER_SIZE ((uint64_t)64 << 10)
#define POOL_STEP ((uint64_t)64 << 10) /* manifest and stacks get memory in such steps */

_Static_assert(sizeof(struct pool_header) <= POOL_HEADER_SIZE, "the header fits");
_Static_assert(sizeof(struct pool_chunk) == 96, "fixed width");
_Static_assert(sizeof(struct pool_attachment) == 32, "fixed width");

/* A mapped pool. The sizes are copies that were checked when it was mapped: nobody can change them afterwards. */
struct pool_view {
    struct pool_header *header;
    struct pool_chunk *chunks;
    uint8_t *stacks, *heap;
    uint64_t mapped; /* bytes */
    uint64_t chunk_capacity, stacks_size, heap_size;
    uint64_t instance;
    uint64_t device, inode; /* what `fd` must be: the program may close it and get the number for a file of its own */
    int fd;
};

#endif
