/* SPDX-License-Identifier: MIT
 *
 * What the hooks do: the place that orders the steps of an event (real call, stack, record, prefix). The functions take
 * the arguments of the hooked function and the hook's UNWIND_HERE, from which stacks begin, and behave as the
 * real ones: result, errno, undefined cases. Callable from any thread at any time, also before and after the shim's own life,
 * and from signal handlers as far as the real functions are. */
#ifndef SHIM_CAPTURE_H
#define SHIM_CAPTURE_H

#include "ledger_format.h"
#include "pyapi.h"
#include "unwind.h"

#include <stdbool.h>
#include <stddef.h>

/* ---- the C library's family: capture.c ---- */

void *capture_malloc(size_t size, void *const *frame);
void *capture_calloc(size_t count, size_t size, void *const *frame);
void *capture_realloc(void *p, size_t size, void *const *frame);
/* `alignment`: a power of two. */
void *capture_memalign(size_t alignment, size_t size, void *const *frame);
void capture_free(void *p, void *const *frame);
size_t capture_usable_size(void *p);

#define CAPTURE_SIZE_UNKNOWN SIZE_MAX
void capture_free_sized(void *p, size_t size, void *const *frame);

/* operator delete (DOMAIN_NEW) and delete[] (DOMAIN_NEW_ARRAY) of `size` bytes, or CAPTURE_SIZE_UNKNOWN. False: the block is
 * not recorded, and left to the real operator. */
bool capture_delete(void *p, enum block_domain by, size_t size, void *const *frame);

/* ---- CPython's MEM and OBJ domains: capture_python.c ---- */

/* `allocator` made the block (or shall make it), `index` is its number in the reference. */
struct python_origin {
    const struct py_allocator *allocator;
    uint64_t ref; /* a block's reference without record and process */
    enum block_domain domain;
    bool direct;       /* small requests reach no other hook */
    uint8_t free_hook; /* enum python_free of pymem_sampled.h */
    uint8_t index;
};

/* Fills an origin's reference, once block_distance is settled. */
struct python_origin capture_python_origin(const struct py_allocator *allocator, enum block_domain domain,
                                           uint8_t index);

/* Hooks for the interpreter, with a struct python_origin as their context: nothing stands between them and the hot path. */
void *capture_python_hook_malloc(void *context, size_t size);
void capture_python_hook_free(void *context, void *p);

/* Quicker ones, if pysame_wide: capture_python_wide.c. */
void *capture_python_hook_malloc_wide(void *context, size_t size);
void *capture_python_hook_realloc_wide(void *context, void *p, size_t size);

/* The same with guard bytes: capture_guarded.c. */
void *capture_guarded_hook_malloc(void *context, size_t size);
void *capture_guarded_python_malloc(const struct python_origin *origin, size_t size, void *const *frame);
bool capture_guarded_python_free(const struct python_origin *origin, void *p, void *const *frame);
void *capture_guarded_hook_calloc(void *context, size_t count, size_t size);
void *capture_guarded_hook_realloc(void *context, void *p, size_t size);
void capture_guarded_hook_free(void *context, void *p);
void *capture_guarded_hook_malloc_wide(void *context, size_t size); /* capture_guarded_wide.c */
void *capture_guarded_hook_calloc_wide(void *context, size_t count, size_t size);
void *capture_guarded_hook_realloc_wide(void *context, void *p, size_t size);
void capture_guarded_hook_free_wide(void *context, void *p);

struct thread;

/* And for malloc, inside the guard of thread.h, and free. False: nothing has been done. */
void *capture_guarded_malloc(struct thread *thread, size_t size, uint64_t ref, void *const *frame);
bool capture_guarded_free(void *p, void *const *frame);

/* The hooks for the interpreter, for the hook with `frame`. */
void *capture_python_malloc(const struct python_origin *origin, size_t size, void *const *frame);
void *capture_python_calloc(const struct python_origin *origin, size_t count, size_t size, void *const *frame);
void *capture_python_realloc(const struct python_origin *origin, void *p, size_t size, void *const *frame);
void capture_python_free(const struct python_origin *origin, void *p, void *const *frame);

/* The same where CPython's debug hooks lie below: blocks without a prefix, records found by address (side_table.h). */
void *capture_aside_malloc(const struct python_origin *origin, size_t size, void *const *frame);
void *capture_aside_calloc(const struct python_origin *origin, size_t count, size_t size, void *const *frame);
void *capture_aside_realloc(const struct python_origin *origin, void *p, size_t size, void *const *frame);
void capture_aside_free(const struct python_origin *origin, void *p, void *const *frame);

/* A block without a prefix is freed by other hooks than those that recorded it. */
void capture_aside_forget(const struct python_origin *origin, const void *p, void *const *frame);

#endif
