/* SPDX-License-Identifier: MIT
 *
 * Forks again and again while other threads allocate and free as fast as they can; every child allocates, too. */
#include "target.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static atomic_bool stop;

static void *churn(void *unused)
{
    (void)unused;
    for (unsigned i = 0; !atomic_load(&stop); i++)
        free(use(malloc(i % 500)));
    return NULL;
}

int main(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, churn, NULL);
    int good = 0;
    for (int i = 0; i < 40; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (size_t j = 0; j < 1000; j++)
                free(use(malloc(j)));
            lose(2, 20);
            _exit(0);
        }
        int status = -1;
        waitpid(pid, &status, 0);
        good += status == 0;
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("children that ended well: %d\n", good);
    return 0;
}
