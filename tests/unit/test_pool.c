/* SPDX-License-Identifier: MIT
 *
 * Shared pools from the inside: the allocator against a model, free space made anew from the manifest, descriptors that were
 * tampered with. */
#include "memshim/pool.h"
#include "pool_heap.h"
#include "pool_stack.h"
#include "pool_use.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE ((uint64_t)1 << 20)

static memshim_pool *pool;
static char name[64];

static void set_up(void)
{
    snprintf(name, sizeof(name), "memshim-unit-%d", (int)getpid());
    cr_assert_eq(memshim_pool_create(SIZE, name, 7, &pool), 0);
}

static void tear_down(void)
{
    if (pool)
        cr_expect_eq(memshim_pool_destroy(pool), 0);
    shm_unlink(name);
}

TestSuite(pool, .init = set_up, .fini = tear_down);

static uint64_t random_state = 88172645463325252u;

static uint64_t draw(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

/* Sizes as programs have them: most are small. */
static uint64_t draw_size(void)
{
    return 1 + draw(1ull << (4 + draw(13)));
}

static void assert_sound(void)
{
    cr_assert_eq(memshim_pool_check(pool), 0);
}

static uint64_t used(void)
{
    struct memshim_pool_stats stats;
    cr_assert_eq(memshim_pool_stats(pool, &stats), 0);
    return stats.used;
}

Test(pool, all_of_it_in_one_piece)
{
    struct memshim_allocation allocation, other;

    cr_assert_eq(memshim_pool_alloc(pool, SIZE, 1, 0, &allocation), 0);
    cr_assert_eq(memshim_pool_alloc(pool, 1, 1, 0, &other), -ENOMEM);
    cr_assert_eq(memshim_pool_alloc(pool, SIZE + 1, 1, 0, &other), -E2BIG);
    assert_sound();
    cr_assert_eq(memshim_pool_free(pool, &allocation), 0);
    cr_assert_eq(memshim_pool_free(pool, &allocation), -ENOENT);
    cr_assert_eq(used(), 0);
    assert_sound();
}

/* No two allocations overlap, their bytes stay, and everything comes back. */
Test(pool, against_a_model)
{
    enum { COUNT = 200 };
    struct memshim_allocation allocations[COUNT] = {{0}};

    for (int round = 0; round < 20000; round++) {
        unsigned i = (unsigned)draw(COUNT);
        struct memshim_allocation *allocation = &allocations[i];
        uint8_t *bytes;
        if (!allocation->serial) {
            int result = memshim_pool_alloc(pool, draw_size(), 1 + i % 3, 0, allocation);
            cr_assert(result == 0 || result == -ENOMEM);
            if (result)
                continue;
            cr_assert_eq(memshim_pool_memory(pool, allocation, (void **)&bytes), 0);
            cr_assert_eq((uintptr_t)bytes % 64, 0);
            memset(bytes, (int)i, allocation->size);
            continue;
        }
        cr_assert_eq(memshim_pool_memory(pool, allocation, (void **)&bytes), 0);
        for (uint64_t at = 0; at < allocation->size; at++)
            cr_assert_eq(bytes[at], (uint8_t)i);
        cr_assert_eq(memshim_pool_free(pool, allocation), 0);
        allocation->serial = 0;
        if (round % 16 == 0)
            assert_sound();
    }
    for (unsigned i = 0; i < COUNT; i++)
        if (allocations[i].serial)
            cr_assert_eq(memshim_pool_free(pool, &allocations[i]), 0);
    assert_sound();
    cr_assert_eq(used(), 0);
    struct memshim_pool_stats stats;
    cr_assert_eq(memshim_pool_stats(pool, &stats), 0);
    cr_expect_eq(stats.largest_free, SIZE);
}

/* Whatever the lists held, they are the same after a rebuild as the manifest says. */
Test(pool, rebuilt_from_the_manifest)
{
    struct memshim_allocation allocations[300], listed[300];
    struct pool_mapping *mapping = pool_use_mapping(pool);
    struct pool_view *view = &mapping->view;
    size_t count = 0;

    for (int i = 0; i < 300; i++)
        cr_assert_eq(memshim_pool_alloc(pool, 1 + draw(2000), 1, 0, &allocations[i]), 0);
    for (int i = 0; i < 300; i++)
        if (draw(2))
            cr_assert_eq(memshim_pool_free(pool, &allocations[i]), 0);
        else
            allocations[count++] = allocations[i];
    uint64_t before = used();
    memset(view->header->lists, 0xa5, sizeof(view->header->lists));
    memset(view->header->buckets, 0xa5, sizeof(view->header->buckets));
    view->header->powers = ~0ull;
    view->header->unused = 77777777;
    cr_expect_eq(memshim_pool_check(pool), -EUCLEAN);
    pool_heap_rebuild(view);
    assert_sound();
    cr_expect_eq(used(), before);
    size_t room = 300;
    cr_assert_eq(memshim_pool_allocations(pool, listed, &room), 0);
    cr_assert_eq(room, count);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(memshim_pool_exists(pool, 1, allocations[i].id), 1);
        cr_expect_eq(memshim_pool_free(pool, &allocations[i]), 0);
    }
    cr_expect_eq(used(), 0);
    pool_mapping_release(mapping);
}

