/* SPDX-License-Identifier: MIT
 *
 * A timer interrupts allocations with handlers that jump nowhere and allocate nothing, but end a sleep; and SIGUSR1
 * handlers on an alternate stack. Counts that every signal arrived. */
#include "target.h"

#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t ticks, users;

static void tick(int number)
{
    (void)number;
    ticks++;
}

static void user(int number)
{
    (void)number;
    users++;
}

int main(void)
{
    static char stack[1 << 16];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_handler = tick};
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = user;
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR1, &action, NULL);
    struct itimerval timer = {{0, 500}, {0, 500}};
    setitimer(ITIMER_REAL, &timer, NULL);
    for (size_t i = 0; ticks < 100; i++) {
        free(use(malloc(i % 2000)));
        if (i % 10000 == 0 && users < 50)
            raise(SIGUSR1);
    }
    while (users < 50)
        raise(SIGUSR1);
    lose(8, 80);
    printf("users: %d\n", (int)users);
    return 0;
}
