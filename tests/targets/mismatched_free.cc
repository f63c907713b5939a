// SPDX-License-Identifier: MIT
//
// One release that does not fit the allocation, named by the argument; "fitting": all that do.
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" void free_sized(void *, size_t) __attribute__((weak)); // C23: only with the shim, up to now

struct large {
    char bytes[24];
};

__attribute__((noinline)) static void *hide(void *block)
{
    asm volatile("" : "+r"(block) : : "memory");
    return block;
}

static void run_fitting()
{
    operator delete(hide(operator new(10)));
    operator delete(hide(operator new(10)), (size_t)10);
    operator delete[](hide(operator new[](10)));
    delete[](large *) hide(new large[3]);
    operator delete(hide(operator new(64, std::align_val_t(64))), std::align_val_t(64));
    std::free(hide(std::aligned_alloc(64, 128)));
    if (free_sized)
        free_sized(hide(std::malloc(10)), 10);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (!std::strcmp(what, "new-free"))
        std::free(hide(operator new(10)));
    else if (!std::strcmp(what, "malloc-delete"))
        operator delete(hide(std::malloc(10)));
    else if (!std::strcmp(what, "array-delete"))
        operator delete(hide(operator new[](10)));
    else if (!std::strcmp(what, "new-delete-array"))
        operator delete[](hide(operator new(10)));
    else if (!std::strcmp(what, "memalign-delete"))
        operator delete(hide(std::aligned_alloc(64, 64)));
    else if (!std::strcmp(what, "delete-size"))
        operator delete(hide(operator new(10)), (size_t)20);
    else if (!std::strcmp(what, "free-size") && free_sized)
        free_sized(hide(std::malloc(10)), 11);
    else if (!std::strcmp(what, "new-realloc"))
        std::free(std::realloc(hide(operator new(10)), 100));
    else if (!std::strcmp(what, "fitting"))
        run_fitting();
    return 0;
}