/* A manifest that was scribbled over loses what makes no sense, and nothing else. */
Test(pool, chunks_that_make_no_sense)
{
    struct memshim_allocation allocations[3];
    struct pool_mapping *mapping = pool_use_mapping(pool);
    struct pool_view *view = &mapping->view;

    for (int i = 0; i < 3; i++)
        cr_assert_eq(memshim_pool_alloc(pool, 1000, 1, 0, &allocations[i]), 0);
    pool_chunk(view, allocations[0].place)->size = SIZE * 2;
    pool_chunk(view, allocations[1].place)->offset = pool_chunk(view, allocations[2].place)->offset + 64;
    pool_heap_rebuild(view);
    assert_sound();
    cr_expect_eq(view->header->damaged, 2);
    cr_expect_eq(memshim_pool_exists(pool, 1, allocations[2].id), 1);
    cr_expect_eq(memshim_pool_free(pool, &allocations[0]), -ENOENT);
    pool_mapping_release(mapping);
}

/* The manifest grows as it is needed, and when it is full pieces are not split any more. */
Test(pool, more_allocations_than_the_manifest_has_room_for)
{
    struct memshim_allocation allocation;
    uint64_t count = 0;

    while (memshim_pool_alloc(pool, 1, 1, 0, &allocation) == 0)
        count++;
    cr_expect_geq(count, SIZE / 128);
    assert_sound();
    for (uint64_t id = 1; id <= count; id++) {
        cr_assert_eq(memshim_pool_find(pool, 1, id, &allocation), 0);
        cr_assert_eq(memshim_pool_free(pool, &allocation), 0);
    }
    assert_sound();
    cr_expect_eq(used(), 0);
}

Test(pool, types_and_ids)
{
    struct memshim_allocation allocation, found;

    cr_assert_eq(memshim_pool_alloc(pool, 10, 5, 42, &allocation), 0);
    cr_expect_eq(memshim_pool_alloc(pool, 10, 5, 42, &found), -EEXIST);
    cr_expect_eq(memshim_pool_alloc(pool, 10, 6, 42, &found), 0);
    cr_expect_eq(memshim_pool_exists(pool, 5, 42), 1);
    cr_expect_eq(memshim_pool_exists(pool, 5, 43), 0);
    cr_assert_eq(memshim_pool_find(pool, 5, 42, &found), 0);
    cr_expect_eq(found.serial, allocation.serial);
    cr_expect_eq(memshim_pool_alloc(pool, 10, 0, 0, &found), -EINVAL);
    cr_expect_eq(memshim_pool_alloc(pool, 0, 1, 0, &found), -EINVAL);
    cr_assert_eq(memshim_pool_alloc(pool, 10, 1, 1, &found), 0);
    cr_assert_eq(memshim_pool_alloc(pool, 10, 1, 0, &found), 0);
    cr_expect_neq(found.id, 1);
}

Test(pool, names_that_cannot_be)
{
    const char *bad[] = {"", "/", "a/b", "..", ".", "a\nb", NULL};
    char longest[300];
    memshim_pool *other = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(memshim_pool_create(4096, bad[i], 0, &other), -EINVAL, "%zu", i);
    memset(longest, 'x', sizeof(longest));
    longest[299] = '\0';
    cr_expect_eq(memshim_pool_create(4096, longest, 0, &other), -EINVAL);
    cr_expect_eq(memshim_pool_create(0, "memshim-unit-0", 0, &other), -EINVAL);
    cr_expect_eq(memshim_pool_create(UINT64_MAX, "memshim-unit-0", 0, &other), -EINVAL);
    cr_expect_eq(memshim_pool_create(4096, name, 0, &other), -EEXIST);
}

