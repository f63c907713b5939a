/* SPDX-License-Identifier: MIT
 *
 * Checks all blocks over and over while other threads make, resize and free theirs, large ones, too. Ends with 1 if a check found
 * something: nothing is wrong here. */
#include "target.h"

#include "memshim/memshim.h"

#include <pthread.h>

#define THREADS 4
#define BLOCKS 64
#define CHECKS 100

static int done;

static void *work(void *argument)
{
    unsigned chance = (unsigned)(size_t)argument;
    char *blocks[BLOCKS] = {0};

    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        chance = chance * 1103515245 + 12345;
        char **block = &blocks[chance >> 16 & (BLOCKS - 1)];
        size_t size = (chance >> 8) % 600000;
        if (chance >> 31) {
            free(*block);
            *block = malloc(size % 3000);
        } else {
            *block = realloc(*block, size + 1);
        }
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int errors = 0;

    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    for (int i = 0; i < CHECKS; i++)
        errors += memshim_check();
    __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return errors != 0;
}
