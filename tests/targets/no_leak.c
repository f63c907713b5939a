/* SPDX-License-Identifier: MIT
 *
 * Uses every function of the family and gives everything back. */
#include "target.h"

#include <malloc.h>

int main(void)
{
    void *aligned = NULL;

    setvbuf(stdout, NULL, _IONBF, 0); /* or else its buffer stays to the end */
    for (int i = 1; i < 200; i++) {
        free(use(malloc((size_t)i)));
        free(use(calloc((size_t)i, 3)));
        free(use(realloc(use(malloc((size_t)i)), (size_t)i * 2)));
        free(use(reallocarray(NULL, (size_t)i, 4)));
        free(use(aligned_alloc(64, 64 * (size_t)i)));
        free(use(memalign(256, (size_t)i)));
        if (posix_memalign(&aligned, 4096, (size_t)i) == 0)
            free(use(aligned));
        char *text = strdup("text");
        free(use(text));
    }
    puts("clean");
    return 0;
}
