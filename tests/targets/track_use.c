/* SPDX-License-Identifier: MIT
 *
 * A custom allocator that says what it does (memshim_track): the memory of its chunk comes from where the argument says. Of the 20
 * items of 100 bytes 5 are kept by pointers to them, 3 by items, 2 by the middle; 4 are given back, 6 are lost. */
#include "target.h"

#include "memshim/memshim.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define ITEMS 20
#define SIZE 100
#define CHUNK 65536

struct chunk {
    struct chunk *self;
    void *all[ITEMS]; /* the allocator's list: keeps nothing in use */
    char *outside;    /* a block that only this memory knows */
    size_t used, count;
};

static struct chunk *chunk;
static char space[CHUNK] __attribute__((aligned(4096)));
static unsigned domain;
static char *volatile kept[5], *volatile middles[2];

VISIBLE static char *item_new(void)
{
    char *item = (char *)chunk + chunk->used;
    chunk->used += 112;
    if ((char *)chunk != space) /* of data it is not known what is an allocator's */
        chunk->all[chunk->count++] = item;
    if (memshim_track)
        memshim_track(domain, item, SIZE);
    return item;
}

VISIBLE static void item_free(char *item)
{
    if (memshim_untrack)
        memshim_untrack(domain, item);
}

VISIBLE static void *chunk_new(const char *where)
{
    void *memory = strcmp(where, "malloc") == 0 ? calloc(1, CHUNK)
                   : strcmp(where, "static") == 0
                       ? space
                       : mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NO_TAIL_CALL();
    return memory;
}

VISIBLE static void lost_items(int count)
{
    for (int i = 0; i < count; i++)
        item_new();
    NO_TAIL_CALL();
}

VISIBLE static char *outside_new(void)
{
    char *block = use(malloc(77));
    NO_TAIL_CALL();
    return block;
}

VISIBLE static void work(const char *where)
{
    chunk = chunk_new(where);
    chunk->self = chunk;
    chunk->used = sizeof(*chunk);
    chunk->outside = outside_new();
    for (int i = 0; i < 5; i++)
        kept[i] = item_new();
    for (int i = 0; i < 3; i++)
        *(char **)kept[i] = item_new();
    for (int i = 0; i < 2; i++)
        middles[i] = item_new() + 50;
    lost_items(6);
    for (int i = 0; i < 4; i++) { /* last: they leave no address of a lost one behind */
        char *item = item_new();
        *(char **)item = NULL;
        item_free(item);
    }
}

/* What is called a block of a domain has one record. */
VISIBLE static void *named_new(size_t size)
{
    void *block = use(malloc(size));
    NO_TAIL_CALL();
    return block;
}

static void *volatile named[3];

static int name_blocks(void)
{
    for (int i = 0; i < 3; i++) {
        named[i] = named_new(500);
        if (memshim_track(domain, named[i], 500))
            return 1;
    }
    free(named[0]);
    memshim_untrack(domain, named[1]);
    return 0;
}

static int errors(void)
{
    int here;

    return memshim_track(domain, NULL, 1) != -EINVAL || memshim_track(domain, &here, SIZE_MAX) != -EINVAL ||
           memshim_untrack(domain, &here) != -ENOENT || memshim_domain(NULL) || memshim_domain("") ||
           memshim_domain("obj") || memshim_domain("a\nb") || memshim_domain("arena") != domain ||
           memshim_track(7, &here, sizeof(here)) || memshim_untrack(domain, &here) != -ENOENT ||
           memshim_untrack(7, &here) || memshim_untrack(7, &here) != -ENOENT;
}

/* Addresses of which nothing can be read. */
static int devices(void)
{
    char *device = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memshim_track(12, device, 8192) || memshim_track(12, device + 5, 10))
        return 1;
    munmap(device, 8192);
    return memshim_untrack(12, device) || memshim_untrack(12, device + 5);
}

/* ---- pools ---- */

struct stats {
    unsigned long long blocks, bytes;
};

static struct stats stats_now(void)
{
    struct memshim_stats stats;

    memshim_get_stats(&stats, sizeof(stats));
    return (struct stats){stats.live_blocks, stats.live_bytes};
}

static bool moved(struct stats *from, long long blocks, long long bytes)
{
    struct stats now = stats_now();
    bool as_wanted = (long long)(now.blocks - from->blocks) == blocks && (long long)(now.bytes - from->bytes) == bytes;

    *from = now;
    return as_wanted;
}

VISIBLE static int pool_alloc(void *pool, void *p, size_t size)
{
    int result = memshim_mempool_alloc(pool, p, size);
    NO_TAIL_CALL();
    return result;
}

