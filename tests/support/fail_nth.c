/* SPDX-License-Identifier: MIT
 *
 * Preloaded into the analyzer by a test: the request for memory number FAIL_NTH (from 1 on, of malloc, calloc and realloc and
 * what is built on them) is refused, and then the file FAIL_MARK is made. In programs that the analyzer starts nothing is. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

static long left; /* up to the one that is refused, it included; 0 = none is */
static const char *mark;

__attribute__((constructor)) static void begin(void)
{
    const char *nth = getenv("FAIL_NTH");
    mark = getenv("FAIL_MARK");
    left = nth && mark && strcmp(program_invocation_short_name, "memshim") == 0 ? atol(nth) : 0;
}

static bool refused(void)
{
    if (left == 0 || --left > 0)
        return false;
    close(open(mark, O_CREAT | O_WRONLY, 0600));
    errno = ENOMEM;
    return true;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return refused() ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    return refused() ? NULL : __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t size)
{
    return refused() ? NULL : __libc_realloc(block, size);
}
