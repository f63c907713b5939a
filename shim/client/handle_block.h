/* SPDX-License-Identifier: MIT
 *
 * The memory behind a handle: guard bytes around it, a check sum of its contents while nobody may touch them, and its former
 * places while somebody still might. What is wrong is said, not reported: that is the caller's. Not thread-safe. */
#ifndef CLIENT_HANDLE_BLOCK_H
#define CLIENT_HANDLE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handle_block {
    uint8_t *base; /* of the malloc'ed block: guard bytes, the program's bytes, guard bytes */
    size_t size;   /* the program's */
    uint64_t sum;  /* of the contents at the last unlock */
    bool summed;
    uint8_t *former; /* where the block was before the last resize, filled */
    size_t former_size;
};

enum block_damage {
    BLOCK_INTACT = 0,
    BLOCK_OVERRUN,  /* bytes behind the end changed */
    BLOCK_UNDERRUN, /* bytes before the start changed */
    BLOCK_STALE,    /* the contents changed while the handle was not locked */
    BLOCK_MOVED,    /* the block was written to where it lay before a resize */
};

/* Returns false when there is no memory. */
bool handle_block_init(struct handle_block *block, size_t size, bool clear);
void handle_block_done(struct handle_block *block);

void *handle_block_bytes(const struct handle_block *block);

/* Moves the contents to a new place of `size` bytes. Returns false when there is no memory; nothing has changed then. With
 * `watch` the old place is kept and filled, to see who still writes there. */
bool handle_block_resize(struct handle_block *block, size_t size, bool clear, bool watch);

/* Remembers the contents: the last lock is gone. */
void handle_block_seal(struct handle_block *block);
/* They may change again. */
void handle_block_unseal(struct handle_block *block);

/* Looks at everything, mends what is wrong so that it is found once, and returns the first finding; *ret_offset receives where,
 * in bytes from the start of the block. */
enum block_damage handle_block_check(struct handle_block *block, int64_t *ret_offset);

#endif
