/* SPDX-License-Identifier: MIT
 *
 * A library for dlopen_dlclose.c: loses blocks in a function whose name is found only if the report remembers
 * where the library was. */
#include "target.h"

__attribute__((visibility("default"))) void plugin_work(int count);

VISIBLE static void plugin_lose(int count)
{
    for (int i = 0; i < count; i++)
        use(malloc(48));
    NO_TAIL_CALL();
}

void plugin_work(int count)
{
    plugin_lose(count);
    NO_TAIL_CALL();
}

__attribute__((visibility("default"))) void *plugin_make(size_t size);
__attribute__((visibility("default"))) void *plugin_resize(void *p, size_t size);
__attribute__((visibility("default"))) void plugin_drop(void *p);

void *plugin_make(size_t size)
{
    return use(malloc(size));
}

void *plugin_resize(void *p, size_t size)
{
    return use(realloc(p, size));
}

void plugin_drop(void *p)
{
    free(p);
}
