/* SPDX-License-Identifier: MIT
 *
 * Blocks that did not come from an interposed function: from the C library's own entry points, from libraries that
 * hand out blocks, from before the shim. They must pass through untouched. */
#include "target.h"

#include <dlfcn.h>
#include <malloc.h>

static void *(*libc_malloc)(size_t);

static void foreign(void)
{
    char *block = libc_malloc(100);
    memset(block, 'a', 100);
    printf("usable: %d\n", malloc_usable_size(block) >= 100);
    block = realloc(block, 5000);
    int kept = 0;
    for (int i = 0; i < 100; i++)
        kept += block[i] == 'a';
    printf("kept by realloc: %d\n", kept);
    memset(block, 'b', malloc_usable_size(block));
    free(block);
    for (int i = 0; i < 1000; i++)
        free(libc_malloc((size_t)i * 10));
    free(realloc(libc_malloc(300000), 10));
}

int main(void)
{
    libc_malloc = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "__libc_malloc");
    if (libc_malloc)
        foreign();

    char *line = NULL, *text = NULL;
    size_t size = 0;
    FILE *in = fmemopen((void *)"one line\n", 9, "r");
    printf("getline: %zd\n", getline(&line, &size, in));
    fclose(in);
    free(line);
    printf("asprintf: %d\n", asprintf(&text, "%d %s", 12, "texts"));
    free(text);
    FILE *out = open_memstream(&text, &size);
    fprintf(out, "%100s", "wide");
    fclose(out);
    printf("open_memstream: %zu\n", size);
    free(text);
    free(realpath("/", NULL));
    free(getcwd(NULL, 0));
    puts("done");
    return 0;
}
