/* SPDX-License-Identifier: MIT
 *
 * Helpers for target programs: functions that stay visible in stacks, and blocks that the compiler cannot elide. */
#ifndef TARGET_H
#define TARGET_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A function with a frame of its own in every stack. */
#define VISIBLE __attribute__((noinline, noclone))

/* Makes the compiler believe that the block is used, so that neither it nor its allocation is removed. */
static inline void *use(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

/* Stands after a call that must not become a tail call. */
#define NO_TAIL_CALL() __asm__ volatile("")

/* Ends the program unless it is true. */
#define CHECK(expression) \
    do { \
        if (!(expression)) { \
            printf("line %d: %s\n", __LINE__, #expression); \
            exit(1); \
        } \
    } while (0)

/* Loses `count` blocks of `size` bytes. */
__attribute__((unused)) VISIBLE static void lose(int count, size_t size)
{
    for (int i = 0; i < count; i++)
        memset(use(malloc(size)), i, size);
    NO_TAIL_CALL();
}

#endif
