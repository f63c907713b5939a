/* SPDX-License-Identifier: MIT
 *
 * CPython's allocator domains: installs the shim's allocators by PyMem_SetAllocator, and again when the interpreter replaces
 * them (PYTHONMALLOC, -X dev, a second Py_Initialize). Never uninstalls: blocks with a prefix would reach allocators that do
 * not know it. Inside the guard of thread.h, except where stated. */
#ifndef SHIM_PYMEM_H
#define SHIM_PYMEM_H

#include "capture.h"
#include "compiler.h"
#include "ledger_format.h"
#include "pyapi.h"
#include "pycompat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether, and how often, allocations in libc have to look after the hooks. */
enum pymem_watching {
    PYMEM_WATCH_NOT = 0,
    PYMEM_WATCH_EACH, /* the interpreter starts: it may replace its allocators at any moment */
    PYMEM_WATCH_SOME, /* it runs */
};
extern _hidden_ uint8_t pymem_watching;

/* True while an interpreter is known. */
extern _hidden_ bool pymem_present;

/* The same, and Python stacks are wanted. */
extern _hidden_ bool pymem_captures;

/* The same, and they can be taken in the way of plain_wide.h (pysame_wide). */
extern _hidden_ bool pymem_captures_wide;

/* Where the interpreter's own code lies. */
extern _hidden_ uintptr_t pymem_code_start;
extern _hidden_ size_t pymem_code_size;

/* Whether it can be told that a thread does not hold the interpreter's lock (pyframes_attached). */
extern _hidden_ bool pymem_checks_lock;

/* Whether subinterpreters have heaps of their own. */
extern _hidden_ bool pymem_many_heaps;

/* True unless the calling thread, which holds the interpreter's lock, is in a subinterpreter with a heap of its own. */
bool pymem_looks_at_interpreter(void);

static inline bool pymem_in_main_interpreter(void)
{
    return !pymem_many_heaps || pymem_looks_at_interpreter();
}

/* The main interpreter, once it was met. */
extern _hidden_ uintptr_t pymem_main;

/* pymem_in_main_interpreter for a thread that holds this thread state: most often without a call. */
static _always_inline_ bool pymem_is_in_main(uintptr_t holder)
{
    return likely(!pymem_many_heaps) || likely(pycompat_load(holder, PYCOMPAT_THREAD_INTERPRETER) == pymem_main) ||
           pymem_looks_at_interpreter();
}

/* An origin whose blocks come from libc, for requests that Python's allocators must not see. */
const struct python_origin *pymem_libc_origin(enum block_domain domain);

/* The interpreter's API, or NULL when there is none. */
const struct pyapi *pymem_api(void);

/* Hooks the interpreter found through dlsym(handle, ..), if there is one. From the constructor and after dlopen. */
void pymem_start(void *handle);

/* In a forked child: describes the interpreter in the new ledger. */
void pymem_fork_child(void);

/* Before a dlclose that may unload the interpreter: nothing of it is touched up to pymem_resume. False: it runs, and stays. */
bool pymem_suspend(void);
void pymem_resume(void);

/* After dlclose: forgets the interpreter if its code is gone. */
void pymem_module_gone(void);

/* Looks whether the hooks are still in place, and installs them again where they should be. */
void pymem_watch(void);

#define PYMEM_GENERATIONS_MAX 64u /* fits the reference of a block; the last one is libc */

/* The allocators that were found in the slots at one installation, and what our hooks get as their context. */
struct pymem_generation {
    struct py_allocator saved[PY_DOMAIN_COUNT];
    struct python_origin origins[PY_DOMAIN_COUNT];
};
extern _hidden_ struct pymem_generation pymem_generations[PYMEM_GENERATIONS_MAX];

/* The allocator number `index` for `domain` (DOMAIN_MEM or DOMAIN_OBJ), as it was before the shim. Callable anywhere. */
static inline const struct py_allocator *pymem_allocator(unsigned index, enum block_domain domain)
{
    return &pymem_generations[index].saved[domain == DOMAIN_MEM ? PY_MEM : PY_OBJ];
}

#endif
