/* SPDX-License-Identifier: MIT
 *
 * Guard bytes (option guard): what surrounds and fills a block of `size` bytes at p, as CPython documents it for its debug
 * hooks. All numbers are big-endian, S = 8:
 *
 *     p - 32        p - 16        p - 8    p - 7      p                p + size     p + size + 8
 *     | our prefix  | size        | letter | 7 x FD   | size x CD (new)| 8 x FD     | serial number
 *
 * The letter says the domain: r, m, o, c (malloc and friends), n (new), N (new[]). Freed bytes are DD, up to the moment when
 * the memory is given back; what stands around them stays. Knows memory only: callable anywhere. */
#ifndef SHIM_GUARD_H
#define SHIM_GUARD_H

#include "block.h"
#include "compiler.h"
#include "ledger_format.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#define GUARD_SIDE 16u                             /* bytes on each side, without our prefix */
#define GUARD_DISTANCE (BLOCK_PREFIX + GUARD_SIDE) /* block_distance then */
#define GUARD_CLEAN 0xcd
#define GUARD_DEAD 0xdd
#define GUARD_FORBIDDEN 0xfd

/* The options guard and fill; constant after the constructor. */
extern _hidden_ bool guard_active, guard_fills;

/* Sets them, and the distances of block.h. */
void guard_init(bool active, bool fills);

/* Both sides of a block. */
struct guard_sides {
    uint8_t before[GUARD_SIDE];
    uint8_t after[GUARD_SIDE];
};

static inline void guard_read(const void *p, size_t size, struct guard_sides *sides)
{
    memcpy(sides->before, (const uint8_t *)p - GUARD_SIDE, GUARD_SIDE);
    memcpy(sides->after, (const uint8_t *)p + size, GUARD_SIDE);
}

/* Bytes that are not what they were. */
struct guard_damage {
    enum error_kind kind; /* ERROR_NONE: nothing is wrong */
    int64_t offset;       /* of the first one from p */
    uint32_t span;        /* from the first to the last one */
    uint32_t shown;
    uint8_t bytes[16]; /* from the first one on */
};

/* Looks at the sides of a block. Damage before the block comes first. The serial number is not known, only that it is not 0 and
 * not larger than `serial_limit`. */
struct guard_damage guard_examine(const struct guard_sides *sides, size_t size, enum block_domain domain,
                                  uint64_t serial_limit);

