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

/* The stack of a trace as text, one line a frame, innermost first, Python frames before native ones, fields separated by tabs:
 * "p FILE FUNCTION LINE" (Python; "e" where C called it) or "n MODULE BUILD-ID OFFSET" ("x": an exact address, not a return
 * address). Lines that do not fit are left out. Returns the length, without the NUL. */
extern size_t memshim_trace_text(uint32_t trace, char *buffer, size_t size) __attribute__((weak));

#ifdef __cplusplus
}
#endif

#endif