/* Every byte of a descriptor counts, and every length but the right one is wrong. */
Test(pool, damaged_descriptors)
{
    uint8_t bytes[MEMSHIM_ALLOCATION_SERIALIZED + 1] = {0}, changed[sizeof(bytes)];
    struct memshim_allocation allocation, found;
    memshim_pool *other;

    cr_assert_eq(memshim_pool_serialize(pool, bytes), 0);
    for (size_t length = 0; length <= sizeof(bytes); length++)
        if (length != MEMSHIM_POOL_SERIALIZED)
            cr_expect_eq(memshim_pool_attach(bytes, length, &other), -EINVAL);
    for (size_t at = 0; at < MEMSHIM_POOL_SERIALIZED; at++) {
        memcpy(changed, bytes, sizeof(bytes));
        changed[at] ^= (uint8_t)(1 + draw(255));
        cr_expect_eq(memshim_pool_attach(changed, MEMSHIM_POOL_SERIALIZED, &other), -EINVAL, "byte %zu", at);
    }
    cr_assert_eq(memshim_pool_alloc(pool, 100, 1, 0, &allocation), 0);
    cr_assert_eq(memshim_allocation_serialize(pool, &allocation, bytes), 0);
    for (size_t at = 0; at < MEMSHIM_ALLOCATION_SERIALIZED; at++) {
        memcpy(changed, bytes, sizeof(bytes));
        changed[at] ^= (uint8_t)(1 + draw(255));
        cr_expect_eq(memshim_allocation_attach(changed, MEMSHIM_ALLOCATION_SERIALIZED, &other, &found), -EINVAL);
    }
    cr_assert_eq(memshim_allocation_attach(bytes, MEMSHIM_ALLOCATION_SERIALIZED, &other, &found), 0);
    cr_expect_eq(found.serial, allocation.serial);
    cr_expect_eq(memshim_pool_detach(other), 0);
    cr_expect_eq(memshim_pool_detach(other), -EBADF);
    cr_expect_eq(memshim_pool_free(pool, &allocation), 0);
    cr_expect_eq(memshim_allocation_attach(bytes, MEMSHIM_ALLOCATION_SERIALIZED, &other, &found), -ENOENT);
}

/* A descriptor in order, of a pool that is another one by now, or of a file that is none. */
Test(pool, descriptors_of_what_is_not_there)
{
    uint8_t bytes[MEMSHIM_POOL_SERIALIZED];
    memshim_pool *other;

    cr_assert_eq(memshim_pool_serialize(pool, bytes), 0);
    cr_assert_eq(memshim_pool_destroy(pool), 0);
    pool = NULL;
    cr_expect_eq(memshim_pool_attach(bytes, sizeof(bytes), &other), -ENOENT);
    int fd = shm_open(name, O_RDWR | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    cr_expect_eq(memshim_pool_attach(bytes, sizeof(bytes), &other), -EINVAL);
    cr_assert_eq(write(fd, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    cr_expect_eq(memshim_pool_attach(bytes, sizeof(bytes), &other), -EINVAL);
    cr_assert_eq(ftruncate(fd, 100 << 20), 0);
    cr_expect_eq(memshim_pool_attach(bytes, sizeof(bytes), &other), -EINVAL);
    close(fd);
    shm_unlink(name);
    cr_assert_eq(memshim_pool_create(SIZE, name, 7, &pool), 0);
    cr_expect_eq(memshim_pool_attach(bytes, sizeof(bytes), &other), -ESTALE);
}

Test(pool, handles_that_are_none)
{
    struct memshim_allocation allocation = {.place = 1u << 30, .serial = 5};
    memshim_pool *gone = pool;
    void *p;

    cr_expect_eq(memshim_pool_free(pool, &allocation), -ENOENT);
    cr_expect_eq(memshim_pool_memory(pool, &allocation, &p), -ENOENT);
    cr_expect_eq(memshim_pool_free(NULL, &allocation), -EINVAL);
    cr_expect_eq(memshim_pool_free(pool, NULL), -EINVAL);
    cr_assert_eq(memshim_pool_destroy(pool), 0);
    pool = NULL;
    cr_expect_eq(memshim_pool_alloc(gone, 1, 1, 0, &allocation), -EBADF);
    cr_expect_eq(memshim_pool_destroy(gone), -EBADF);
}

Test(pool, waiting_has_an_end)
{
    struct memshim_allocation all, more;

    cr_assert_eq(memshim_pool_alloc(pool, SIZE, 1, 0, &all), 0);
    cr_expect_eq(memshim_pool_alloc_blocking(pool, 64, 1, 0, 0, &more), -ETIMEDOUT);
    cr_expect_eq(memshim_pool_alloc_blocking(pool, 64, 1, 0, 30000000, &more), -ETIMEDOUT);
    cr_expect_eq(memshim_pool_alloc_blocking(pool, SIZE + 1, 1, 0, MEMSHIM_POOL_FOREVER, &more), -E2BIG);
}

Test(pool, stacks_are_kept_once)
{
    struct pool_mapping *mapping = pool_use_mapping(pool);
    size_t length;
    uint32_t one = pool_stack_put(&mapping->view, "n\ta\tb\t0x1\n", 10);
    uint32_t two = pool_stack_put(&mapping->view, "p\tx.py\tf\t3\n", 11);

    cr_expect_neq(one, 0);
    cr_expect_neq(one, two);
    cr_expect_eq(pool_stack_put(&mapping->view, "n\ta\tb\t0x1\n", 10), one);
    cr_expect_eq(memcmp(pool_stack_get(&mapping->view, two, &length), "p\tx.py\tf\t3\n", 11), 0);
    cr_expect_eq(length, 11);
    cr_expect_null(pool_stack_get(&mapping->view, 12345678, &length));
    pool_mapping_release(mapping);
}
