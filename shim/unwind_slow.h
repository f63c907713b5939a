/* SPDX-License-Identifier: MIT
 *
 * Full stack walks by libunwind: the reference for the self-check, the way for frames without a simple rule, and the only
 * way on architectures without rules of their own. May call malloc; call it inside the guard of thread.h. Takes no lock of
 * the loader where loader.c hooks dl_iterate_phdr and glibc has _dl_find_object. */
#ifndef SHIM_UNWIND_SLOW_H
#define SHIM_UNWIND_SLOW_H

#include "compiler.h"
#include "unwind.h"

#include <link.h>

/* Below this no code can be: a return address there ends the stack. */
#define CODE_MIN 4096u

/* Steps towards lower addresses (of the stack pointer) after which a stack is taken for garbled, and ends. */
#define BACKWARD_MAX 100u

/* The address whose module libunwind is about to look for; 0 outside of a walk. */
extern _Thread_local uintptr_t slow_address _initial_exec_;

/* What dl_iterate_phdr does for libunwind during a walk: calls back for the module of slow_address alone. */
int slow_iterate(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data);

/* Loads libunwind. Returns 0 or -errno. */
int slow_init(void);

/* Whether libunwind is there. */
bool slow_present(void);

/* A frame found. */
struct slow_frame {
    uintptr_t pc;
    bool exact; /* interrupted at pc by a signal */
};

/* Around fork (pthread_atfork): keeps other threads out of libunwind. */
void slow_fork_prepare(void);
void slow_fork_parent(void);

/* In the child. Returns false when a thread was inside libunwind after all (a fork without handlers): it is not used any
 * more then. */
bool slow_fork_child(void);

/* Writes the frames from `start` outwards, innermost first, `max` at most. Returns their number: at least 1, the start
 * itself, even where libunwind does not know how to reach it (or is not there). */
unsigned slow_walk(const struct unwind_start *start, struct slow_frame *frames, unsigned max);

#endif
