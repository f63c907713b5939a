/* SPDX-License-Identifier: MIT */
#include "block.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

static const struct block_ref sample = {
    .record = 0xfedcba98, .process = 0xabcd, .allocator = 63, .domain = DOMAIN_NEW_ARRAY, .padding_log = 40};

Test(block, packing_keeps_every_field)
{
    uint64_t ref = block_pack(sample);

    cr_expect_eq(block_record(ref), sample.record);
    cr_expect_eq(block_process(ref), sample.process);
    cr_expect_eq(block_allocator(ref), sample.allocator);
    cr_expect_eq(block_domain_of(ref), sample.domain);
    cr_expect_eq(block_padding(ref), (size_t)1 << sample.padding_log);
}

Test(block, a_marked_block_is_found_and_an_unmarked_one_not)
{
    _Alignas(16) uint8_t memory[64] = {0};

    block_secret = 12345;
    cr_expect(!block_find(memory + 16));
    block_mark(memory + 16, block_pack(sample), 7);
    cr_expect_eq(block_find(memory + 16), block_pack(sample));
    block_unmark(memory + 16);
    cr_expect(!block_find(memory + 16));
}

Test(block, a_copy_of_a_prefix_is_worth_nothing_elsewhere)
{
    _Alignas(16) uint8_t memory[64] = {0};

    block_mark(memory + 16, block_pack(sample), 32);
    memcpy(memory + 32, memory, 16);
    cr_expect(!block_find(memory + 48));
}

Test(block, every_changed_bit_of_the_prefix_is_noticed)
{
    _Alignas(16) uint8_t memory[32];

    block_mark(memory + 16, block_pack(sample), 32);
    for (unsigned bit = 0; bit < 128; bit++) {
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect(!block_find(memory + 16), "bit %u", bit);
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(block, a_pointer_behind_an_unreadable_page_is_foreign)
{
    uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert(pages != MAP_FAILED);
    cr_expect(block_prefix_readable(pages + 4096));
    cr_assert_eq(mprotect(pages, 4096, PROT_NONE), 0);
    cr_expect(!block_prefix_readable(pages + 4096));
    cr_expect(!block_find(pages + 4096));
}

Test(block, unaligned_pointers_are_foreign)
{
    _Alignas(16) uint8_t memory[64] = {0};

    for (unsigned shift = 1; shift < 16; shift++)
        cr_expect(!block_find(memory + 16 + shift));
}
