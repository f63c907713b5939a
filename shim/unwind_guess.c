/* SPDX-License-Identifier: MIT */
#include "unwind_guess.h"

#include "unwind_slow.h"

#define GUESS_MAX 0x4000u /* bytes that rbp may lie above the frame */

/* Whether the caller's stack pointer is what lies behind the saved rbp, and not 16 bytes above the frame's own. */
static bool behind_fp = true;

/* ---- which way libunwind goes ---- */

/* probe_outer calls probe_bare, which has no call frame information and eight words of room, all zero, and calls back.
 * Where the stack pointer of probe_outer comes out wrong, its return address is looked for in that room. */
void probe_outer(void (*function)(void));
__asm__(".text\n"
        ".type probe_bare, @function\n"
        "probe_bare:\n"
        "    push %rbp\n"
        "    mov %rsp, %rbp\n"
        "    .rept 8\n"
        "    push $0\n"
        "    .endr\n"
        "    call *%rdi\n"
        "    leave\n"
        "    ret\n"
        ".size probe_bare, . - probe_bare\n"
        ".hidden probe_outer\n"
        ".type probe_outer, @function\n"
        "probe_outer:\n"
        "    .cfi_startproc\n"
        "    sub $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    call probe_bare\n"
        "    add $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size probe_outer, . - probe_outer\n");

static unsigned probed;

static __attribute__((noinline)) void probe(void)
{
    struct unwind_start start = unwind_caller(UNWIND_HERE);
    struct slow_frame frames[3];

    probed = slow_walk(&start, frames, ARRAY_SIZE(frames));
}

void guess_init(void)
{
    if (!slow_present())
        return;
    probe_outer(probe);
    behind_fp = probed == 3;
}

/* ---- steps ---- */

reads_stacks static inline uintptr_t load(uintptr_t address)
{
    return *(const uintptr_t *)address;
}

enum step guess_step(struct memory *memory, struct unwind_fresh *frame, struct cursor *cursor)
{
    uintptr_t fp = cursor->fp, low = cursor->sp - cursor->lag;

    frame->fp_used = true;
    if (!fp || fp < low || fp - low > GUESS_MAX || !memory_readable(memory, fp) || !memory_readable(memory, fp + 8))
        return STEP_END;
    frame->pc_slot = fp + 8;
    frame->fp_slot = fp;
    if (behind_fp)
        *cursor = (struct cursor){load(fp + 8), fp + 16, load(fp), false, (uint16_t)(fp - low)};
    else
        *cursor = (struct cursor){load(fp + 8), low + 16, load(fp), false, 0};
    return cursor->pc < CODE_MIN ? STEP_END : STEP_ON;
}
