/* SPDX-License-Identifier: MIT */
#include "real.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#define POOL_SIZE (64u << 10)

_hot_data_ struct real real;
bool real_ready;

static uint8_t pool[POOL_SIZE] __attribute__((aligned(16)));
static size_t pool_used;

void *real_early_alloc(size_t size)
{
    size_t wanted = (size + 15) & ~(size_t)15;
    if (size > POOL_SIZE)
        return NULL;
    size_t at = __atomic_fetch_add(&pool_used, wanted ? wanted : 16, __ATOMIC_RELAXED);
    return at + wanted <= POOL_SIZE ? pool + at : NULL;
}

bool real_early_owns(const void *pointer)
{
    return (uintptr_t)pointer - (uintptr_t)pool < POOL_SIZE;
}

size_t real_early_room(const void *pointer)
{
    return (size_t)(pool + POOL_SIZE - (const uint8_t *)pointer);
}

/* dlsym itself is hooked: the real one is found by its version, which dlvsym takes. */
static void *find_next(const char *name)
{
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5"};
    static void *(*next_dlsym)(void *, const char *);

    for (size_t i = 0; !next_dlsym && i < ARRAY_SIZE(versions); i++)
        next_dlsym = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    if (!next_dlsym || strcmp(name, "dlsym") == 0)
        return (void *)(uintptr_t)next_dlsym;
    void *function = next_dlsym(RTLD_NEXT, name);
    return function;
}

void real_init(void)
{
    static bool busy;

    if (real_ready || busy)
        return;
    busy = true; /* dlsym may call calloc: that comes back here */
    struct real found;
#define REAL_FIND(name, result, parameters) found.name = (result(*) parameters)find_next(#name);
    REAL_FUNCTIONS(REAL_FIND)
#undef REAL_FIND
    real = found;
    __atomic_store_n(&real_ready, true, __ATOMIC_RELEASE);
    busy = false;
}
