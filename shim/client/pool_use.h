/* SPDX-License-Identifier: MIT
 *
 * What this process has of pools: mappings, one for each pool however often it is attached to, and the handles that programs
 * hold. A mapping stays while somebody holds it: handles, calls under way, memoryviews. Thread-safe. */
#ifndef CLIENT_POOL_USE_H
#define CLIENT_POOL_USE_H

#include "client_hooks.h"
#include "memshim/pool.h"
#include "pool_file.h"

#define POOL_KNOWN_STACKS 256u

struct pool_mapping {
    struct pool_view view;
    struct pool_name name;
    unsigned holders;
    struct {
        uint64_t trace;
        uint32_t place;
    } stacks[POOL_KNOWN_STACKS]; /* that were put into the pool from here, by trace; under its lock */
    struct pool_mapping *next;
};

struct memshim_pool {
    struct pool_mapping *mapping;
    int32_t pid;         /* that attached: a forked child has no attachment of its own */
    uint32_t attachment; /* in the header, or POOL_ATTACHMENTS: there was no room */
    struct memshim_object object;
    struct memshim_pool *next;
};

/* Makes a pool, or maps one (again), and the handle for it. */
int pool_use_create(struct pool_name *name, memshim_pool **ret);
int pool_use_attach(const struct pool_name *name, memshim_pool **ret);

/* Ends the use of a handle: it is none afterwards. */
int pool_use_end(memshim_pool *pool);

/* The mapping of a handle, held; NULL: it is no handle. To be given to pool_mapping_release. */
struct pool_mapping *pool_use_mapping(memshim_pool *pool);
void pool_mapping_hold(struct pool_mapping *mapping);
void pool_mapping_release(struct pool_mapping *mapping);

/* For those who cannot call memshim_pool_alloc_blocking, because the stack must be theirs: counts what may let an allocation succeed;
 * waits until that is no longer `seen` (as pool_wait does, -EBADF). In pool.c. */
uint32_t pool_freed(memshim_pool *pool);
int pool_wait_freed(memshim_pool *pool, uint32_t seen, int64_t left);

/* The caller's stack, if the shim is there: taken before the pool's lock, so that waiting for that is not in it. */
uint64_t pool_use_trace(void);

/* Its place among the pool's stacks, or 0. Under the lock. */
uint32_t pool_use_stack(struct pool_mapping *mapping, uint64_t trace);

#endif
