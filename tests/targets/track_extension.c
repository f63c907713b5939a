/* SPDX-License-Identifier: MIT
 *
 * What track_extension.py loads: calls CPython's functions for memory that it cannot see, as numpy does. Each returns what
 * PyTraceMalloc_Track or PyTraceMalloc_Untrack said. */
#include "target.h"

#include <sys/mman.h>

extern int PyTraceMalloc_Track(unsigned domain, uintptr_t p, size_t size);
extern int PyTraceMalloc_Untrack(unsigned domain, uintptr_t p);

#define NUMPY 389047u

#define ENTRY __attribute__((noinline, noclone, visibility("default")))

static void *volatile kept[4];

ENTRY int keep_array(void)
{
    kept[0] = use(malloc(12345));
    return PyTraceMalloc_Track(NUMPY, (uintptr_t)kept[0], 12345);
}

/* numpy moves arrays like this: the old address is untracked when it is not valid any more. */
ENTRY int resize_array(void)
{
    uintptr_t old = (uintptr_t)kept[0];
    kept[0] = realloc(kept[0], 5 << 20);
    PyTraceMalloc_Untrack(NUMPY, old);
    return PyTraceMalloc_Track(NUMPY, (uintptr_t)kept[0], 5 << 20);
}

ENTRY int map_device(void)
{
    kept[1] = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    kept[2] = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PyTraceMalloc_Track(77, (uintptr_t)kept[2], 8192);
    return PyTraceMalloc_Track(77, (uintptr_t)kept[1], 8192);
}

ENTRY int unmap_device(void)
{
    int result = PyTraceMalloc_Untrack(77, (uintptr_t)kept[1]);
    munmap(kept[1], 8192);
    return result;
}
