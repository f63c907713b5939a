/* SPDX-License-Identifier: MIT
 *
 * Takes a resource away from itself ("fsize": no file may grow; "nofile": no more descriptors; "as": 64 MiB more of
 * address space) and goes on allocating. */
#include "target.h"

#include <sys/resource.h>

static rlim_t address_space(void)
{
    unsigned long pages = 0;
    FILE *in = fopen("/proc/self/statm", "r");
    if (!in || fscanf(in, "%lu", &pages) != 1)
        return RLIM_INFINITY;
    fclose(in);
    return pages * 4096 + (64 << 20);
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "";
    struct rlimit limit = {0, 0};
    int resource = RLIMIT_FSIZE;
    if (strcmp(which, "nofile") == 0)
        resource = RLIMIT_NOFILE;
    if (strcmp(which, "as") == 0) {
        resource = RLIMIT_AS;
        limit.rlim_cur = limit.rlim_max = address_space();
    }
    puts(which);
    fflush(stdout);
    if (setrlimit(resource, &limit))
        return 1;
    int refused = 0;
    for (int i = 0; i < 100000; i++)
        refused += use(malloc(100)) == NULL;
    printf("refused: %d\n", refused);
    return 0;
}
