/* SPDX-License-Identifier: MIT
 *
 * longjmp in all its forms: frames that go without returning, and come again below others. */
#include "stress.h"

#include <setjmp.h>
#include <ucontext.h>

static jmp_buf jump;
static sigjmp_buf signal_jump;
static void *builtin_jump[5];

static noinline void leap(int depth)
{
    capture_some();
    if (depth <= 0)
        longjmp(jump, 1);
    if (depth < 100)
        leap(depth - 1);
    KEEP_FRAME();
}

static noinline void leap_and_land(int depth)
{
    if (!setjmp(jump))
        leap(depth);
    capture();
}

static noinline void leap_with_mask(int depth)
{
    volatile char room[depth * 8 + 1];
    room[0] = 1;
    capture_some();
    if (depth <= 0)
        siglongjmp(signal_jump, room[0]);
    leap_with_mask(depth - 1);
    KEEP_FRAME();
}

static noinline void land_with_mask(int depth)
{
    if (!sigsetjmp(signal_jump, depth & 1))
        leap_with_mask(depth);
    capture();
}

static noinline void leap_builtin(int depth)
{
    capture_some();
    if (depth <= 0)
        __builtin_longjmp(builtin_jump, 1);
    leap_builtin(depth - 1);
    KEEP_FRAME();
}

static noinline void land_builtin(int depth)
{
    if (!__builtin_setjmp(builtin_jump))
        leap_builtin(depth);
    capture();
}

/* Back into the middle of a loop by setcontext, again and again. */
static noinline void turn_back(ucontext_t *context, int depth)
{
    capture_some();
    if (depth > 0)
        turn_back(context, depth - 1);
    else
        setcontext(context);
    KEEP_FRAME();
}

static noinline void turn(int depth)
{
    ucontext_t context;
    volatile int left = 3;

    getcontext(&context);
    capture();
    if (left-- > 0)
        turn_back(&context, depth);
    KEEP_FRAME();
}

void test_jumps(void)
{
    for (unsigned i = 0; i < rounds * 10; i++) {
        leap_and_land((int)chance(30));
        capture();
        land_with_mask((int)chance(20));
        land_builtin((int)chance(20));
        turn((int)chance(10));
        capture();
    }
}
