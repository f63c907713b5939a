/* SPDX-License-Identifier: MIT
 *
 * What a piece of a program leaves allocated: blocks that were made between two moments and are still there. Nothing to link: the
 * names are weak, NULL while the shim is not loaded. Functions that fail return a negative errno: -EINVAL, -ENODEV (this process is
 * not traced), -ENOTSUP (only a sample of the blocks is recorded: MEMSHIM_OPTIONS has sample=), -EAGAIN (called from inside an
 * allocation). Thread-safe, not for signal handlers. Scopes may nest and overlap, also those of several threads. */
#ifndef MEMSHIM_SCOPE_H
#define MEMSHIM_SCOPE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MEMSHIM_SCOPE_THREAD = 1 /* only what the calling thread allocates */ };

/* Plain data; nothing needs to be released. */
struct memshim_scope {
    uint32_t generation, first, last, thread, label;
};

/* Blocks of one stack. */
struct memshim_scope_leak {
    uint64_t blocks, bytes;
    const char *domain; /* static text */
    uint32_t trace;     /* for memshim_trace_text; 0 = not known */
};

struct memshim_scope_sum {
    uint64_t blocks, bytes;
};

/* The scope begins here. `flags`: MEMSHIM_SCOPE_THREAD or 0. */
extern int memshim_scope_begin(struct memshim_scope *scope, unsigned flags) __attribute__((weak));

/* From now on only blocks with this label (memshim_label_push) are counted in the scope, which has begun; NULL: all again. */
extern int memshim_scope_label(struct memshim_scope *scope, const char *label) __attribute__((weak));

/* It ends here: what is allocated later does not count. */
extern int memshim_scope_end(struct memshim_scope *scope) __attribute__((weak));

/* What was allocated in the scope and is allocated now. `*sum` receives all of it; `leaks` (may be NULL when *count is 0) the
 * first *count stacks, and *count is set to their number. Blocks that contain one of the `except_count` addresses of `except` are
 * left out. A block that was resized in the scope counts as made in it. */
extern int memshim_scope_leaks(const struct memshim_scope *scope, const void *const *except, size_t except_count,
                               struct memshim_scope_leak *leaks, size_t *count, struct memshim_scope_sum *sum)
    __attribute__((weak));

/* Something that is known of the program's memory. Of the objects that have a role the address of their first byte is given. */
struct memshim_scope_known {
    const void *object;
    unsigned role;
};

enum memshim_scope_role {
    MEMSHIM_SCOPE_EXCEPT = 0, /* the block that contains the address is left out, and keeps nothing */
    /* Python objects: */
    MEMSHIM_SCOPE_CACHE,     /* left out is what only it leads to */
    MEMSHIM_SCOPE_CONTAINER, /* left out is its own table, but not what that leads to */
    MEMSHIM_SCOPE_NAMESPACE, /* the dict of a module, or what has attributes: left out are its table, and objects that only have
                                a name in it */
    MEMSHIM_SCOPE_MODULE /* if it was made in the scope, it is a cache */
};

/* As memshim_scope_leaks, but for what only the interpreter, the C library, the loader, and the caches among `known` hold to
 * have it the next time: frames that belong to a function, free lists, interned strings, caches of attributes, and so on. What
 * nothing holds is counted. `*kept` (may be NULL) receives what was left out. Of a Python process the caller holds the interpreter's
 * lock. Looks through all memory when there is something to be looked for: some milliseconds for 10,000 blocks. -EIO: memory cannot be
 * read; or -ENOMEM, or as memshim_scope_leaks. */
extern int memshim_scope_leaks_but(const struct memshim_scope *scope, const struct memshim_scope_known *known,
                                   size_t known_count, struct memshim_scope_leak *leaks, size_t *count,
                                   struct memshim_scope_sum *sum, struct memshim_scope_sum *kept) __attribute__((weak));

/* The stack of a trace as text, one line a frame, innermost first, Python frames before native ones, fields separated by tabs:
 * "p FILE FUNCTION LINE" (Python; "e" where C called it) or "n MODULE BUILD-ID OFFSET" ("x": an exact address, not a return
 * address). Lines that do not fit are left out. Returns the length, without the NUL. */
extern size_t memshim_trace_text(uint32_t trace, char *buffer, size_t size) __attribute__((weak));

#ifdef __cplusplus
}
#endif

#endif
