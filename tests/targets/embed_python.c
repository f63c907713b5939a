/* SPDX-License-Identifier: MIT
 *
 * A program that is not linked with Python: loads libpython (first argument) late, runs the code of the second
 * argument, finalizes; all that as often as the third argument says. */
#include "target.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        puts(dlerror());
        return 1;
    }
    void (*initialize)(int) = (void (*)(int))dlsym(library, "Py_InitializeEx");
    int (*run)(const char *, void *) = (int (*)(const char *, void *))dlsym(library, "PyRun_SimpleStringFlags");
    int (*finalize)(void) = (int (*)(void))dlsym(library, "Py_FinalizeEx");
    int failed = 0;
    for (int i = 0; i < atoi(argv[3]); i++) {
        initialize(0);
        failed += run(argv[2], NULL) != 0;
        failed += finalize() != 0;
    }
    printf("failed: %d\n", failed);
    return failed;
}
