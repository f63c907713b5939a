/* SPDX-License-Identifier: MIT
 *
 * A custom allocator that says what it does (memshim_track): the memory of its chunk comes from where the argument says. Of the 20
 * items of 100 bytes 5 are kept by pointers to them, 3 by items, 2 by the middle; 4 are given back, 6 are lost. */
#include "target.h"

#include "memshim/memshim.h"

#include <sys/mman.h>

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

int main(int argc, char **argv)
{
    if (memshim_domain)
        domain = memshim_domain("arena");
    if (strcmp(argv[1], "named") == 0)
        return name_blocks();
    if (strcmp(argv[1], "errors") == 0)
        return errors();
    if (strcmp(argv[1], "devices") == 0)
        return devices();
    work(argv[1]);
    return argc > 2;
}
