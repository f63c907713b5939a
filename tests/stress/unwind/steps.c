/* SPDX-License-Identifier: MIT
 *
 * A capture at every instruction (the processor's trap flag): prologues, epilogues, the PLT, the lazy resolver, longjmp,
 * swapcontext, and the return from a signal handler. */
#include "stress.h"

#include "compiler.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#if defined(__x86_64__)
static void trap(int number)
{
    (void)number;
    capture();
}

static noinline void flag_trap(bool on)
{
    uint64_t flags;

    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    flags = on ? flags | 0x100 : flags & ~0x100ULL;
    __asm__ volatile("pushq %0; popfq" ::"r"(flags) : "memory", "cc");
}

static noinline int aligned(int n)
{
    _Alignas(128) volatile char line[128];
    volatile char array[n + 1];
    line[n & 127] = array[0] = 1;
    return abs(line[n & 127] - n) + array[0];
}

static noinline __attribute__((force_align_arg_pointer)) int realigned(int n)
{
    volatile char room[5000];
    room[n] = 1;
    return room[n] + aligned(n);
}

static noinline int last_call(int n)
{
    volatile char room[40];
    room[n & 31] = 2;
    return aligned(n + room[n & 31]);
}

static noinline int call_library(int n)
{
    char text[32];

    /* Not called anywhere else: lazily bound here. */
    int r = strcoll("a", "b") + (int)strspn("abc", "ab") + realigned(n) + last_call(n);
    r += snprintf(text, sizeof(text), "%d", n);
    return r + (int)strtol(text, NULL, 10);
}

static jmp_buf jump;

static noinline void leap(void)
{
    KEEP_FRAME();
    longjmp(jump, 1);
}

static noinline void leap_over_frame(void)
{
    leap();
    KEEP_FRAME();
}

static noinline void leap_and_land(void)
{
    if (!setjmp(jump))
        leap_over_frame();
    KEEP_FRAME();
}

static ucontext_t here, there;

static void other_stack(void)
{
    for (;;)
        swapcontext(&there, &here);
}

static void signalled(int number)
{
    sink += number;
}

static noinline void step_all(int n)
{
    flag_trap(true);
    sink += call_library(n);
    leap_and_land();
    swapcontext(&here, &there);
    raise(SIGUSR1);
    flag_trap(false);
}

void test_single_steps(void)
{
    static char stack[65536];
    struct sigaction stepping = {.sa_handler = trap}, handling = {.sa_handler = signalled};

    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof(stack);
    makecontext(&there, other_stack, 0);
    sigaction(SIGTRAP, &stepping, NULL);
    sigaction(SIGUSR1, &handling, NULL);
    for (unsigned i = 0; i < MAX(rounds / 10, 1u); i++)
        step_all((int)i);
    signal(SIGTRAP, SIG_DFL);
}
#else
void test_single_steps(void)
{
}
#endif
