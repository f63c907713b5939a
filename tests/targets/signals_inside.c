/* SPDX-License-Identifier: MIT
 *
 * Timers interrupt two allocating threads at any moment, also inside a hook, with handlers that allocate and free, on an alternate
 * stack or not. For an allocator that allows that (safe_malloc). What the handlers keep is counted, too. */
#include "kept.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

static atomic_long ticks, kept, lost_in_hook;
static atomic_bool stop;

static void tick(int number)
{
    (void)number;
    int saved = errno;
    void *p = use(malloc(123));
    free(use(realloc(use(calloc(1, 50)), 500)));
    memset(p, 7, 123);
    free(p);
    atomic_fetch_add(&ticks, 1);
    errno = saved;
}

static void *work(void *unused)
{
    (void)unused;
    static _Thread_local char stack[1 << 16];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};

    sigaltstack(&alternate, NULL);
    for (size_t i = 0; !atomic_load(&stop); i++) {
        void *p = use(malloc(i % 700));
        p = use(realloc(p, i % 900 + 1));
        free(p);
        errno = 77;
        free(use(malloc(8)));
        if (errno != 77)
            atomic_fetch_add(&lost_in_hook, 1);
        if (i % 5000 == 0) {
            keep(1, 99);
            atomic_fetch_add(&kept, 1);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    long wanted = argc > 1 ? atol(argv[1]) : 1000;
    struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, 100}, {0, 100}};
    pthread_t threads[2];
    sigset_t set;

    sigaction(SIGALRM, &action, NULL);
    action.sa_flags |= SA_ONSTACK;
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    while (atomic_load(&ticks) < wanted) {
        pthread_kill(threads[0], SIGUSR1);
        pthread_kill(threads[1], SIGUSR1);
    }
    memset(&timer, 0, sizeof(timer));
    setitimer(ITIMER_REAL, &timer, NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    sigemptyset(&set);
    if (pthread_sigmask(SIG_BLOCK, NULL, &set) || sigismember(&set, SIGALRM) || sigismember(&set, SIGUSR1))
        return 3;
    tell(atomic_load(&kept), 99);
    return atomic_load(&lost_in_hook) ? 4 : 0;
}
