/* SPDX-License-Identifier: MIT
 *
 * A timer interrupts two allocating threads after argument 2 microseconds, at any moment, also inside a hook; its handler ends the
 * process in the way of argument 1, or forks a child that does, or executes another program. For an allocator that allows that
 * (safe_malloc). What was kept is told in the handler. */
#include "kept.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>

static const char *how, *self;
static atomic_bool told;

static void fork_there(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        keep(4, 40);
        tell(4, 40);
        exit(7);
    }
    if (waitpid(pid, &status, 0) != pid || status != 7 << 8)
        _exit(8);
}

static void on_timer(int number)
{
    (void)number;
    if (atomic_exchange(&told, true))
        for (;;)
            pause();
    tell(6, 60);
    if (strcmp(how, "fork") == 0)
        fork_there();
    if (strcmp(how, "exec") == 0)
        execl(self, self, "nothing", (char *)NULL);
    if (strcmp(how, "_exit") == 0)
        _exit(7);
    if (strcmp(how, "quick_exit") == 0)
        quick_exit(7);
    exit(7);
}

static void *churn(void *unused)
{
    void *kept[64] = {NULL};

    for (size_t i = 0;; i++) {
        free(kept[i % 64]);
        kept[i % 64] = use(malloc(i % 700));
        if (i % 3 == 0)
            kept[i % 64] = use(realloc(kept[i % 64], i % 900 + 1));
    }
    return unused;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_timer};
    struct itimerval timer = {.it_value = {0, 1000}};
    pthread_t thread;

    self = argv[0];
    how = argc > 1 ? argv[1] : "exit";
    if (strcmp(how, "nothing") == 0)
        return 7;
    timer.it_value.tv_usec = argc > 2 ? atoi(argv[2]) : 1000;
    keep(6, 60);
    if (pthread_create(&thread, NULL, churn, NULL))
        return 1;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    churn(NULL);
    return 2;
}
