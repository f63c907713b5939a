/* SPDX-License-Identifier: MIT
 *
 * Argument 1 threads, a few at a time: joined, detached, cancelled, ended by pthread_exit; their thread-specific data have
 * destructors that allocate and free, and each frees a block of the thread before. Every tenth keeps a block. Says how many bytes of
 * ledgers are mapped at the end, so that a test can see that they do not grow with the number of threads. */
#include "kept.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define AT_ONCE 16

static pthread_key_t key;
static _Atomic(void *) handed;
static atomic_int kept;
static sem_t room;

static void destroy(void *value)
{
    static _Thread_local int rounds;

    free(value);
    free(use(malloc(33)));
    if (++rounds < 3)
        pthread_setspecific(key, use(malloc(44)));
    else
        sem_post(&room);
}

static void *work(void *argument)
{
    size_t number = (size_t)argument;

    pthread_setspecific(key, use(malloc(55)));
    for (size_t i = 0; i < 100; i++)
        free(use(malloc(i)));
    free(atomic_exchange(&handed, use(malloc(66))));
    if (number % 10 == 0) {
        keep(1, 77);
        atomic_fetch_add(&kept, 1);
    }
    if (number % 4 == 1)
        pthread_exit(NULL);
    if (number % 4 == 2)
        for (;;)
            pause();
    return NULL;
}

static void start(size_t number)
{
    pthread_t thread;

    while (sem_wait(&room))
        ;
    if (pthread_create(&thread, NULL, work, (void *)number))
        _exit(1);
    if (number % 4 == 2)
        pthread_cancel(thread);
    if (number % 4 == 3)
        pthread_detach(thread);
    else
        pthread_join(thread, NULL);
}

static size_t ledger_bytes(void)
{
    char line[512];
    size_t sum = 0;
    FILE *in = fopen("/proc/self/maps", "r");

    while (in && fgets(line, sizeof(line), in)) {
        size_t from, to;
        if (strstr(line, ".ledger") && sscanf(line, "%zx-%zx", &from, &to) == 2)
            sum += to - from;
    }
    if (in)
        fclose(in);
    return sum;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)atoi(argv[1]) : 100;

    pthread_key_create(&key, destroy);
    sem_init(&room, 0, AT_ONCE);
    for (size_t i = 0; i < count; i++)
        start(i);
    for (int i = 0; i < AT_ONCE; i++)
        while (sem_wait(&room))
            ;
    free(atomic_exchange(&handed, NULL));
    tell(atomic_load(&kept), 77);
    fprintf(stderr, "ledger %zu\n", ledger_bytes());
    return 0;
}
