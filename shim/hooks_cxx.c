/* SPDX-License-Identifier: MIT
 *
 * C++'s operator new and delete in all their forms, by their mangled names. new calls the real operator, which throws and
 * calls the new handler as C++ has it, and whose malloc the hooks then record in the name of new; delete frees what is
 * recorded and leaves the rest to the real operator. The real operators are looked for in libstdc++ and libc++ also when these
 * were loaded locally, by an extension module. Built with -fexceptions: exceptions pass through these frames. */
#include "capture.h"
#include "compiler.h"
#include "thread.h"

#include <dlfcn.h>
#include <stddef.h>

#define HERE UNWIND_HERE

/* symbol, domain, bytes beyond the size that it may ask malloc for, parameters, arguments */
#define NEW_OPERATORS(X) \
    X(_Znwm, DOMAIN_NEW, ORIGIN_SLACK, (size_t size), (size)) \
    X(_Znam, DOMAIN_NEW_ARRAY, ORIGIN_SLACK, (size_t size), (size)) \
    X(_ZnwmRKSt9nothrow_t, DOMAIN_NEW, ORIGIN_SLACK, (size_t size, const void *nothrow), (size, nothrow)) \
    X(_ZnamRKSt9nothrow_t, DOMAIN_NEW_ARRAY, ORIGIN_SLACK, (size_t size, const void *nothrow), (size, nothrow)) \
    X(_ZnwmSt11align_val_t, DOMAIN_NEW, alignment, (size_t size, size_t alignment), (size, alignment)) \
    X(_ZnamSt11align_val_t, DOMAIN_NEW_ARRAY, alignment, (size_t size, size_t alignment), (size, alignment)) \
    X(_ZnwmSt11align_val_tRKSt9nothrow_t, DOMAIN_NEW, alignment, (size_t size, size_t alignment, const void *nothrow), \
      (size, alignment, nothrow)) \
    X(_ZnamSt11align_val_tRKSt9nothrow_t, DOMAIN_NEW_ARRAY, alignment, \
      (size_t size, size_t alignment, const void *nothrow), (size, alignment, nothrow))

/* symbol, domain, size or CAPTURE_SIZE_UNKNOWN, parameters, arguments */
#define DELETE_OPERATORS(X) \
    X(_ZdlPv, DOMAIN_NEW, CAPTURE_SIZE_UNKNOWN, (void *p), (p)) \
    X(_ZdaPv, DOMAIN_NEW_ARRAY, CAPTURE_SIZE_UNKNOWN, (void *p), (p)) \
    X(_ZdlPvm, DOMAIN_NEW, size, (void *p, size_t size), (p, size)) \
    X(_ZdaPvm, DOMAIN_NEW_ARRAY, size, (void *p, size_t size), (p, size)) \
    X(_ZdlPvRKSt9nothrow_t, DOMAIN_NEW, CAPTURE_SIZE_UNKNOWN, (void *p, const void *nothrow), (p, nothrow)) \
    X(_ZdaPvRKSt9nothrow_t, DOMAIN_NEW_ARRAY, CAPTURE_SIZE_UNKNOWN, (void *p, const void *nothrow), (p, nothrow)) \
    X(_ZdlPvSt11align_val_t, DOMAIN_NEW, CAPTURE_SIZE_UNKNOWN, (void *p, size_t alignment), (p, alignment)) \
    X(_ZdaPvSt11align_val_t, DOMAIN_NEW_ARRAY, CAPTURE_SIZE_UNKNOWN, (void *p, size_t alignment), (p, alignment)) \
    X(_ZdlPvmSt11align_val_t, DOMAIN_NEW, size, (void *p, size_t size, size_t alignment), (p, size, alignment)) \
    X(_ZdaPvmSt11align_val_t, DOMAIN_NEW_ARRAY, size, (void *p, size_t size, size_t alignment), (p, size, alignment)) \
    X(_ZdlPvSt11align_val_tRKSt9nothrow_t, DOMAIN_NEW, CAPTURE_SIZE_UNKNOWN, \
      (void *p, size_t alignment, const void *nothrow), (p, alignment, nothrow)) \
    X(_ZdaPvSt11align_val_tRKSt9nothrow_t, DOMAIN_NEW_ARRAY, CAPTURE_SIZE_UNKNOWN, \
      (void *p, size_t alignment, const void *nothrow), (p, alignment, nothrow))

/* The real operator `name`. A program that has none (it cannot have come here through C++ then) ends as it would have
 * without the shim: with an unresolved symbol. */
static _cold_ void *find_operator(const char *name)
{
    static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1"};
    uint8_t busy = thread_local_state.busy;

    thread_local_state.busy = BUSY_NESTED;
    void *function = dlsym(RTLD_NEXT, name);
    for (size_t i = 0; !function && i < ARRAY_SIZE(libraries); i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        if (library) {
            function = dlsym(library, name);
            dlclose(library);
        }
    }
    thread_local_state.busy = busy;
    if (!function) {
        static const char text[] = "memshim: the program calls a C++ operator that no library defines\n";
        if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
            abort();
        abort();
    }
    return function;
}

/* Runs also when the real operator throws. */
static inline void restore_origin(const struct origin **outer)
{
    thread_local_state.origin = *outer;
}

/* The outermost hook names the block: new[] calls new, new calls malloc. */
#define DEFINE_NEW(symbol, domain, slack, parameters, arguments) \
    _exported_ void *symbol parameters; \
    void *symbol parameters \
    { \
        static void *(*next)parameters; \
        if (unlikely(!next)) \
            next = (void *(*)parameters)find_operator(#symbol); \
        const struct origin origin = {domain, HERE, size, slack}; \
        const struct origin *outer __attribute__((cleanup(restore_origin))) = thread_local_state.origin; \
        if (!outer) \
            thread_local_state.origin = &origin; \
        return next arguments; \
    }
NEW_OPERATORS(DEFINE_NEW)

#define DEFINE_DELETE(symbol, domain, size, parameters, arguments) \
    _exported_ void symbol parameters; \
    void symbol parameters \
    { \
        static void(*next) parameters; \
        if (!p || likely(capture_delete(p, domain, size, HERE))) \
            return; \
        if (unlikely(!next)) \
            next = (void(*) parameters)find_operator(#symbol); \
        next arguments; \
    }
DELETE_OPERATORS(DEFINE_DELETE)
