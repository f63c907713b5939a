/* SPDX-License-Identifier: MIT
 *
 * Memory pools that processes share: POSIX shared memory with an allocator and a manifest of what is allocated in it. Link
 * with libmemshim-client. Everything works without memshim; under it (memshim run, LD_PRELOAD) the manifest keeps the stack of
 * each allocation, and the report names what nobody freed, with the process and the stack that made it, and attachments that
 * were never given up. `memshim report /dev/shm/NAME` reads a pool whose processes are all gone.
 *
 * A process that is killed at any point of any of these functions neither blocks the others nor damages the pool: what it was
 * about to do has happened or has not. What it had allocated stays, for the others to find and free.
 *
 * All functions may be called from any thread, not from signal handlers. Functions that fail return a negative errno:
 *   -EINVAL   an argument that is never valid: NULL, a size of 0, a name with a slash, a descriptor that is damaged
 *   -EBADF    the pool handle is not one (any more): it was detached or destroyed in this process
 *   -EIDRM    another process has destroyed the pool
 *   -ENOENT   there is no such pool, or no such allocation (any more)
 *   -ESTALE   there is another pool of that name
 *   -ENOMEM   there is no free piece that is large enough just now, or no memory
 *   -ENOTRECOVERABLE  the pool is damaged beyond repair
 * and what shm_open(3) and mmap(2) say. */
#ifndef MEMSHIM_POOL_H
#define MEMSHIM_POOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One process's use of a pool. */
typedef struct memshim_pool memshim_pool;

enum { MEMSHIM_POOL_DATA = 1 /* the usual type of an allocation; programs may use any other number from 1 on */ };

/* An allocation as processes name it. Plain data: copies are as good, and nothing needs to be released. */
struct memshim_allocation {
    uint64_t id;     /* unique for its type in the pool */
    uint64_t serial; /* never used twice in the pool */
    uint64_t size;   /* bytes, as asked for */
    uint32_t type;
    uint32_t place; /* in the manifest */
};

struct memshim_pool_stats {
    uint64_t size;         /* bytes there are for allocations */
    uint64_t used;         /* bytes taken, rounding included */
    uint64_t largest_free; /* bytes of the largest free piece */
    uint64_t allocations;
    uint32_t attachments; /* of processes that live */
    uint32_t recoveries;  /* how often a process died inside an operation */
};

/* Bytes of the descriptors that are passed to other processes. */
#define MEMSHIM_POOL_SERIALIZED 320
#define MEMSHIM_ALLOCATION_SERIALIZED 368

#define MEMSHIM_POOL_SIZE_MAX ((uint64_t)1 << 40)
#define MEMSHIM_POOL_FOREVER ((int64_t)-1)

/* ---- pools ---- */

/* Makes the pool `name` (a name for shm_open, with or without its slash; up to 200 bytes) with `size` bytes for allocations, and
 * attaches to it. `uid` is any number by which the pool is known beside its name. The memory is taken at once. To be given
 * to memshim_pool_destroy, or to memshim_pool_detach. -EEXIST: the name is taken. -ENOSPC: so much shared memory is not there. */
int memshim_pool_create(uint64_t size, const char *name, uint64_t uid, memshim_pool **ret);

/* Attaches to the pool that a descriptor of `length` bytes describes. To be given to memshim_pool_detach. */
int memshim_pool_attach(const void *serialized, size_t length, memshim_pool **ret);

/* Ends this use of the pool. The pool stays. Addresses in it are not valid any more. */
int memshim_pool_detach(memshim_pool *pool);

/* Removes the pool, for all: what waits in it wakes up, what others call for it fails with -EIDRM. Ends this use of it. */
int memshim_pool_destroy(memshim_pool *pool);

int memshim_pool_serialize(memshim_pool *pool, uint8_t ret[MEMSHIM_POOL_SERIALIZED]);
int memshim_pool_stats(memshim_pool *pool, struct memshim_pool_stats *ret);

/* Looks whether manifest and free space fit together. -EUCLEAN: they do not. */
int memshim_pool_check(memshim_pool *pool);

/* ---- allocations ---- */

/* Allocates `size` bytes (1 or more), aligned to 64, not cleared. `type` is 1 or more; `id` 0 draws the next one. -ENOMEM;
 * -EEXIST: there is an allocation with that type and id; -E2BIG: the pool will never have so much. */
int memshim_pool_alloc(memshim_pool *pool, uint64_t size, uint32_t type, uint64_t id, struct memshim_allocation *ret);

/* The same, but waits up to `timeout` nanoseconds (MEMSHIM_POOL_FOREVER: without end) until another allocation is freed.
 * -ETIMEDOUT; -EINTR: a signal handler ran. */
int memshim_pool_alloc_blocking(memshim_pool *pool, uint64_t size, uint32_t type, uint64_t id, int64_t timeout,
                                struct memshim_allocation *ret);

/* Any process may free. -ENOENT: it was freed. */
int memshim_pool_free(memshim_pool *pool, const struct memshim_allocation *allocation);

/* Where the allocation lies in this process, up to the detach. -ENOENT: it was freed. */
int memshim_pool_memory(memshim_pool *pool, const struct memshim_allocation *allocation, void **ret);

/* All allocations, in the order of their addresses: fills up to *count, and sets it to how many there are. -ENOBUFS: that is
 * more. */
int memshim_pool_allocations(memshim_pool *pool, struct memshim_allocation *ret, size_t *count);

/* 1 or 0. */
int memshim_pool_exists(memshim_pool *pool, uint32_t type, uint64_t id);
int memshim_pool_find(memshim_pool *pool, uint32_t type, uint64_t id, struct memshim_allocation *ret);

int memshim_allocation_serialize(memshim_pool *pool, const struct memshim_allocation *allocation,
                                 uint8_t ret[MEMSHIM_ALLOCATION_SERIALIZED]);

/* Attaches to the pool of an allocation that a descriptor describes. *ret_pool is to be given to memshim_pool_detach. */
int memshim_allocation_attach(const void *serialized, size_t length, memshim_pool **ret_pool,
                              struct memshim_allocation *ret);

#ifdef __cplusplus
}
#endif

#endif
