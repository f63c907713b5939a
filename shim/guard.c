/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include "block.h"

#define LETTER_WORD(letter) ((GUARD_FORBIDDEN_WORD & ~0xffULL) | (letter))

const uint64_t guard_letter_words[DOMAIN_COUNT] = {
    [DOMAIN_MALLOC] = LETTER_WORD('c'), [DOMAIN_RAW] = LETTER_WORD('r'), [DOMAIN_MEM] = LETTER_WORD('m'),
    [DOMAIN_OBJ] = LETTER_WORD('o'),    [DOMAIN_NEW] = LETTER_WORD('n'), [DOMAIN_NEW_ARRAY] = LETTER_WORD('N'),
    [DOMAIN_MMAP] = LETTER_WORD('p'),
};

bool guard_active, guard_fills;

void guard_init(bool active, bool fills)
{
    guard_active = active;
    guard_fills = active && fills;
    block_distance = BLOCK_PREFIX + (active ? GUARD_SIDE : 0);
    block_trailer = active ? GUARD_SIDE : 0;
    block_template = (uint64_t)__builtin_ctz(block_distance) << BLOCK_PADDING_SHIFT;
}

static bool serial_possible(uint64_t stored, uint64_t serial_limit)
{
    return be64toh(stored) - 1 < serial_limit;
}

/* The difference between what is and what should be, `offset` being that of the first byte from p. */
static struct guard_damage compare(const uint8_t *is, const uint8_t *should, size_t size, enum error_kind kind,
                                   int64_t offset)
{
    struct guard_damage damage = {.kind = ERROR_NONE};
    size_t first = 0, last = size;

    while (first < size && is[first] == should[first])
        first++;
    if (first == size)
        return damage;
    while (is[last - 1] == should[last - 1])
        last--;
    damage.kind = kind;
    damage.offset = offset + (int64_t)first;
    damage.span = (uint32_t)(last - first);
    damage.shown = MIN(damage.span, (uint32_t)sizeof(damage.bytes));
    memcpy(damage.bytes, is + first, damage.shown);
    return damage;
}

struct guard_damage guard_examine(const struct guard_sides *sides, size_t size, enum block_domain domain,
                                  uint64_t serial_limit)
{
    struct guard_sides should;

    guard_store(should.before, htobe64(size));
    guard_store(should.before + 8, guard_letter_words[domain]);
    guard_store(should.after, GUARD_FORBIDDEN_WORD);
    memcpy(should.after + 8, sides->after + 8, 8);
    if (!serial_possible(guard_load(sides->after + 8), serial_limit))
        memset(should.after + 8, 0, 8);
    struct guard_damage damage =
        compare(sides->before, should.before, GUARD_SIDE, ERROR_UNDERFLOW, -(int64_t)GUARD_SIDE);
    if (damage.kind)
        return damage;
    return compare(sides->after, should.after, GUARD_SIDE, ERROR_OVERFLOW, (int64_t)size);
}

struct guard_damage guard_examine_debug(const struct guard_sides *sides, size_t size, enum block_domain domain)
{
    struct guard_sides with_serial = *sides;

    guard_store(with_serial.after + 8, htobe64(1));
    return guard_examine(&with_serial, size, domain, UINT64_MAX);
}

size_t guard_find_other(const uint8_t *bytes, size_t size, uint8_t value)
{
    if (size == 0 || bytes[0] != value)
        return 0;
    if (memcmp(bytes, bytes + 1, size - 1) == 0)
        return size;
    size_t at = 1;
    while (bytes[at] == value)
        at++;
    return at;
}

struct guard_damage guard_examine_fill(const uint8_t *bytes, size_t size, uint8_t value, enum error_kind kind,
                                       int64_t offset)
{
    struct guard_damage damage = {.kind = ERROR_NONE};
    size_t first = guard_find_other(bytes, size, value), last = size;

    if (first == size)
        return damage;
    while (bytes[last - 1] == value)
        last--;
    damage.kind = kind;
    damage.offset = offset + (int64_t)first;
    damage.span = (uint32_t)(last - first);
    damage.shown = MIN(damage.span, (uint32_t)sizeof(damage.bytes));
    memcpy(damage.bytes, bytes + first, damage.shown);
    return damage;
}

size_t guard_stated_size(const void *p)
{
    return be64toh(guard_load((const uint8_t *)p - 16));
}

bool guard_seems_dressed(const void *p)
{
    return (guard_load((const uint8_t *)p - 8) & ~0xffULL) == (GUARD_FORBIDDEN_WORD & ~0xffULL);
}