static inline uint64_t guard_load(const void *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

#define GUARD_FORBIDDEN_WORD 0xfdfdfdfdfdfdfdfdULL

/* The word at p - 8 for each domain: the letter is its first byte in memory. */
extern _hidden_ const uint64_t guard_letter_words[DOMAIN_COUNT];

/* True when both sides are as they were, but for the size: the fast way. */
static inline bool guard_intact_around(const void *p, size_t size, enum block_domain domain, uint64_t serial_limit)
{
    const uint8_t *bytes = p;

    return guard_load(bytes - 8) == guard_letter_words[domain] && guard_load(bytes + size) == GUARD_FORBIDDEN_WORD &&
           be64toh(guard_load(bytes + size + 8)) - 1 < serial_limit;
}

/* True when both sides are as they were. */
static inline bool guard_intact(const void *p, size_t size, enum block_domain domain, uint64_t serial_limit)
{
    return guard_load((const uint8_t *)p - 16) == htobe64(size) && guard_intact_around(p, size, domain, serial_limit);
}

static inline void guard_store(void *at, uint64_t word)
{
    memcpy(at, &word, sizeof(word));
}

/* Writes both sides. */
static inline void guard_dress(void *p, size_t size, enum block_domain domain, uint64_t serial)
{
    uint8_t *bytes = p;

    guard_store(bytes - 16, htobe64(size));
    guard_store(bytes - 8, guard_letter_words[domain]);
    guard_store(bytes + size, GUARD_FORBIDDEN_WORD);
    guard_store(bytes + size + 8, htobe64(serial));
}

/* The same for a block in the debug hooks of CPython, which have no serial number there. */
struct guard_damage guard_examine_debug(const struct guard_sides *sides, size_t size, enum block_domain domain);

/* The first byte of [bytes, bytes + size) that is not `value`, or `size`. */
size_t guard_find_other(const uint8_t *bytes, size_t size, uint8_t value);

/* What differs from `value` in the bytes at `bytes`, which lie `offset` behind the start of their block: damage of `kind`. */
struct guard_damage guard_examine_fill(const uint8_t *bytes, size_t size, uint8_t value, enum error_kind kind,
                                       int64_t offset);

/* What was written to freed bytes. */
static inline struct guard_damage guard_examine_dead(const uint8_t *bytes, size_t size, uint64_t offset)
{
    return guard_examine_fill(bytes, size, GUARD_DEAD, ERROR_USE_AFTER_FREE, (int64_t)offset);
}

/* The size that stands before a block whose record is not at hand. */
size_t guard_stated_size(const void *p);

/* Whether the bytes before `p` look like guard bytes. */
bool guard_seems_dressed(const void *p);

/* Small blocks are looked at and filled in four pieces that overlap, and without a branch that depends on the size: sizes come in no
 * order, and a branch that is not foreseen costs more than all of this. What is shorter than a piece, in two halves. */
#define GUARD_PIECE 32u
#define GUARD_HALF (GUARD_PIECE / 2)
#define GUARD_PIECES_MAX (4 * GUARD_PIECE)

typedef uint64_t guard_half __attribute__((vector_size(GUARD_HALF)));
typedef uint64_t guard_piece __attribute__((vector_size(GUARD_PIECE)));

/* Where the pieces of a block of GUARD_PIECE to GUARD_PIECES_MAX bytes begin. The first one: 0. */
struct guard_pieces {
    size_t second, third, last;
};

static _always_inline_ struct guard_pieces guard_cut(size_t size)
{
    size_t last = size - GUARD_PIECE;

    return (struct guard_pieces){MIN(last, GUARD_PIECE), MAX(last, GUARD_PIECE) - GUARD_PIECE, last};
}

static _always_inline_ bool guard_is_half(size_t size)
{
    return size - GUARD_HALF < GUARD_HALF;
}

static _always_inline_ bool guard_is_pieces(size_t size)
{
    return size - GUARD_PIECE <= GUARD_PIECES_MAX - GUARD_PIECE;
}

/* Adds to *other, bit by bit, what differs from `wanted` in the piece at `at`. */
static _always_inline_ void guard_compare(guard_piece *other, const uint8_t *at, uint64_t wanted)
{
    guard_piece found;

    memcpy(&found, at, sizeof(found));
    *other |= found ^ wanted;
}

static _always_inline_ bool guard_is_zero(const guard_piece *piece)
{
#ifdef __AVX2__
    return _mm256_testz_si256((__m256i)*piece, (__m256i)*piece);
#else
    guard_half halves[2];

    memcpy(halves, piece, sizeof(halves));
    halves[0] |= halves[1];
    return !(halves[0][0] | halves[0][1]);
#endif
}

static _always_inline_ bool guard_is_filled_half(const uint8_t *bytes, size_t size, uint64_t wanted)
{
    guard_half first, last;

    memcpy(&first, bytes, sizeof(first));
    memcpy(&last, bytes + size - GUARD_HALF, sizeof(last));
    first = (first ^ wanted) | (last ^ wanted);
    return !(first[0] | first[1]);
}

/* Whether all of [bytes, bytes + size) is `value`. */
static _always_inline_ bool guard_is_filled(const uint8_t *bytes, size_t size, uint8_t value)
{
    const uint64_t wanted = value * 0x0101010101010101ULL;

    if (guard_is_half(size))
        return guard_is_filled_half(bytes, size, wanted);
    if (unlikely(!guard_is_pieces(size)))
        return guard_find_other(bytes, size, value) == size;
    struct guard_pieces pieces = guard_cut(size);
    guard_piece other = {0};
    guard_compare(&other, bytes, wanted);
    guard_compare(&other, bytes + pieces.second, wanted);
    guard_compare(&other, bytes + pieces.third, wanted);
    guard_compare(&other, bytes + pieces.last, wanted);
    return guard_is_zero(&other);
}

/* Fills a block. */
static _always_inline_ void guard_fill(void *p, uint8_t value, size_t size)
{
    uint8_t *at = p;

    if (unlikely(!guard_fills))
        return;
    if (guard_is_half(size)) {
        memset(at, value, GUARD_HALF);
        memset(at + size - GUARD_HALF, value, GUARD_HALF);
        return;
    }
    if (unlikely(!guard_is_pieces(size))) {
        memset(p, value, size);
        return;
    }
    const uint64_t word = value * 0x0101010101010101ULL;
    const guard_piece piece = {word, word, word, word};
    struct guard_pieces pieces = guard_cut(size);
    memcpy(at, &piece, GUARD_PIECE);
    memcpy(at + pieces.second, &piece, GUARD_PIECE);
    memcpy(at + pieces.third, &piece, GUARD_PIECE);
    memcpy(at + pieces.last, &piece, GUARD_PIECE);
}

#endif
