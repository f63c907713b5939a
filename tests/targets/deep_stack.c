/* SPDX-License-Identifier: MIT
 *
 * Allocates at the end of a recursion 200 calls deep, or as many as the argument says. */
#include "target.h"

VISIBLE static int descend(int depth)
{
    if (depth == 0)
        lose(4, 44);
    else
        depth += descend(depth - 1);
    return depth + 1;
}

int main(int argc, char **argv)
{
    printf("%d\n", descend(argc > 1 ? atoi(argv[1]) : 200) > 0);
    return 0;
}
