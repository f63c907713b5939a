/* SPDX-License-Identifier: MIT
 *
 * Grows and shrinks blocks through many sizes and looks whether realloc keeps their contents. */
#include "target.h"

#include <malloc.h>

static int differing(const unsigned char *block, size_t size)
{
    int bad = 0;
    for (size_t i = 0; i < size; i++)
        bad += block[i] != (unsigned char)(i * 7);
    return bad;
}

static void fill(unsigned char *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        block[i] = (unsigned char)(i * 7);
}

int main(void)
{
    static const size_t sizes[] = {1, 15, 16, 17, 24, 25, 500, 513, 4000, 4097, 100000, 140000, 2000000, 300, 8, 1};
    enum { COUNT = sizeof(sizes) / sizeof(*sizes) };
    int bad = 0;

    for (int start = 0; start < COUNT; start++)
        for (int aligned = 0; aligned < 2; aligned++) {
            size_t size = sizes[start];
            unsigned char *block = aligned ? memalign(1024, size) : malloc(size);
            fill(block, size);
            for (int i = 0; i < COUNT; i++) {
                block = use(realloc(block, sizes[i]));
                bad += differing(block, size < sizes[i] ? size : sizes[i]);
                size = sizes[i];
                fill(block, size);
            }
            free(block);
        }
    printf("bytes not kept: %d\n", bad);
    return 0;
}
