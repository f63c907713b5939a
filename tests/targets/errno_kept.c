/* SPDX-License-Identifier: MIT
 *
 * Successful calls of the malloc family leave errno alone (glibc 2.33 and later promise it for free). */
#include "target.h"

#include <malloc.h>

int main(void)
{
    int changed = 0;
    for (size_t size = 1; size < 300000; size += 1 + size / 2) {
        errno = 4711;
        void *block = use(malloc(size));
        changed += errno != 4711;
        block = use(realloc(block, size * 2));
        changed += errno != 4711;
        free(block);
        changed += errno != 4711;
        free(use(calloc(3, size)));
        changed += errno != 4711;
        free(use(memalign(128, size)));
        changed += errno != 4711;
        errno = 4711;
    }
    printf("errno changed: %d\n", changed);
    return 0;
}
