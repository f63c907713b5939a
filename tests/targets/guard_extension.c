/* SPDX-License-Identifier: MIT
 *
 * What a C extension may do wrong without anybody noticing: the end mark of a string in a block that has no room for it.
 * guard_extension.py calls it. */
#include <stddef.h>
#include <string.h>

void *PyMem_Malloc(size_t size);
void PyMem_Free(void *p);

__attribute__((noinline, noclone, visibility("default"))) size_t count_letters(const char *text, size_t size)
{
    char *copy = PyMem_Malloc(size);
    size_t count;

    memcpy(copy, text, size);
    copy[size] = '\0';
    count = strlen(copy);
    PyMem_Free(copy);
    return count;
}
