/* SPDX-License-Identifier: MIT
 *
 * What the shim knows about processors, but for the rules of stack walks (unwind_x86_64.c, unwind_guess.c). Where there is
 * nothing for a machine, what is here says so, and its callers do without. */
#ifndef SHIM_MACHINE_H
#define SHIM_MACHINE_H

#include "unwind.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/* What an access to memory that faulted was. */
enum machine_access { ACCESS_UNKNOWN, ACCESS_READ, ACCESS_WRITE };

#if defined(__x86_64__)

static inline enum machine_access machine_access_of(const ucontext_t *context)
{
    return context->uc_mcontext.gregs[REG_ERR] & 2 ? ACCESS_WRITE : ACCESS_READ;
}

/* Where the program was interrupted, as a frame. Stacks hold return addresses, which lie behind their instruction. */
static inline struct unwind_start machine_interrupted(const ucontext_t *context)
{
    const greg_t *registers = context->uc_mcontext.gregs;
    return (struct unwind_start){(uintptr_t)registers[REG_RIP] + 1, (uintptr_t)registers[REG_RSP],
                                 (uintptr_t)registers[REG_RBP]};
}

#elif defined(__aarch64__)

static inline enum machine_access machine_access_of(const ucontext_t *context)
{
    (void)context; /* the kernel's record of the fault does not always have it */
    return ACCESS_UNKNOWN;
}

static inline struct unwind_start machine_interrupted(const ucontext_t *context)
{
    return (struct unwind_start){context->uc_mcontext.pc + 1, context->uc_mcontext.sp, context->uc_mcontext.regs[29]};
}

#else

static inline enum machine_access machine_access_of(const ucontext_t *context)
{
    (void)context;
    return ACCESS_UNKNOWN;
}

/* pc 0: not known. */
static inline struct unwind_start machine_interrupted(const ucontext_t *context)
{
    (void)context;
    return (struct unwind_start){0, 0, 0};
}

#endif

/* Calls function(argument) with the stack that ends below `top`, aligned to 16, and comes back. The caller's frame must be found by
 * its frame pointer. Returns false, without a call, where that is not known. */
static inline bool machine_call_on(void *top, void (*function)(void *argument), void *argument)
{
#if defined(__x86_64__)
    __asm__ volatile("mov %%rsp, %%rbx\n\t"
                     "mov %[top], %%rsp\n\t"
                     "call *%[function]\n\t"
                     "mov %%rbx, %%rsp"
                     : "+D"(argument)
                     : [top] "r"(top), [function] "r"(function)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1",
                       "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
                       "xmm13", "xmm14", "xmm15");
    return true;
#else
    (void)top;
    (void)function;
    (void)argument;
    return false;
#endif
}

/* The stack pointer that a jump restores which setjmp has prepared, 0 = not known. The C library hides it by a number that is in
 * each thread's descriptor. */
static inline uintptr_t machine_jump_target(const void *buffer)
{
#if defined(__x86_64__) && defined(__GLIBC__)
    uintptr_t hidden = ((const uintptr_t *)buffer)[6], guard;

    __asm__("mov %%fs:0x30, %0" : "=r"(guard));
    return (hidden >> 17 | hidden << 47) ^ guard;
#else
    (void)buffer;
    return 0;
#endif
}

/* pthread_self(), without a call where that can be. */
static inline uintptr_t machine_thread_self(void)
{
#if defined(__x86_64__) && defined(__GLIBC__)
    return (uintptr_t)__builtin_thread_pointer();
#else
    return (uintptr_t)pthread_self();
#endif
}

/* libunwind's getcontext is a function of this name, or NULL: a macro of assembly. */
#if defined(__x86_64__)
#define MACHINE_GETCONTEXT "_Ux86_64_getcontext"
#define machine_getcontext(function, context) ((function)(context))
#else
#define MACHINE_GETCONTEXT NULL
#define machine_getcontext(function, context) unw_tdep_getcontext(context)
#endif

/* Whether its unw_is_signal_frame is true of the interrupted frame, and not of the trampoline below it. */
#if defined(__x86_64__)
#define MACHINE_SIGNAL_FRAME_IS_INTERRUPTED true
#else
#define MACHINE_SIGNAL_FRAME_IS_INTERRUPTED false
#endif

#endif
