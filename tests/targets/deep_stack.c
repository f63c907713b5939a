/* SPDX-License-Identifier: MIT
 *
 * Allocates at the end of a recursion 200 calls deep. */
#include "target.h"

VISIBLE static int descend(int depth)
{
    if (depth == 0)
        lose(4, 44);
    else
        depth += descend(depth - 1);
    return depth + 1;
}

int main(void)
{
    printf("%d\n", descend(200) > 0);
    return 0;
}
