/* SPDX-License-Identifier: MIT
 *
 * For targets whose output is compared with their reports (tests/torture/compare.py): blocks that are never freed, and the line
 * that says so, written at once and without stdio. */
#ifndef KEPT_H
#define KEPT_H

#include "target.h"

__attribute__((unused)) VISIBLE static void keep(int count, size_t size)
{
    for (int i = 0; i < count; i++)
        memset(use(malloc(size)), i, size);
    NO_TAIL_CALL();
}

/* To descriptor `fd`. */
__attribute__((unused)) static void tell_to(int fd, long count, size_t size)
{
    char line[80];
    int length = snprintf(line, sizeof(line), "kept %d %ld %zu\n", getpid(), count, (size_t)count * size);

    if (write(fd, line, (size_t)length) != length)
        _exit(99);
}

__attribute__((unused)) static void tell(long count, size_t size)
{
    tell_to(1, count, size);
}

#endif
