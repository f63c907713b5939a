/* SPDX-License-Identifier: MIT
 *
 * Stacks that are switched by swapcontext: coroutines that call each other, on stacks that come and go at the same
 * addresses, and one that goes from thread to thread. */
#include "stress.h"

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#define COROUTINES 4u

static ucontext_t main_context, contexts[COROUTINES];

static noinline void swap_deep(unsigned number, int depth)
{
    if (depth > 0) {
        swap_deep(number, depth - 1);
        KEEP_FRAME();
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        capture_some();
        swapcontext(&contexts[number], chance(2) ? &contexts[(number + 1) % COROUTINES] : &main_context);
        capture_some();
    }
    swapcontext(&contexts[number], &main_context);
}

static void coroutine(unsigned number)
{
    capture();
    for (;;)
        swap_deep(number, (int)chance(20));
}

static void context_make(ucontext_t *context, size_t size, void (*function)(void), unsigned argument)
{
    getcontext(context);
    context->uc_stack.ss_sp = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    context->uc_stack.ss_size = size;
    context->uc_link = &main_context;
    makecontext(context, function, 1, argument);
}

static void test_switches(void)
{
    for (volatile unsigned i = 0; i < rounds * 2; i++) { /* volatile: contexts return twice */
        size_t sizes[COROUTINES];
        for (unsigned c = 0; c < COROUTINES; c++) {
            sizes[c] = 98304 + chance(4) * 4096;
            context_make(&contexts[c], sizes[c], (void (*)(void))coroutine, c);
        }
        for (unsigned n = 0; n < 60; n++) {
            capture();
            swapcontext(&main_context, &contexts[chance(COROUTINES)]);
        }
        for (unsigned c = 0; c < COROUTINES; c++)
            munmap(contexts[c].uc_stack.ss_sp, sizes[c]);
    }
}

/* ---- from thread to thread ---- */

static ucontext_t traveller;
static ucontext_t *volatile resumed_from; /* thread-locals would be looked up once, on the first thread */

static noinline void travel(int depth)
{
    if (depth > 0)
        travel(depth - 1);
    else
        swapcontext(&traveller, resumed_from);
    KEEP_FRAME();
}

static void travel_on(unsigned unused)
{
    (void)unused;
    for (;;) {
        travel((int)chance(20));
        capture();
        swapcontext(&traveller, resumed_from);
        capture_some();
    }
}

static void *resume(void *unused)
{
    ucontext_t context;

    (void)unused;
    thread_begin();
    for (int i = 0; i < 3; i++) {
        capture();
        resumed_from = &context;
        swapcontext(&context, &traveller);
    }
    thread_end(NULL);
    return NULL;
}

static void test_travel(void)
{
    const size_t size = 131072;

    context_make(&traveller, size, (void (*)(void))travel_on, 0);
    for (unsigned i = 0; i < rounds * 4; i++) {
        pthread_t thread;
        ucontext_t context;
        if (!pthread_create(&thread, NULL, resume, NULL))
            pthread_join(thread, NULL);
        resumed_from = &context;
        swapcontext(&context, &traveller);
    }
    munmap(traveller.uc_stack.ss_sp, size);
}

void test_coroutines(void)
{
    test_switches();
    test_travel();
}
