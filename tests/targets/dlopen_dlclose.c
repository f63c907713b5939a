/* SPDX-License-Identifier: MIT
 *
 * Loads a library (first argument), lets it lose 10 blocks, unloads it; 20 times. */
#include "target.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    for (int i = 0; i < 20; i++) {
        void *library = dlopen(argv[1], RTLD_NOW | (i % 2 ? RTLD_LOCAL : RTLD_GLOBAL));
        if (!library) {
            puts(dlerror());
            return 1;
        }
        void (*work)(int) = (void (*)(int))dlsym(library, "plugin_work");
        if (!work)
            return 1;
        work(10);
        dlclose(library);
    }
    printf("missing: %d\n", dlopen("/nonexistent.so", RTLD_NOW) == NULL && dlerror() != NULL);
    return 0;
}
