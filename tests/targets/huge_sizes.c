/* SPDX-License-Identifier: MIT
 *
 * What the C library does with sizes that cannot be had or that overflow, and with bad alignments, printed. */
#include "target.h"

#include <malloc.h>

static const size_t huge[] = {
    SIZE_MAX,
    SIZE_MAX - 1,
    SIZE_MAX - 7,
    SIZE_MAX - 15,
    SIZE_MAX - 16,
    SIZE_MAX - 17,
    SIZE_MAX - 31,
    SIZE_MAX - 4095,
    (size_t)PTRDIFF_MAX + 1,
    (size_t)PTRDIFF_MAX,
    PTRDIFF_MAX - 15,
    PTRDIFF_MAX - 16,
    PTRDIFF_MAX - 32,
    PTRDIFF_MAX - 48,
    PTRDIFF_MAX - 4096,
    SIZE_MAX / 2 - 8192,
};

static void result(const char *what, size_t size, void *block)
{
    printf("%s %zx: %s, errno %d\n", what, size, block ? "block" : "null", errno);
    errno = 0;
}

static void try_size(size_t size)
{
    errno = 0;
    result("malloc", size, use(malloc(size)));
    result("calloc 1", size, use(calloc(1, size)));
    result("calloc 2", size, use(calloc(size, 2)));
    result("memalign", size, use(memalign(64, size)));
    result("memalign page", size, use(memalign(4096, size)));
    result("aligned_alloc", size, use(aligned_alloc(32, size)));
    result("valloc", size, use(valloc(size)));
    result("pvalloc", size, use(pvalloc(size)));

    void *kept = (void *)1;
    int error = posix_memalign(&kept, 64, size);
    printf("posix_memalign %zx: %d, pointer kept: %d, errno %d\n", size, error, kept == (void *)1, errno);

    char *block = malloc(32);
    strcpy(block, "still here");
    errno = 0;
    result("realloc", size, use(realloc(block, size)));
    result("reallocarray", size, use(reallocarray(block, size, 3)));
    printf("the block: %s\n", block);
    free(block);
}

static void try_alignment(size_t alignment)
{
    void *block = NULL;
    errno = 0;
    int error = posix_memalign(&block, alignment, 100);
    printf("posix_memalign alignment %zx: %d, errno %d\n", alignment, error, errno);
    if (error == 0)
        free(block);
    block = use(aligned_alloc(alignment, 100));
    printf("aligned_alloc alignment %zx: %s, errno %d\n", alignment, block ? "block" : "null", errno);
    free(block);
    errno = 0;
    block = use(memalign(alignment, 100));
    printf("memalign alignment %zx: %s, errno %d\n", alignment, block ? "block" : "null", errno);
    free(block);
}

int main(void)
{
    static const size_t alignments[] = {
        0, 1, 2, 3, 4, 7, 8, 12, 16, 24, 48, 100, SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 2, SIZE_MAX / 2,
    };
    for (size_t i = 0; i < sizeof(huge) / sizeof(*huge); i++)
        try_size(huge[i]);
    for (size_t i = 0; i < sizeof(alignments) / sizeof(*alignments); i++)
        try_alignment(alignments[i]);

    /* volatile: the compiler would refuse products that it can see overflow */
    volatile size_t big = (size_t)1 << 33, wraps = (SIZE_MAX >> 4) + 2;
    errno = 0;
    result("calloc overflow", 0, use(calloc(big, big)));
    result("calloc overflow to 16", 0, use(calloc(wraps, 16)));
    result("reallocarray overflow", 0, use(reallocarray(NULL, wraps, 16)));
    return 0;
}