static void pool_errors(void *pool)
{
    CHECK(memshim_mempool_create(domain, NULL) == -EINVAL && memshim_mempool_create(domain, pool) == -EEXIST);
    CHECK(pool_alloc(pool, NULL, 1) == -EINVAL && pool_alloc(&pool, space, 1) == -ENOENT);
    CHECK(memshim_mempool_free(pool, space + 5) == -ENOENT && memshim_mempool_free(&pool, space) == -ENOENT);
    CHECK(memshim_mempool_trim(&pool, space, 1) == -ENOENT && memshim_mempool_destroy(&pool) == -ENOENT);
}

static void trim(void *pool)
{
    struct stats stats = stats_now();

    for (int i = 0; i < 10; i++) /* of [0, 1000) */
        CHECK(pool_alloc(pool, space + i * 100, 100) == 0);
    CHECK(moved(&stats, 10, 1000));
    CHECK(memshim_mempool_trim(pool, space + 150, 600) == 0); /* cuts the second and the eighth */
    CHECK(moved(&stats, -3, -400));
    CHECK(memshim_mempool_free(pool, space + 100) == -ENOENT && memshim_mempool_free(pool, space + 150) == 0);
    CHECK(moved(&stats, -1, -50));
    CHECK(memshim_mempool_free(pool, space + 700) == 0 && moved(&stats, -1, -50));
    CHECK(pool_alloc(pool, space + 200, 40) == 0 && moved(&stats, 0, -60)); /* again, with another size */
    CHECK(memshim_mempool_trim(pool, space, 0) == 0 && moved(&stats, -5, -440));
}

/* Two pools, one in the other; the last one of many stays. */
static int use_pools(void)
{
    static char anchors[1000];
    struct stats stats = stats_now();
    char *named_block = malloc(64);

    CHECK(memshim_mempool_create(domain, space) == 0);
    pool_errors(space);
    trim(space);
    CHECK(memshim_mempool_create(5, &anchors[0]) == 0);
    CHECK(pool_alloc(space, space + 1000, 1000) == 0 && pool_alloc(&anchors[0], space + 1000, 10) == 0);
    CHECK(pool_alloc(&anchors[0], named_block, 64) == 0); /* is a block already */
    CHECK(moved(&stats, 3, 64 + 1010));
    CHECK(memshim_mempool_destroy(&anchors[0]) == 0 && moved(&stats, -1, -10));
    CHECK(memshim_mempool_destroy(space) == 0 && moved(&stats, -1, -1000));
    CHECK(memshim_mempool_destroy(space) == -ENOENT);
    free(named_block);
    moved(&stats, 0, 0);
    for (int i = 0; i < 1000; i++) {
        CHECK(memshim_mempool_create(domain, &anchors[i]) == 0);
        for (int k = 0; k < 40; k++)
            CHECK(pool_alloc(&anchors[i], space + k * 1600 + i, 1) == 0);
    }
    CHECK(moved(&stats, 40000, 40000));
    for (int i = 0; i < 999; i++)
        CHECK(memshim_mempool_destroy(&anchors[i]) == 0);
    CHECK(moved(&stats, -39960, -39960));
    return 0;
}

static void *churn(void *argument)
{
    char *pool = argument;

    for (int i = 0; i < 20000; i++)
        CHECK(memshim_mempool_alloc(pool, pool + i % 1000, 1 + i % 7) == 0);
    return memshim_mempool_trim(pool, pool + 10, 0) ? pool : NULL;
}

/* A pool of several threads, whose child begins anew after a fork. */
static int share_pool(void)
{
    pthread_t threads[4];
    void *failed;
    int status;

    CHECK(memshim_mempool_create(domain, space) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, space) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], &failed) == 0 && !failed);
    CHECK(memshim_mempool_trim(space, space, 0) == 0 && pool_alloc(space, space, 10) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(memshim_mempool_free(space, space) == -ENOENT && pool_alloc(space, space, 20) == 0);
        CHECK(memshim_mempool_destroy(space) == 0);
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(memshim_mempool_destroy(space) == 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (memshim_domain)
        domain = memshim_domain("arena");
    if (strcmp(argv[1], "named") == 0)
        return name_blocks();
    if (strcmp(argv[1], "pools") == 0)
        return use_pools();
    if (strcmp(argv[1], "share") == 0)
        return share_pool();
    if (strcmp(argv[1], "errors") == 0)
        return errors();
    if (strcmp(argv[1], "devices") == 0)
        return devices();
    work(argv[1]);
    return argc > 2;
}
