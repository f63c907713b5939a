/* SPDX-License-Identifier: MIT
 *
 * Loads libpython (argument 1) late and locally, runs the code of argument 2, finalizes, unloads; argument 3 times. Allocates in
 * between, where the library was. */
#include "target.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 0; argc > 3 && i < atoi(argv[3]); i++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            puts(dlerror());
            return 1;
        }
        void (*initialize)(int) = (void (*)(int))dlsym(library, "Py_InitializeEx");
        int (*run)(const char *, void *) = (int (*)(const char *, void *))dlsym(library, "PyRun_SimpleStringFlags");
        int (*finalize)(void) = (int (*)(void))dlsym(library, "Py_FinalizeEx");
        initialize(0);
        failed += run(argv[2], NULL) != 0;
        failed += finalize() != 0;
        failed += dlclose(library) != 0;
        for (size_t size = 0; size < 2000; size++)
            free(use(malloc(size)));
    }
    printf("failed: %d\n", failed);
    return failed;
}
