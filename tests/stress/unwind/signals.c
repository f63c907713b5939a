/* SPDX-License-Identifier: MIT
 *
 * Captures in signal handlers: on the program's stack and on an alternate one, of handlers that interrupt handlers, of
 * faults in the middle of a function, and of handlers that leave by siglongjmp. */
#include "stress.h"

#include "compiler.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static noinline void in_handler(int depth)
{
    capture();
    if (depth > 0)
        in_handler(depth - 1);
    KEEP_FRAME();
}

static volatile sig_atomic_t arrived;

static void handler(int number)
{
    (void)number;
    in_handler(3);
    arrived = 1;
}

static void handler_that_raises(int number)
{
    (void)number;
    in_handler(2);
    raise(SIGUSR1);
    capture();
}

/* One alarm soon. The next one is asked for by the interrupted code: with an interval, a machine on which a handler takes
 * longer than that would do nothing else. */
static void arm(void)
{
    struct itimerval once = {{0, 0}, {0, 10 + (int)chance(50)}};

    arrived = 0;
    setitimer(ITIMER_REAL, &once, NULL);
}

static noinline void compute(unsigned n)
{
    char text[64], copy[64];

    for (unsigned i = 0; i < n; i++) {
        if (arrived)
            arm();
        snprintf(text, sizeof(text), "%u %g", i, (double)i / 3);
        memcpy(copy, text, sizeof(copy));
        sink += strtod(copy, NULL) + (double)strlen(text);
        if (i % 16 == 0)
            capture();
    }
}

/* ---- faults ---- */

static sigjmp_buf out;

static void fault_handler(int number)
{
    (void)number;
    in_handler(1);
    siglongjmp(out, 1);
}

/* Reads a page that cannot be read, in a leaf without a frame. */
static noinline int read_at(const volatile char *address)
{
    return *address;
}

static noinline int divide(volatile int n)
{
    return 100 / n;
}

static noinline int fault(int depth, int way, const volatile char *address)
{
    volatile char room[depth * 4 + 1];
    room[0] = 1;
    int r;
    if (depth > 0)
        r = fault(depth - 1, way, address);
    else
        r = way ? read_at(address) : divide((int)chance(1));
    return r + room[0];
}

static void test_faults(void)
{
    struct sigaction action = {.sa_handler = fault_handler, .sa_flags = SA_ONSTACK};
    struct sigaction before[3];
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE};
    char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaction(numbers[i], &action, &before[i]);
    for (volatile unsigned i = 0; i < rounds * 5; i++) {
        if (!sigsetjmp(out, 1))
            sink += fault((int)chance(20), (int)(i & 1), page + chance(4096));
        capture();
    }
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaction(numbers[i], &before[i], NULL);
    munmap(page, 4096);
}

/* ---- the run ---- */

static void test_on_stack(int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | flags};
    struct sigaction raises = {.sa_handler = handler_that_raises, .sa_flags = flags};
    struct itimerval never = {{0, 0}, {0, 0}};

    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR2, &raises, NULL);
    for (unsigned i = 0; i < rounds * 10; i++) {
        raise(SIGUSR1);
        capture();
        kill(getpid(), SIGUSR2);
        capture();
    }
    test_faults();
    arm();
    compute(rounds * 600);
    setitimer(ITIMER_REAL, &never, NULL);
}

void test_signals(void)
{
    static char stack[131072];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)}, off = {.ss_flags = SS_DISABLE};

    sigaltstack(&off, NULL);
    test_on_stack(0);
    sigaltstack(&alternate, NULL);
    test_on_stack(SA_ONSTACK);
    sigaltstack(&off, NULL);
}
