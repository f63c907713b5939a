/* SPDX-License-Identifier: MIT
 *
 * Four threads allocate, and say so after every block, until somebody kills the process. */
#include "kept.h"

#include <pthread.h>

static void *work(void *argument)
{
    for (size_t i = (size_t)argument;; i++) {
        size_t size = i % 300 + 1;
        free(use(malloc(size)));
        keep(1, size);
        tell(1, size);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(i * 77)))
            return 1;
    pthread_join(threads[0], NULL);
    return 2;
}
