/* SPDX-License-Identifier: MIT
 *
 * Calls every function of the malloc family from .preinit_array (before any constructor), from constructors, from atexit and
 * on_exit handlers, from destructors, and from a late thread; printf in a destructor allocates its buffer there. Blocks made early
 * are freed late. errno is what it was. */
#include "target.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>

static void *early[8];
static int wrong;

static void family(void **blocks)
{
    errno = 12345;
    free(use(malloc(10)));
    wrong += errno != 12345;
    blocks[0] = use(malloc(100));
    blocks[1] = use(calloc(10, 10));
    blocks[2] = use(realloc(use(malloc(5)), 500));
    blocks[3] = use(memalign(64, 64));
    if (posix_memalign(&blocks[4], 128, 128))
        wrong++;
    blocks[5] = use(aligned_alloc(256, 256));
    blocks[6] = use(valloc(50));
    blocks[7] = use(strdup("a text"));
    for (int i = 0; i < 8; i++)
        wrong += !blocks[i] || malloc_usable_size(blocks[i]) < 7;
    wrong += dlsym(RTLD_DEFAULT, "there is no such name") != NULL;
    wrong += dlerror() == NULL;
}

static void give_back(void **blocks)
{
    errno = 54321;
    for (int i = 0; i < 8; i++)
        free(blocks[i]);
    wrong += errno != 54321;
}

static void before_all(void)
{
    family(early);
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = before_all;

static void again(void)
{
    void *blocks[8];

    family(blocks);
    give_back(blocks);
}

__attribute__((constructor(101))) static void construct_first(void)
{
    again();
}

static void *late_thread(void *unused)
{
    again();
    return unused;
}

__attribute__((destructor(101))) static void destroy_last(void)
{
    pthread_t thread;

    again();
    give_back(early);
    if (pthread_create(&thread, NULL, late_thread, NULL) == 0)
        pthread_join(thread, NULL);
    printf("destructors: wrong %d\n", wrong);
    fflush(stdout);
    again();
}

static void on_end(int status, void *unused)
{
    (void)status;
    (void)unused;
    again();
}

int main(void)
{
    void *blocks[8];

    atexit(again);
    on_exit(on_end, NULL);
    family(blocks);
    give_back(blocks);
    return 0;
}
