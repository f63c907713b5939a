/* SPDX-License-Identifier: MIT */
#include "handle_block.h"

#include "compiler.h"

#include <string.h>

#define GUARD 16u /* keeps the alignment of malloc */
#define FORBIDDEN 0xFD
#define DEAD 0xDD
#define SEAL_MAX ((size_t)64 << 10)   /* contents up to this size are summed at each unlock */
#define FORMER_MAX ((size_t)64 << 10) /* larger former places are given back at once */

static uint8_t *take(size_t size, bool clear)
{
    if (size > (size_t)PTRDIFF_MAX - 2 * GUARD)
        return NULL;
    uint8_t *base = clear ? calloc(1, size + 2 * (size_t)GUARD) : malloc(size + 2 * (size_t)GUARD);

    if (base) {
        memset(base, FORBIDDEN, GUARD);
        memset(base + GUARD + size, FORBIDDEN, GUARD);
    }
    return base;
}

bool handle_block_init(struct handle_block *block, size_t size, bool clear)
{
    *block = (struct handle_block){.base = take(size, clear), .size = size};
    return block->base != NULL;
}

void handle_block_done(struct handle_block *block)
{
    free(block->base);
    free(block->former);
    *block = (struct handle_block){0};
}

void *handle_block_bytes(const struct handle_block *block)
{
    return block->base + GUARD;
}

bool handle_block_resize(struct handle_block *block, size_t size, bool clear, bool watch)
{
    uint8_t *moved = take(size, clear);

    if (!moved)
        return false;
    memcpy(moved + GUARD, block->base + GUARD, MIN(size, block->size));
    free(block->former);
    block->former = NULL;
    if (watch && block->size && block->size <= FORMER_MAX) {
        memset(block->base + GUARD, DEAD, block->size);
        block->former = block->base;
        block->former_size = block->size;
    } else {
        free(block->base);
    }
    block->base = moved;
    block->size = size;
    return true;
}

/* FNV-1a over words. */
static uint64_t sum_of(const uint8_t *bytes, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325u, word;

    for (; size >= sizeof(word); bytes += sizeof(word), size -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        sum = (sum ^ word) * 0x100000001b3u;
        sum ^= sum >> 32;
    }
    for (; size; bytes++, size--)
        sum = (sum ^ *bytes) * 0x100000001b3u;
    return sum;
}

void handle_block_seal(struct handle_block *block)
{
    block->summed = block->size <= SEAL_MAX;
    if (block->summed)
        block->sum = sum_of(block->base + GUARD, block->size);
}

void handle_block_unseal(struct handle_block *block)
{
    block->summed = false;
}

/* The first byte that is not `value`, or `size`; the bytes are set right. */
static size_t mend(uint8_t *bytes, size_t size, uint8_t value)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != value) {
            memset(bytes + i, value, size - i);
            return i;
        }
    }
    return size;
}

enum block_damage handle_block_check(struct handle_block *block, int64_t *ret_offset)
{
    size_t at = mend(block->base + GUARD + block->size, GUARD, FORBIDDEN);

    *ret_offset = (int64_t)(block->size + at);
    if (at < GUARD)
        return BLOCK_OVERRUN;
    at = mend(block->base, GUARD, FORBIDDEN);
    *ret_offset = (int64_t)at - (int64_t)GUARD;
    if (at < GUARD)
        return BLOCK_UNDERRUN;
    at = block->former ? mend(block->former + GUARD, block->former_size, DEAD) : 0;
    *ret_offset = (int64_t)at;
    if (block->former && at < block->former_size)
        return BLOCK_MOVED;
    *ret_offset = 0;
    if (block->summed && block->sum != sum_of(block->base + GUARD, block->size)) {
        handle_block_seal(block);
        return BLOCK_STALE;
    }
    return BLOCK_INTACT;
}
