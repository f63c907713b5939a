/* SPDX-License-Identifier: MIT
 *
 * Asks for every alignment up to 1 MiB in every way and writes every byte: prints how many were wrong. */
#include "target.h"

#include <malloc.h>

static int wrong(void *block, size_t alignment, size_t size)
{
    if (!block)
        return 1;
    memset(block, 0xa5, malloc_usable_size(block));
    int bad = (uintptr_t)block % alignment != 0 || malloc_usable_size(block) < size;
    void *grown = use(realloc(block, size + 100));
    bad |= size > 0 && *(unsigned char *)grown != 0xa5;
    bad |= (uintptr_t)grown % _Alignof(max_align_t) != 0;
    free(grown);
    return bad;
}

int main(void)
{
    int bad = 0;
    for (size_t alignment = sizeof(void *); alignment <= 1 << 20; alignment *= 2)
        for (size_t size = 0; size < 5000; size += 1 + size / 3) {
            void *block = NULL;
            bad += posix_memalign(&block, alignment, size) != 0 || wrong(block, alignment, size);
            bad += wrong(use(memalign(alignment, size)), alignment, size);
            bad += wrong(use(aligned_alloc(alignment, size)), alignment, size);
        }
    printf("aligned: %d wrong\n", bad);

    for (size_t size = 0; size < 3000; size += 7) {
        bad += wrong(use(malloc(size)), _Alignof(max_align_t), size);
        bad += wrong(use(calloc(1, size)), _Alignof(max_align_t), 0);
        bad += wrong(use(valloc(size)), 4096, size);
        bad += wrong(use(pvalloc(size)), 4096, (size + 4095) / 4096 * 4096);
    }
    printf("all: %d wrong\n", bad);
    return 0;
}
