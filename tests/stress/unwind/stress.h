/* SPDX-License-Identifier: MIT
 *
 * What the shapes of stacks have in common. A shape makes stacks of one family and calls capture() in them, wherever a
 * hook could be called; each capture is compared with a full walk by libunwind (stress.c). */
#ifndef STRESS_H
#define STRESS_H

#include <signal.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define noinline __attribute__((noinline, noclone))
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

/* How often each shape does its thing; the argument of the program. */
extern unsigned rounds;

/* The plugins' paths, NULL when none were given. */
extern char **plugin_paths;

/* What the compiler must not know the use of. */
extern volatile double sink;

/* A pseudo-random number below `below`; a sequence of its own for each thread. */
uint32_t chance(uint32_t below);

/* One capture, as a hook makes it. */
void capture(void);

/* None to three. */
void capture_some(void);

/* A thread calls the one first and the other last. */
void thread_begin(void);
void thread_end(void *unused);

/* After a dlclose, as the shim does it. */
void module_gone(void);

/* A call into the shape `calls` at its middle: some frames of all kinds below `depth`, with captures. */
int calls_plain(int depth, int way);

/* The shapes. */
void test_bare_code(void);
void test_calls(void);
void test_calls_plain_code(void);
void test_calls_small_code(void);
void test_coroutines(void);
void test_coroutines_cxx(void);
void test_exceptions(void);
void test_ffi(void);
void test_jumps(void);
void test_plugins(void);
void test_recursion(void);
void test_signals(void);
void test_single_steps(void);
void test_threads(void);

#ifdef __cplusplus
}
#endif

#endif
