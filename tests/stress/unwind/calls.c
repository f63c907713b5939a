/* SPDX-License-Identifier: MIT
 *
 * Functions with frames of every kind, called in random order: alloca, variable-length arrays, realigned stacks, arguments
 * on the stack, tail calls, callbacks from the C library. Compiled several times with different optimisation: CALLS names
 * the build. */
#include "stress.h"

#include "compiler.h"

#include <alloca.h>
#include <stdarg.h>
#include <stdlib.h>

#ifndef CALLS
#define CALLS test_calls
#define plain calls_plain
#else
static noinline int plain(int depth, int way);
#endif

static noinline int with_alloca(int depth, int way)
{
    volatile char *memory = alloca(chance(500) + 1);
    memory[0] = (char)way;
    int r = plain(depth - 1, way + 1);
    capture_some();
    return r + memory[0];
}

static noinline int with_array(int depth, int way)
{
    volatile char array[chance(3000) + 1];
    array[0] = (char)depth;
    int r = plain(depth - 1, way + (int)sizeof(array));
    return r + array[0];
}

#if defined(__x86_64__)
static noinline __attribute__((force_align_arg_pointer)) int with_realign(int depth, int way)
{
    capture_some();
    return plain(depth - 1, way * 3) + 1;
}
#else
#define with_realign plain
#endif

static noinline int with_alignment(int depth, int way)
{
    _Alignas(64) volatile char line[64];
    volatile char array[chance(300) + 1];
    line[chance(64)] = (char)way;
    array[0] = 1;
    int r = plain(depth - 1, way + line[3] + array[0]);
    capture_some();
    return r + line[5];
}

static noinline int aligned_only(int depth, int way)
{
    _Alignas(256) volatile char line[256];
    line[way & 255] = (char)way;
    capture_some();
    return plain(depth - 1, way + line[3]) + line[5];
}

static noinline int with_room(int depth, int way)
{
    volatile char room[20000]; /* more than a page: the compiler may probe it */
    room[chance(sizeof(room))] = (char)way;
    return plain(depth / 2, way) + room[0];
}

static noinline int many_arguments(int a, int b, int c, int d, int e, int f, int g, int h, int depth)
{
    volatile int sum = a + b + c + d + e + f + g + h;
    int r = plain(depth - 1, sum);
    capture_some();
    return r + sum;
}

static noinline int any_arguments(int depth, ...)
{
    va_list list;
    va_start(list, depth);
    int way = va_arg(list, int) + (int)va_arg(list, double);
    va_end(list);
    return plain(depth - 1, way) + 1;
}

struct large {
    int numbers[32];
};

static noinline struct large by_value(struct large large, int depth)
{
    large.numbers[1] += plain(depth - 1, large.numbers[0]);
    capture_some();
    return large;
}

static noinline int with_struct(int depth, int way)
{
    struct large large = {{way, way}};
    return by_value(large, depth).numbers[1];
}

/* Calls that are jumps, with optimisation: direct, through a pointer, and one that takes its frame down first. */
static noinline int tail(int depth, int way)
{
    if (way & 1)
        capture_some();
    return plain(depth - 1, way >> 1);
}

static noinline int tail_through_pointer(int depth, int way)
{
    static int (*const volatile targets[])(int, int) = {plain, tail, with_alloca};
    capture_some();
    return targets[(unsigned)way % 3](depth - 1, way);
}

static noinline int tail_of_frame(int depth, int way)
{
    volatile char room[200];
    room[way & 127] = 1;
    capture_some();
    return tail_through_pointer(depth, way + room[5]);
}

static noinline __attribute__((optimize("no-omit-frame-pointer"))) int with_pointer(int depth, int way)
{
    int r = plain(depth - 1, way + 7);
    capture_some();
    return r + 1;
}

static int compare(const void *a, const void *b)
{
    if (chance(64) == 0)
        capture();
    return *(const int *)a - *(const int *)b;
}

static noinline int with_callbacks(int depth, int way)
{
    int numbers[40], key = way & 31;

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        numbers[i] = (int)chance(100);
    qsort(numbers, ARRAY_SIZE(numbers), sizeof(int), compare);
    bsearch(&key, numbers, ARRAY_SIZE(numbers), sizeof(int), compare);
    return plain(depth - 1, way + numbers[0]);
}

static noinline int branch_out(int depth, int way)
{
    switch (chance(15)) {
    case 0:
        return with_alloca(depth, way);
    case 1:
        return with_array(depth, way);
    case 2:
        return with_realign(depth, way);
    case 3:
        return with_alignment(depth, way);
    case 4:
        return many_arguments(1, 2, 3, 4, 5, 6, 7, way, depth);
    case 5:
        return tail(depth, way);
    case 6:
        return with_pointer(depth, way);
    case 7:
        return chance(8) ? plain(depth - 1, way) : with_callbacks(depth, way);
    case 8:
        return aligned_only(depth, way);
    case 9:
        return with_room(depth, way);
    case 10:
        return any_arguments(depth, way, 1.5);
    case 11:
        return with_struct(depth, way);
    case 12:
        return tail_of_frame(depth, way);
    default:
        return plain(depth - 1, way + 1) + plain(depth / 4, way);
    }
}

noinline int plain(int depth, int way)
{
    capture_some();
    int r = depth > 0 ? branch_out(depth, way) : way;
    capture_some();
    return r + 1;
}

void CALLS(void)
{
    for (unsigned i = 0; i < rounds * 8; i++)
        plain((int)chance(60), (int)i);
}
