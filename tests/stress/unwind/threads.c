/* SPDX-License-Identifier: MIT
 *
 * Threads by the thousand: their stacks lie where those of earlier ones lay, and so do their states. They return, call
 * pthread_exit, or are cancelled (which unwinds them). */
#include "stress.h"

#include <pthread.h>
#include <unistd.h>

static noinline void wait_for_cancellation(int depth)
{
    capture();
    if (depth > 0)
        wait_for_cancellation(depth - 1);
    else
        pause();
    KEEP_FRAME();
}

static void *thread_main(void *argument)
{
    int way = (int)(intptr_t)argument;

    thread_begin();
    pthread_cleanup_push(thread_end, NULL);
    calls_plain(4, 1);
    if (way == 1)
        pthread_exit(NULL);
    if (way == 2)
        wait_for_cancellation((int)chance(5));
    pthread_cleanup_pop(1);
    return NULL;
}

void test_threads(void)
{
    for (unsigned i = 0; i < rounds * 15; i++) {
        pthread_t threads[4];
        pthread_attr_t attributes;
        intptr_t made = 0;

        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 262144 + 65536 * chance(4));
        while (made < 4 && !pthread_create(&threads[made], &attributes, thread_main, (void *)(made % 3)))
            made++;
        capture();
        while (made-- > 0) {
            if (made % 3 == 2)
                pthread_cancel(threads[made]);
            pthread_join(threads[made], NULL);
        }
        pthread_attr_destroy(&attributes);
    }
}
