/* SPDX-License-Identifier: MIT */
#include "pymem_sampled.h"

#include "fault.h"
#include "guard.h"
#include "plain.h"
#include "pymem.h"

#define HERE UNWIND_HERE

/* ---- MEM and OBJ ---- */

/* All that is done for a small request which is passed over is here, also inside the shim, where none is
 * recorded. What pymalloc serves itself asks libc for nothing meanwhile; anything else, and what is to be recorded, goes the
 * usual way, by a jump: the hook there sees the same frame. */
static void *sampled_malloc(void *context, size_t size)
{
    struct thread_local_state *state = &thread_local_state;
    const struct python_origin *origin = context;
    int64_t left = state->sample_left - (int64_t)size;

    if (unlikely(size - 1 >= event_passed_max) || unlikely(left <= 0))
        return capture_python_hook_malloc(context, size);
    state->sample_left = left;
    return origin->allocator->malloc(origin->allocator->context, size);
}

static void *sampled_calloc(void *context, size_t count, size_t size)
{
    const struct py_allocator *allocator = ((const struct python_origin *)context)->allocator;
    size_t bytes;

    if (unlikely(__builtin_mul_overflow(count, size, &bytes)) || unlikely(!plain_passes(bytes)))
        return capture_python_calloc(context, count, size, HERE);
    void *p = allocator->calloc(allocator->context, count, size);
    thread_local_state.busy = 0;
    return p;
}

static void *sampled_realloc(void *context, void *p, size_t size)
{
    const struct py_allocator *allocator = ((const struct python_origin *)context)->allocator;

    if (unlikely(!plain_is_foreign(p)) || unlikely(!plain_passes(size)))
        return capture_python_realloc(context, p, size, HERE);
    void *moved = allocator->realloc(allocator->context, p, size);
    thread_local_state.busy = 0;
    return moved;
}

/* There is a recorded block nearby. */
static _noinline_ void sampled_free_doubtful(void *context, void *p)
{
    const struct py_allocator *allocator = ((const struct python_origin *)context)->allocator;

    if (likely(plain_is_foreign_after_all(p)))
        allocator->free(allocator->context, p);
    else
        capture_python_hook_free(context, p);
}

static void sampled_free(void *context, void *p)
{
    const struct py_allocator *allocator = ((const struct python_origin *)context)->allocator;

    if (likely(plain_is_foreign(p)))
        allocator->free(allocator->context, p);
    else
        sampled_free_doubtful(context, p);
}

/* ---- RAW ---- */

/* Inside another request all of these do nothing but tell what they gave. A request that is passed over has the guard up, so that
 * libc's hook does not count it again. */
static void *sampled_raw_malloc(void *context, size_t size)
{
    struct thread_local_state *state = &thread_local_state;
    const struct py_allocator *allocator = ((const struct python_origin *)context)->allocator;

    if (state->busy)
        return state->raw_served = allocator->malloc(allocator->context, size);
    if (unlikely(!plain_passes(size)))
        return pymem_raw_malloc(context, size);
    void *p = allocator->malloc(allocator->context, size);
    state->busy = 0;
    return p;
}

static void *sampled_raw_calloc(void *context, size_t count, size_t size)
{
    struct thread_local_state *state = &thread_local_state;
    const struct py_allocator *allocator = ((const struct python_origin *)context)->allocator;

    if (state->busy)
        return state->raw_served = allocator->calloc(allocator->context, count, size);
    return pymem_raw_calloc(context, count, size);
}

static void *sampled_raw_realloc(void *context, void *p, size_t size)
{
    struct thread_local_state *state = &thread_local_state;
    const struct py_allocator *allocator = ((const struct python_origin *)context)->allocator;

    if (state->busy)
        return state->raw_served = allocator->realloc(allocator->context, p, size);
    if (unlikely(!plain_is_foreign(p)) || unlikely(!plain_passes(size)))
        return pymem_raw_realloc(context, p, size);
    void *moved = allocator->realloc(allocator->context, p, size);
    state->busy = 0;
    return moved;
}

static struct python_origin *origin_of(uint64_t ref)
{
    return &pymem_generations[block_allocator(ref)].origins[block_domain_of(ref) == DOMAIN_MEM ? PY_MEM : PY_OBJ];
}

/* Whether `p` is a recorded block of another domain, which pymalloc hands on. */
static bool frees_handed_on(const struct py_allocator *allocator, void *p)
{
    uint64_t ref = sample_least && p ? block_find(p) : 0;

    if (!ref || !event_is_python(block_domain_of(ref)) || origin_of(ref)->free_hook != FREE_UNHOOKED)
        return false;
    event_leave(p, ref);
    allocator->free(allocator->context, block_base(p, ref));
    return true;
}

static void sampled_raw_free(void *context, void *p)
{
    const struct py_allocator *allocator = ((const struct python_origin *)context)->allocator;

    if (likely(plain_is_foreign(p)) && likely(!pymem_finalizes()))
        allocator->free(allocator->context, p);
    else if (!frees_handed_on(allocator, p))
        pymem_raw_free(context, p);
}

/* ---- which of them, and when ---- */

void pymem_sampled_start(void)
{
    bool plain = !guard_active && !start_options.guard_pages && !fault_active;

    sample_least = plain && sample_mean >= SAMPLE_FREE_MEAN ? EVENT_PYMALLOC_MAX + 1 : 0;
}

void pymem_sampled_begin(struct python_origin *origin)
{
    origin->free_hook = sample_least && origin->direct ? FREE_HOOKED_YET : FREE_HOOKED;
}

struct py_allocator pymem_sampled_hooks(const struct python_origin *origin, enum py_domain domain)
{
    void *context = (void *)(uintptr_t)origin;

    if (domain == PY_RAW)
        return (struct py_allocator){context, sampled_raw_malloc, sampled_raw_calloc, sampled_raw_realloc,
                                     sampled_raw_free};
    return (struct py_allocator){context, origin->direct ? sampled_malloc : capture_python_hook_malloc, sampled_calloc,
                                 sampled_realloc,
                                 origin->free_hook == FREE_UNHOOKED ? origin->allocator->free : sampled_free};
}

bool pymem_sampled_is_hook(const struct py_allocator *allocator)
{
    return allocator->malloc == sampled_malloc || allocator->malloc == sampled_raw_malloc;
}

/* As long as our hooks are in their slot. pymalloc has no use for the context. */
static void unhook_free(struct python_origin *origin)
{
    const struct pyapi *api = pymem_api();
    int domain = origin->domain == DOMAIN_MEM ? PY_MEM : PY_OBJ;
    struct py_allocator current;

    if (!api)
        return;
    api->get_allocator(domain, &current);
    if (current.context != origin || current.malloc != sampled_malloc)
        return;
    current.free = origin->allocator->free;
    origin->free_hook = FREE_UNHOOKED;
    api->set_allocator(domain, &current);
}

bool pymem_sampled_may(uint64_t ref, const void *base)
{
    struct python_origin *origin = origin_of(ref);
    bool handed_on = base == thread_local_state.raw_served;

    if (!base || origin->free_hook == FREE_HOOKED)
        return true;
    if (origin->free_hook == FREE_HOOKED_YET && !handed_on)
        origin->free_hook = FREE_HOOKED;
    else if (origin->free_hook == FREE_HOOKED_YET)
        unhook_free(origin);
    return handed_on || origin->free_hook == FREE_HOOKED;
}
