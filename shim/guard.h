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

#include "compiler.h"
#include "ledger_format.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define GUARD_SIDE 16u /* bytes on each side, without our prefix */
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

/* True when both sides are as they were: the fast way. */
static inline bool guard_intact(const void *p, size_t size, enum block_domain domain, uint64_t serial_limit)
{
    const uint8_t *bytes = p;

    return guard_load(bytes - 16) == htobe64(size) && guard_load(bytes - 8) == guard_letter_words[domain] &&
           guard_load(bytes + size) == GUARD_FORBIDDEN_WORD && be64toh(guard_load(bytes + size + 8)) - 1 < serial_limit;
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

/* Small blocks are looked at and filled in pieces of 16 bytes that overlap, and without a branch that depends on the size: sizes
 * come in no order, and a branch that is not foreseen costs more than all of this. Of a block of 16 to 64 bytes the pieces
 * begin at: */
#define GUARD_PIECE 16u
#define GUARD_SMALL_MAX 64u
#define GUARD_MIDDLE_MAX 128u

struct guard_pieces {
    size_t second, third, last; /* the first one: 0 */
};

static _always_inline_ struct guard_pieces guard_cut(size_t size)
{
    size_t last = size - GUARD_PIECE;

    return (struct guard_pieces){MIN(last, GUARD_PIECE), MAX(last, GUARD_PIECE) - GUARD_PIECE, last};
}

/* Two words at once, where the machine can do that. */
typedef uint64_t guard_pair __attribute__((vector_size(GUARD_PIECE)));

/* 0 where the piece at `at` consists of `value`. */
static _always_inline_ guard_pair guard_differs(const uint8_t *at, guard_pair value)
{
    guard_pair found;

    memcpy(&found, at, sizeof(found));
    return found ^ value;
}

/* Whether all of [bytes, bytes + size) is `value`. */
static _always_inline_ bool guard_is_filled(const uint8_t *bytes, size_t size, uint8_t value)
{
    const guard_pair wanted = (guard_pair){0, 0} + (uint64_t)(value * 0x0101010101010101ULL);

    if (unlikely(size - GUARD_PIECE > GUARD_MIDDLE_MAX - GUARD_PIECE))
        return guard_find_other(bytes, size, value) == size;
    struct guard_pieces pieces = guard_cut(size);
    guard_pair other = guard_differs(bytes, wanted) | guard_differs(bytes + pieces.second, wanted) |
                       guard_differs(bytes + pieces.third, wanted) | guard_differs(bytes + pieces.last, wanted);
    if (size > GUARD_SMALL_MAX)
        other |= guard_differs(bytes + 32, wanted) | guard_differs(bytes + 48, wanted) |
                 guard_differs(bytes + size - 64, wanted) | guard_differs(bytes + size - 48, wanted);
    return !(other[0] | other[1]);
}

/* Fills a block. */
static _always_inline_ void guard_fill(void *p, uint8_t value, size_t size)
{
    uint8_t *at = p;

    if (unlikely(!guard_fills))
        return;
    if (unlikely(size - GUARD_PIECE > GUARD_MIDDLE_MAX - GUARD_PIECE)) {
        memset(p, value, size);
        return;
    }
    struct guard_pieces pieces = guard_cut(size);
    memset(at, value, GUARD_PIECE);
    memset(at + pieces.second, value, GUARD_PIECE);
    memset(at + pieces.third, value, GUARD_PIECE);
    memset(at + pieces.last, value, GUARD_PIECE);
    if (size > GUARD_SMALL_MAX) {
        memset(at + 32, value, GUARD_PIECE);
        memset(at + 48, value, GUARD_PIECE);
        memset(at + size - 64, value, GUARD_PIECE);
        memset(at + size - 48, value, GUARD_PIECE);
    }
}

#endif
