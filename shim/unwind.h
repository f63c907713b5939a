/* SPDX-License-Identifier: MIT
 *
 * Native stacks. The caller names the frame to start from; the result is a node of stacks.h (innermost frame) whose
 * parents are its callers. Never calls malloc, takes no lock that the program could hold; call it only inside the guard
 * of thread.h. */
#ifndef SHIM_UNWIND_H
#define SHIM_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A frame: the address at which it goes on, its stack pointer there, and its frame-pointer register. */
struct unwind_start {
    uintptr_t pc; /* return address */
    uintptr_t sp; /* 0: not known */
    uintptr_t fp;
};

/* UNWIND_HERE names the caller of the function in which it stands, from which a stack shall begin; unwind_caller says where
 * that is. It can be passed on, through calls that are jumps, too, until the function has returned. */
#if defined(__x86_64__)

/* The function's frame (built with frame pointers): saved frame pointer, return address, the caller's stack. */
#define UNWIND_HERE ((void *const *)__builtin_frame_address(0))

static inline uintptr_t unwind_return_address(void *const *here)
{
    return (uintptr_t)here[1];
}

static inline struct unwind_start unwind_caller(void *const *here)
{
    return (struct unwind_start){(uintptr_t)here[1], (uintptr_t)(here + 2), (uintptr_t)here[0]};
}

/* Where that frame pointer was read, or NULL. */
static inline const uintptr_t *unwind_saved_fp(void *const *here)
{
    return (const uintptr_t *)here;
}

#else

/* The return address alone: frames of other machines have it elsewhere, and a call that is a jump takes them down. The
 * innermost frame with this address is the one, since all below are the shim's. */
#define UNWIND_HERE ((void *const *)__builtin_return_address(0))

static inline uintptr_t unwind_return_address(void *const *here)
{
    return (uintptr_t)here;
}

static inline struct unwind_start unwind_caller(void *const *here)
{
    return (struct unwind_start){(uintptr_t)here, 0, 0};
}

static inline const uintptr_t *unwind_saved_fp(void *const *here)
{
    (void)here;
    return NULL;
}

#endif

/* What one thread keeps between captures. */
struct unwind_thread;

/* Loads libunwind (dlopen with RTLD_LOCAL: it exports names that must not replace libgcc's) and warms it up. Once, from
 * the constructor. Returns 0, or -errno: captures then have what the built-in rules can find, and LACK_UNWINDER is noted. */
int unwind_init(unsigned depth, uint64_t self_check);

/* Handlers of pthread_atfork, and for the child's first event in any case. */
void unwind_fork_prepare(void);
void unwind_fork_parent(void);
void unwind_fork_child(void);

/* State for a thread, from the arena; NULL when there is no memory (captures then return 0). */
struct unwind_thread *unwind_thread_new(void);

/* Makes the state usable by another thread. */
void unwind_thread_reset(struct unwind_thread *thread);

/* The node of the stack that begins at `start`, or 0. Nodes carry the current module epoch (modules.h).
 *
 * A stack of fewer than twice as many frames as the depth given to unwind_init is kept whole; of a deeper one at least
 * `depth` and fewer than twice as many innermost frames are kept, and the rest is a NODE_CUT root whose key says how many
 * frames that is (0 = not known). Readers show the innermost `depth` frames of a chain and add the others to the number cut:
 * only so can the stacks of a deep recursion share their nodes. */
uint32_t unwind_capture(struct unwind_thread *thread, const struct unwind_start *start);

/* The same from the caller of the function with this frame (unwind_caller). */
uint32_t unwind_capture_at(struct unwind_thread *thread, void *const *frame);

#endif
