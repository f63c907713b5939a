/* SPDX-License-Identifier: MIT
 *
 * Linked statically: a preload cannot reach it. */
#include "target.h"

int main(void)
{
    lose(3, 30);
    puts("static");
    return 0;
}
