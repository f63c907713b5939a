/* SPDX-License-Identifier: MIT
 *
 * The exported malloc family. Each hook passes on its arguments and its own frame, where stacks begin; glibc's rules for
 * odd arguments are applied here. */
#include "capture.h"
#include "compiler.h"
#include "real.h"

#include <errno.h>
#include <stdbool.h>

#define HERE UNWIND_HERE

/* Declared here: <malloc.h> would bring attributes that make the compiler drop the very checks that are made here. */
_exported_ void *malloc(size_t size);
_exported_ void *calloc(size_t count, size_t size);
_exported_ void *realloc(void *p, size_t size);
_exported_ void *reallocarray(void *p, size_t count, size_t size);
_exported_ void free(void *p);
_exported_ void cfree(void *p);
_exported_ void free_sized(void *p, size_t size);
_exported_ void free_aligned_sized(void *p, size_t alignment, size_t size);
_exported_ int posix_memalign(void **ret, size_t alignment, size_t size);
_exported_ void *aligned_alloc(size_t alignment, size_t size);
_exported_ void *memalign(size_t alignment, size_t size);
_exported_ void *valloc(size_t size);
_exported_ void *pvalloc(size_t size);
_exported_ size_t malloc_usable_size(void *p);

void *malloc(size_t size)
{
    return capture_malloc(size, HERE);
}

void *calloc(size_t count, size_t size)
{
    return capture_calloc(count, size, HERE);
}

void *realloc(void *p, size_t size)
{
    return capture_realloc(p, size, HERE);
}

void *reallocarray(void *p, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return capture_realloc(p, bytes, HERE);
}

void free(void *p)
{
    capture_free(p, HERE);
}

void cfree(void *p)
{
    capture_free(p, HERE);
}

void free_sized(void *p, size_t size)
{
    capture_free_sized(p, size, HERE);
}

void free_aligned_sized(void *p, size_t alignment, size_t size)
{
    (void)alignment;
    capture_free_sized(p, size, HERE);
}

static bool is_power_of_two(size_t n)
{
    return n && !(n & (n - 1));
}

/* glibc rounds odd alignments up to the next power of two. */
static void *aligned(size_t alignment, size_t size, void *const *frame)
{
    if (alignment <= 16)
        return capture_malloc(size, frame);
    if (alignment > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    if (!is_power_of_two(alignment))
        alignment = (size_t)1 << (64 - __builtin_clzll(alignment));
    return capture_memalign(alignment, size, frame);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment) || alignment % sizeof(void *))
        return EINVAL;
    void *p = aligned(alignment, size, HERE);
    if (!p)
        return ENOMEM;
    *ret = p;
    return 0;
}

/* Until 2.37 glibc's aligned_alloc rounded odd alignments up as memalign does; since then it refuses them. */
static bool odd_alignments_are_refused(void)
{
    static enum { UNKNOWN, REFUSED, ROUNDED } known;

    if (known == UNKNOWN && real_ready && real.aligned_alloc) {
        int saved = errno;
        void *p = real.aligned_alloc(3, 16);
        known = p ? ROUNDED : REFUSED;
        real.free(p);
        errno = saved;
    }
    return known == REFUSED;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    if (unlikely(!is_power_of_two(alignment)) && odd_alignments_are_refused()) {
        errno = EINVAL;
        return NULL;
    }
    return aligned(alignment, size, HERE);
}

void *memalign(size_t alignment, size_t size)
{
    return aligned(alignment, size, HERE);
}

static size_t page_size(void)
{
    static size_t size;
    if (!size)
        size = (size_t)sysconf(_SC_PAGESIZE);
    return size;
}

void *valloc(size_t size)
{
    return aligned(page_size(), size, HERE);
}

void *pvalloc(size_t size)
{
    size_t page = page_size(), rounded;

    if (__builtin_add_overflow(size, page - 1, &rounded)) {
        errno = ENOMEM;
        return NULL;
    }
    return aligned(page, rounded & ~(page - 1), HERE);
}

size_t malloc_usable_size(void *p)
{
    return capture_usable_size(p);
}
