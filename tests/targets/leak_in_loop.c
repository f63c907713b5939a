/* SPDX-License-Identifier: MIT
 *
 * Loses 100 blocks of 64 bytes in lose(), called by way of work(); frees as many that it does not lose. */
#include "target.h"

VISIBLE static void work(void)
{
    lose(100, 64);
    NO_TAIL_CALL();
}

int main(void)
{
    for (int i = 0; i < 100; i++)
        free(use(malloc(64)));
    work();
    puts("lost 100 blocks of 64 bytes");
    return 0;
}
