/* SPDX-License-Identifier: MIT
 *
 * Leaves signal handlers by siglongjmp that have interrupted the malloc family: because of wild pointers (argument "wild"), or by
 * a timer, at any moment ("timer"; for an allocator that allows that). What is allocated later is counted like all else. */
#include "kept.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

static sigjmp_buf back;
static void on_fault(int number)
{
    (void)number;
    siglongjmp(back, 1);
}

static void use_wild(void)
{
    struct sigaction action = {.sa_handler = on_fault};
    char *nothing = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *volatile wild[] = {nothing + 4096, nothing + 64, (void *)0x1000, (void *)0x7000000000000010};

    sigaction(SIGSEGV, &action, NULL);
    for (volatile int i = 0; i < 4; i++) {
        if (sigsetjmp(back, 1) == 0)
            free(wild[i]);
        if (sigsetjmp(back, 1) == 0)
            use(realloc(wild[i], 10));
    }
}

static volatile sig_atomic_t inside;

static void on_timer(int number)
{
    (void)number;
    if (inside) {
        inside = 0;
        siglongjmp(back, 1);
    }
}

static void jump_often(void)
{
    struct sigaction action = {.sa_handler = on_timer};
    struct itimerval timer = {{0, 200}, {0, 200}}, none = {0};
    static volatile int jumps;

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    if (sigsetjmp(back, 1))
        jumps++;
    while (jumps < 2000) {
        inside = 1;
        for (size_t i = 0; i < 1000; i++)
            free(use(malloc(i)));
        inside = 0;
    }
    setitimer(ITIMER_REAL, &none, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "wild") == 0)
        use_wild();
    else
        jump_often();
    keep(9, 90);
    tell(9, 90);
    return 2;
}
