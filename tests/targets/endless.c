/* SPDX-License-Identifier: MIT
 *
 * Loses 1000 blocks of 40 bytes, says so, and goes on allocating and freeing until somebody kills it. */
#include "target.h"

int main(void)
{
    lose(1000, 40);
    puts("ready");
    fflush(stdout);
    for (size_t i = 0;; i++)
        free(use(malloc(i % 1000)));
}
