/* SPDX-License-Identifier: MIT
 *
 * Writes every usable byte of many blocks that live at the same time and looks whether they keep what was written. */
#include "target.h"

#include <malloc.h>

#define BLOCKS 4000

static unsigned char *blocks[BLOCKS];

static size_t size_of(int i)
{
    return i % 100 == 99 ? 200000 + (size_t)i : (size_t)i;
}

int main(void)
{
    int small = 0, bad = 0, zeroed = 0;

    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = i % 3 == 0 ? calloc(1, size_of(i)) : i % 3 == 1 ? malloc(size_of(i)) : memalign(64, size_of(i));
        size_t usable = malloc_usable_size(blocks[i]);
        small += usable < size_of(i);
        for (size_t j = 0; i % 3 == 0 && j < size_of(i); j++)
            zeroed += blocks[i][j] != 0;
        memset(blocks[i], i & 0xff, usable);
    }
    for (int i = 0; i < BLOCKS; i++) {
        for (size_t j = 0; j < malloc_usable_size(blocks[i]); j++)
            bad += blocks[i][j] != (i & 0xff);
        free(blocks[i]);
    }
    printf("too small: %d, overwritten: %d, not zeroed by calloc: %d\n", small, bad, zeroed);
    return 0;
}
