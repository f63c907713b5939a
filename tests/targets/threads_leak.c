/* SPDX-License-Identifier: MIT
 *
 * 4 threads at a time, 5 times: each loses 50 blocks of 32 bytes, frees what the thread before it left, and leaves
 * 200 blocks to the next one. The last ones are freed by the main thread: 1000 blocks are lost in all. */
#include "target.h"

#include <pthread.h>

#define THREADS 4
#define ROUNDS 5
#define LEFT 200

static void *left[THREADS][LEFT];

static void *thread(void *argument)
{
    void **mine = argument;
    lose(50, 32);
    for (int i = 0; i < LEFT; i++) {
        free(mine[i]);
        mine[i] = use(malloc(16 + (size_t)i));
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, thread, left[(i + round) % THREADS]);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < LEFT; j++)
            free(left[i][j]);
    puts("lost 1000 blocks of 32 bytes");
    return 0;
}
