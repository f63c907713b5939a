/* SPDX-License-Identifier: MIT
 *
 * Loses blocks from every function of the malloc family, each in a function of its own with a count and size of its own. */
#include "target.h"

#include <malloc.h>

#define LOSE(name, count, expression) \
    VISIBLE static void name(void) \
    { \
        for (int i = 0; i < (count); i++) \
            use(expression); \
        NO_TAIL_CALL(); \
    }

static void *posix_memalign_block(size_t alignment, size_t size)
{
    void *block = NULL;
    return posix_memalign(&block, alignment, size) == 0 ? block : NULL;
}

LOSE(lose_malloc, 3, malloc(101))
LOSE(lose_calloc, 4, calloc(7, 16))
LOSE(lose_realloc_null, 5, realloc(NULL, 123))
LOSE(lose_realloc_grown, 6, realloc(use(malloc(10)), 1000))
LOSE(lose_realloc_shrunk, 7, realloc(use(malloc(5000)), 55))
LOSE(lose_reallocarray, 8, reallocarray(NULL, 9, 11))
LOSE(lose_memalign, 9, memalign(512, 201))
LOSE(lose_aligned_alloc, 10, aligned_alloc(128, 256))
LOSE(lose_posix_memalign, 11, posix_memalign_block(4096, 77))
LOSE(lose_valloc, 12, valloc(88))
LOSE(lose_pvalloc, 13, pvalloc(4096))
LOSE(lose_strdup, 14, strdup("a text of 23 characters"))
LOSE(lose_mapped, 2, malloc(1 << 20))

int main(void)
{
    lose_malloc();
    lose_calloc();
    lose_realloc_null();
    lose_realloc_grown();
    lose_realloc_shrunk();
    lose_reallocarray();
    lose_memalign();
    lose_aligned_alloc();
    lose_posix_memalign();
    lose_valloc();
    lose_pvalloc();
    lose_strdup();
    lose_mapped();
    return 0;
}
