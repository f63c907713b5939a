/* SPDX-License-Identifier: MIT
 *
 * Allocates in a constructor (200 blocks of 111 bytes kept for life) and in main (3 of 222 bytes), and ends in a
 * destructor and an atexit function that allocate, too. */
#include "target.h"

VISIBLE __attribute__((constructor)) static void prepare(void)
{
    lose(200, 111);
}

VISIBLE __attribute__((destructor)) static void finish(void)
{
    free(use(malloc(10)));
    puts("destructor");
}

static void at_exit(void)
{
    free(use(malloc(20)));
    puts("atexit");
}

int main(void)
{
    atexit(at_exit);
    lose(3, 222);
    return 0;
}
