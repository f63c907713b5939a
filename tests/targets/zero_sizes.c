/* SPDX-License-Identifier: MIT
 *
 * What the C library does with requests of zero bytes, printed for comparison. */
#include "target.h"

#include <malloc.h>

int main(void)
{
    void *a = use(malloc(0)), *b = use(malloc(0));
    printf("malloc(0): %s, distinct: %d\n", a ? "block" : "null", a != b);
    printf("calloc(0, 8): %s\n", use(calloc(0, 8)) ? "block" : "null");
    printf("calloc(8, 0): %s\n", use(calloc(8, 0)) ? "block" : "null");
    printf("memalign(64, 0): %s\n", use(memalign(64, 0)) ? "block" : "null");
    printf("aligned_alloc(64, 0): %s\n", use(aligned_alloc(64, 0)) ? "block" : "null");
    void *p = NULL;
    int error = posix_memalign(&p, 64, 0);
    printf("posix_memalign(64, 0): %d, %s\n", error, p ? "block" : "null");
    printf("realloc(NULL, 0): %s\n", use(realloc(NULL, 0)) ? "block" : "null");
    errno = 0;
    printf("realloc(p, 0): %s, errno %d\n", use(realloc(a, 0)) ? "block" : "null", errno);
    errno = 0;
    printf("reallocarray(p, 0, 8): %s, errno %d\n", use(reallocarray(b, 0, 8)) ? "block" : "null", errno);
    printf("malloc_usable_size(NULL): %zu\n", malloc_usable_size(NULL));

    /* The bytes that a block of no size owns may be written. */
    unsigned char *blocks[64];
    for (int i = 0; i < 64; i++) {
        blocks[i] = use(malloc(0));
        memset(blocks[i], i, malloc_usable_size(blocks[i]));
    }
    int bad = 0;
    for (int i = 0; i < 64; i++) {
        for (size_t j = 0; j < malloc_usable_size(blocks[i]); j++)
            bad += blocks[i][j] != i;
        free(blocks[i]);
    }
    printf("bytes of other blocks overwritten: %d\n", bad);
    free(NULL);
    return 0;
}
