/* SPDX-License-Identifier: MIT
 *
 * For programs that want to know whether memshim is tracing them. Nothing to link: the names are weak, and a program built
 * with this header runs unchanged without the shim. */
#ifndef MEMSHIM_MEMSHIM_H
#define MEMSHIM_MEMSHIM_H

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0"; the name is NULL while the shim is not loaded. Static storage, callable from any thread at any time. */
extern const char *memshim_version(void) __attribute__((weak));

/* With guard=1: looks at the guard bytes of all blocks and at the freed ones that are kept back, and notes what is wrong. Returns
 * the number of errors that were not known before. NULL while the shim is not loaded; callable from any thread. */
extern int memshim_check(void) __attribute__((weak));

/* 1 while the shim is loaded, else 0. */
static inline int memshim_is_loaded(void)
{
    return &memshim_version != 0;
}

#ifdef __cplusplus
}
#endif

#endif
