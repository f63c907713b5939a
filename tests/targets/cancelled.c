/* SPDX-License-Identifier: MIT
 *
 * A thread that is to be cancelled, but comes to no cancellation point of its own: it allocates until every table has grown, forks,
 * is told of memory errors (with guard=1), and in the end ends the process. */
#include "kept.h"

#include <pthread.h>
#include <sys/wait.h>

static int fork_one(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        keep(2, 20);
        printf("kept %d 2 40\n", getpid());
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        fflush(stdout);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
        _exit(6);
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    waitpid(pid, &status, 0);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    return status;
}

static void *work(void *unused)
{
    static void *blocks[100000];

    (void)unused;
    pthread_cancel(pthread_self());
    for (int i = 0; i < 100000; i++)
        blocks[i] = use(malloc((size_t)i % 50));
    for (int i = 0; i < 100000; i++)
        free(blocks[i]);
    keep(5, 50);
    int status = fork_one();
    printf("kept %d 5 250\n", getpid());
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    fflush(stdout);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    exit(status == 6 << 8 ? 7 : 8);
}

int main(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, work, NULL))
        return 1;
    pthread_join(thread, NULL);
    return 9;
}
