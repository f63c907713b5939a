/* SPDX-License-Identifier: MIT
 *
 * Hooks of longjmp in all its forms. A signal handler that has interrupted a hook may end by a jump out of it, as those do that
 * survive a wild pointer given to realloc, or that end work at a time limit: the hook never comes back, and nobody would take its
 * guard down. A jump that leaves no hook, because none is up or because it stays inside the handler, is none of ours. */
#include "compiler.h"
#include "machine.h"
#include "real.h"
#include "thread.h"
#include "unwind_memory.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>

#define REACH (64u << 10) /* bytes of stack that a handler has used, at most: a jump beyond is one out of it */
#define PAGE 4096u

extern _hidden_ const char __ehdr_start[], etext[]; /* the shim's: of the linker */

_exported_ _Noreturn void longjmp(jmp_buf where, int value);
_exported_ _Noreturn void _longjmp(jmp_buf where, int value);
_exported_ _Noreturn void siglongjmp(sigjmp_buf where, int value);
_exported_ _Noreturn void __longjmp_chk(jmp_buf where, int value);

static bool is_own_code(uintptr_t pc)
{
    return pc - (uintptr_t)__ehdr_start < (uintptr_t)etext - (uintptr_t)__ehdr_start;
}

/* Whether there are frames of the shim in between: what was interrupted lies above the handler. */
static bool passes_own_code(uintptr_t from, uintptr_t to)
{
    uintptr_t end = MIN(to, from + REACH);

    for (uintptr_t at = from; at < end; at += sizeof(uintptr_t)) {
        if ((at == from || at % PAGE == 0) && !memory_probe(at))
            break;
        if (is_own_code(*(const uintptr_t *)at))
            return true;
    }
    return end < to;
}

/* The guard is up. */
static bool leaves_hook(uintptr_t here, uintptr_t target)
{
    stack_t stack;

    if (!target)
        return false;
    if (sigaltstack(NULL, &stack) == 0 && stack.ss_flags & SS_ONSTACK)
        return target - (uintptr_t)stack.ss_sp > stack.ss_size;
    return target <= here || passes_own_code(here, target);
}

_cold_ static void look(const void *where, void *const *frame)
{
    int saved = errno;

    if (leaves_hook((uintptr_t)frame, machine_jump_target(where)))
        thread_left_by_jump();
    errno = saved;
}

#define JUMP(function, where, value) \
    do { \
        real_init(); \
        if (unlikely(thread_local_state.busy)) \
            look(where, __builtin_frame_address(0)); \
        real.function(where, value); \
        __builtin_unreachable(); \
    } while (0)

void longjmp(jmp_buf where, int value)
{
    JUMP(longjmp, where, value);
}

void _longjmp(jmp_buf where, int value)
{
    JUMP(longjmp, where, value);
}

void siglongjmp(sigjmp_buf where, int value)
{
    JUMP(siglongjmp, where, value);
}

void __longjmp_chk(jmp_buf where, int value)
{
    JUMP(__longjmp_chk, where, value);
}
