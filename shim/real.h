/* SPDX-License-Identifier: MIT
 *
 * The functions behind the hooks: the next definition of each name after the shim's, whoever that is (the C library, or an
 * allocator that is preloaded or linked). Filled by real_init, at the first call of any hook. */
#ifndef SHIM_REAL_H
#define SHIM_REAL_H

#include "compiler.h"

#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* name, result, parameters: the one list of what is looked up after the shim. An absent one is NULL. */
#define REAL_FUNCTIONS(X) \
    X(malloc, void *, (size_t)) \
    X(calloc, void *, (size_t, size_t)) \
    X(realloc, void *, (void *, size_t)) \
    X(free, void, (void *)) \
    X(memalign, void *, (size_t, size_t)) \
    X(aligned_alloc, void *, (size_t, size_t)) \
    X(malloc_usable_size, size_t, (void *)) \
    X(dlopen, void *, (const char *, int)) \
    X(dlsym, void *, (void *, const char *)) \
    X(dl_iterate_phdr, int, (int (*)(struct dl_phdr_info *, size_t, void *), void *)) \
    X(dlclose, int, (void *)) \
    X(_exit, void, (int)) \
    X(quick_exit, void, (int)) \
    X(execve, int, (const char *, char *const[], char *const[])) \
    X(execvpe, int, (const char *, char *const[], char *const[])) \
    X(fexecve, int, (int, char *const[], char *const[])) \
    X(sigaction, int, (int, const struct sigaction *, struct sigaction *)) \
    X(signal, sighandler_t, (int, sighandler_t)) \
    X(sysv_signal, sighandler_t, (int, sighandler_t)) \
    X(pthread_sigmask, int, (int, const sigset_t *, sigset_t *)) \
    X(longjmp, void, (jmp_buf, int)) \
    X(siglongjmp, void, (sigjmp_buf, int)) \
    X(__longjmp_chk, void, (jmp_buf, int)) \
    X(__libc_start_main, int, \
      (int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *))

struct real {
#define REAL_FIELD(name, result, parameters) result(*name) parameters;
    REAL_FUNCTIONS(REAL_FIELD)
#undef REAL_FIELD
};

extern _hidden_ struct real real;

/* True once `real` is filled. */
extern _hidden_ bool real_ready;

/* Fills `real`. While it runs (dlsym may allocate), real_early_* serve. */
void real_init(void);

/* Memory from a small static pool, for calls that come before `real` is filled; NULL when that is used up. Zeroed, aligned
 * to 16, never given back. */
void *real_early_alloc(size_t size);
/* True for a pointer into the pool. */
bool real_early_owns(const void *pointer);
/* Bytes from `pointer` (into the pool) to its end: an upper bound of the block's size. */
size_t real_early_room(const void *pointer);

#endif
