/* SPDX-License-Identifier: MIT
 *
 * Takes all the memory that RLIMIT_AS leaves (argument 1: MiB), says how many blocks it got, and ends in the way of argument 2. */
#include "kept.h"

#include <sys/resource.h>

VISIBLE static long take_all(size_t size)
{
    long count = 0;

    for (;; count++) {
        void *block = use(malloc(size));
        if (!block)
            break;
        memset(block, 1, size);
    }
    NO_TAIL_CALL();
    return count;
}

static rlim_t address_space(void)
{
    char text[200] = "";
    FILE *in = fopen("/proc/self/statm", "r");

    if (!in || !fgets(text, sizeof(text), in))
        return RLIM_INFINITY;
    fclose(in);
    return strtoul(text, NULL, 10) * 4096;
}

int main(int argc, char **argv)
{
    struct rlimit limit;

    limit.rlim_cur = limit.rlim_max = address_space() + ((rlim_t)(argc > 1 ? atoi(argv[1]) : 64) << 20);
    if (setrlimit(RLIMIT_AS, &limit))
        return 1;
    printf("took %d\n", take_all(1000) > 0);
    fflush(stdout);
    if (argc > 2 && strcmp(argv[2], "abort") == 0)
        abort();
    return 0;
}
