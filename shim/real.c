/* SPDX-License-Identifier: MIT */
#include "real.h"

#include <dlfcn.h>
#include <stdint.h>

#define POOL_SIZE (64u << 10)

struct real real;
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

void real_init(void)
{
    static bool busy;

    if (real_ready || busy)
        return;
    busy = true; /* dlsym may call calloc: that comes back here */
    struct real found;
#define REAL_FIND(name, result, parameters) found.name = (result(*) parameters)dlsym(RTLD_NEXT, #name);
    REAL_FUNCTIONS(REAL_FIND)
#undef REAL_FIND
    real = found;
    __atomic_store_n(&real_ready, true, __ATOMIC_RELEASE);
    busy = false;
}
