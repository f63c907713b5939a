/* SPDX-License-Identifier: MIT
 *
 * Deep recursion: stacks that grow and shrink over the places where a chain of nodes begins anew, and a stack of more
 * frames than most are kept of. */
#include "stress.h"

static noinline int recurse(int depth, uint32_t one_in)
{
    if (chance(one_in) == 0)
        capture();
    int r = depth > 0 ? recurse(depth - 1, one_in) : 0;
    if (chance(one_in) == 0)
        capture();
    return r + 1;
}

static noinline int recurse_in_loop(int depth)
{
    int r = depth > 0 ? recurse_in_loop(depth - 1) : 0;
    if (depth < 40)
        capture();
    return r + 1;
}

/* Two functions that call each other, in frames of changing size. */
static noinline int ping(int depth);

static noinline int pong(int depth)
{
    volatile char room[chance(100) + 1];
    room[0] = 1;
    int r = depth > 0 ? ping(depth - 1) : 0;
    if (chance(16) == 0)
        capture();
    return r + room[0];
}

static noinline int ping(int depth)
{
    int r = depth > 0 ? pong(depth - 1) : 0;
    KEEP_FRAME();
    return r + 1;
}

void test_recursion(void)
{
    for (unsigned i = 0; i < rounds; i++) {
        recurse(600, 32);
        ping((int)chance(400));
        recurse_in_loop(200);
        for (int depth = 50; depth < 150; depth += 7)
            recurse_in_loop(depth);
    }
    recurse(20000, 500);
}
