/* SPDX-License-Identifier: MIT
 *
 * Loads a plugin (argument 1) with RTLD_DEEPBIND, which then finds libc's names before any preloaded ones. Blocks go over to the
 * other side, are resized and freed there. */
#include "target.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (!plugin) {
        puts(dlerror());
        return 1;
    }
    void *(*make)(size_t) = (void *(*)(size_t))dlsym(plugin, "plugin_make");
    void *(*resize)(void *, size_t) = (void *(*)(void *, size_t))dlsym(plugin, "plugin_resize");
    void (*drop)(void *) = (void (*)(void *))dlsym(plugin, "plugin_drop");
    int wrong = 0;
    for (size_t i = 1; i < 2000; i++) {
        unsigned char *theirs = make(i), *ours = use(malloc(i));
        memset(theirs, 1, i);
        memset(ours, 2, i);
        theirs = use(realloc(theirs, i * 2));
        ours = resize(ours, i * 2);
        wrong += theirs[i - 1] != 1 || ours[i - 1] != 2;
        free(theirs);
        drop(ours);
    }
    dlclose(plugin);
    printf("wrong: %d\n", wrong);
    return wrong != 0;
}
