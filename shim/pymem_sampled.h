/* SPDX-License-Identifier: MIT
 *
 * CPython's allocators with sampling, where nearly all requests are passed over and shall cost as little as they can.
 *
 * Above a mean of SAMPLE_FREE_MEAN bytes the interpreter's own free stays in its place, without a hook. That pymalloc takes back a
 * recorded block by itself must never happen, therefore such a block is asked for as a large one, of pymalloc's `least` bytes or
 * more: pymalloc has it from the RAW domain, and hands whatever it does not know to the RAW domain's free, whose hook finds
 * the prefix. That an allocator does so is not believed but seen, for each recorded block anew; one that once did not keeps its
 * hook for free, and does not record a block of which it cannot be told where it would come back. What is lost by it is that
 * a block given to another family's free, one sampled block among many thousands, is told.
 *
 * Part of pymem.c, which calls it with its lock held where nothing else is said. */
#ifndef SHIM_PYMEM_SAMPLED_H
#define SHIM_PYMEM_SAMPLED_H

#include "capture.h"
#include "compiler.h"
#include "pyapi.h"
#include "sample.h"

#include <stdbool.h>

/* python_origin.free_hook */
enum python_free {
    FREE_HOOKED = 0, /* and so it stays */
    FREE_HOOKED_YET, /* no block has been recorded */
    FREE_UNHOOKED,
};

/* Before the first installation, after the options are known. */
void pymem_sampled_start(void);

/* A new origin, of which all else is known. */
void pymem_sampled_begin(struct python_origin *origin);

/* The hooks for a domain whose allocator is none of CPython's debug hooks, with `origin` as their context. */
struct py_allocator pymem_sampled_hooks(const struct python_origin *origin, enum py_domain domain);

/* Whether these are such hooks. Callable anywhere. */
bool pymem_sampled_is_hook(const struct py_allocator *allocator);

/* A block shall be recorded: what is asked for `bytes` bytes, and before that. Inside the guard of thread.h, without pymem.c's
 * lock. */
static _always_inline_ size_t pymem_sampled_ask(size_t bytes)
{
    if (unlikely(sample_least)) {
        thread_local_state.raw_served = NULL;
        bytes = MAX(bytes, sample_least);
    }
    return bytes;
}

/* Whether `base`, which was given for that (NULL: nothing was), may get a prefix. Likewise. */
bool pymem_sampled_may(uint64_t ref, const void *base);

static _always_inline_ bool pymem_sampled_accepts(uint64_t ref, const void *base)
{
    return likely(!sample_least) || pymem_sampled_may(ref, base);
}

/* ---- what pymem.c has for it ---- */

void *pymem_raw_malloc(void *context, size_t size);
void *pymem_raw_calloc(void *context, size_t count, size_t size);
void *pymem_raw_realloc(void *context, void *p, size_t size);
void pymem_raw_free(void *context, void *p);

extern _hidden_ const uintptr_t *pymem_finalizing; /* pycompat_finalizing */

static inline bool pymem_finalizes(void)
{
    return pymem_finalizing && *pymem_finalizing;
}

#endif
