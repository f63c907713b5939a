/* SPDX-License-Identifier: MIT
 *
 * Prints the interpreters that the tests use, one a line, and how each is built. */
#include "pythons.h"

#include <stdio.h>

int main(void)
{
    struct python pythons[PYTHONS_MAX];
    size_t count = pythons_find(pythons);

    for (size_t i = 0; i < count; i++)
        printf("%s (%s, %s%s)\n", pythons[i].path, pythons[i].version, pythons[i].linked,
               pythons[i].include[0] ? "" : ", no headers: skipped where the extension is needed");
    return count ? 0 : 1;
}
