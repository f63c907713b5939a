/* SPDX-License-Identifier: MIT
 *
 * Becomes another user, as servers do, then loses 12 blocks of 120 bytes. */
#include "target.h"

int main(void)
{
    if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
        return 77;
    lose(12, 120);
    puts("dropped");
    return 0;
}
