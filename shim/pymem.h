/* SPDX-License-Identifier: MIT
 *
 * CPython's allocator domains: installs the shim's allocators by PyMem_SetAllocator, and again when the interpreter replaces
 * them (PYTHONMALLOC, -X dev, a second Py_Initialize). Never uninstalls: blocks with a prefix would reach allocators that do
 * not know it. Inside the guard of thread.h, except where stated. */
#ifndef SHIM_PYMEM_H
#define SHIM_PYMEM_H

#include "capture.h"
#include "ledger_format.h"
#include "pyapi.h"

#include <stdbool.h>

/* Whether, and how often, allocations in libc have to look after the hooks. */
enum pymem_watching {
    PYMEM_WATCH_NOT = 0,
    PYMEM_WATCH_EACH, /* the interpreter starts: it may replace its allocators at any moment */
    PYMEM_WATCH_SOME, /* it runs */
};
extern uint8_t pymem_watching;

/* True while an interpreter is known. */
extern bool pymem_present;

/* The interpreter's API, or NULL when there is none. */
const struct pyapi *pymem_api(void);

/* Hooks the interpreter found through dlsym(handle, ..), if there is one. From the constructor and after dlopen. */
void pymem_start(void *handle);

/* In a forked child: describes the interpreter in the new ledger. */
void pymem_fork_child(void);

/* After dlclose: forgets the interpreter if its code is gone. */
void pymem_module_gone(void);

/* Looks whether the hooks are still in place, and installs them again where they should be. */
void pymem_watch(void);

#define PYMEM_GENERATIONS_MAX 64u /* fits the reference of a block */

/* The allocators that were found in the slots at one installation, and what our hooks get as their context. */
struct pymem_generation {
    struct py_allocator saved[PY_DOMAIN_COUNT];
    struct python_origin origins[PY_DOMAIN_COUNT];
};
extern struct pymem_generation pymem_generations[PYMEM_GENERATIONS_MAX];

/* The allocator number `index` for `domain` (DOMAIN_MEM or DOMAIN_OBJ), as it was before the shim. Callable anywhere. */
static inline const struct py_allocator *pymem_allocator(unsigned index, enum block_domain domain)
{
    return &pymem_generations[index].saved[domain == DOMAIN_MEM ? PY_MEM : PY_OBJ];
}

#endif
