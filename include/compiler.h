/* SPDX-License-Identifier: MIT
 *
 * Compiler attributes and small helpers used by both the shim and the analyzer. Header-only, no allocation,
 * safe everywhere. */
#ifndef MEMSHIM_COMPILER_H
#define MEMSHIM_COMPILER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define _exported_ __attribute__((visibility("default")))
/* A variable of another file of the same library: found without the detour through the global offset table. */
#define _hidden_ __attribute__((visibility("hidden")))
#define _cold_ __attribute__((cold, noinline))
/* Variables that each event looks at, together in a few lines of the processor's cache. */
#define _hot_data_ __attribute__((section("shim_hot_data")))
#define _noinline_ __attribute__((noinline))
#define _always_inline_ inline __attribute__((always_inline))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_format_(fmt, args) __attribute__((format(printf, fmt, args)))
/* Thread-local access without a call: the shim is always loaded at program start, so static TLS is available. */
#define _initial_exec_ __attribute__((tls_model("initial-exec")))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Smaller and larger of two values of one type; the arguments are evaluated twice. */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Hands a pointer out of a variable with a cleanup attribute. */
#define TAKE_PTR(p) \
    ({ \
        __typeof__(p) taken_ = (p); \
        (p) = NULL; \
        taken_; \
    })

/* Cleanup attributes: release on leaving the scope. A function that uses one uses them for all it owns. */
static inline void cleanup_freep(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_fclosep(FILE **f)
{
    if (*f)
        fclose(*f);
}

static inline void cleanup_closep(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define _cleanup_free_ __attribute__((cleanup(cleanup_freep)))
#define _cleanup_fclose_ __attribute__((cleanup(cleanup_fclosep)))
#define _cleanup_close_ __attribute__((cleanup(cleanup_closep)))

#endif
