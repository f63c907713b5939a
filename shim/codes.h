/* SPDX-License-Identifier: MIT
 *
 * Python code objects in the ledger. A code object is read at first sight, because its address will be used again; equal
 * ones (a program that compiles the same text over and over) get one id. Looking a known one up is lock-free, the rest
 * takes a lock of its own. Never calls malloc; call it only inside the guard of thread.h, while the interpreter cannot free
 * the code (it runs on the calling thread's stack).
 *
 * That code is freed is learned from its type: codes_watch puts a function before PyCode_Type's tp_dealloc. Allocator hooks
 * would not do: not every free reaches them (blocks from before a fork, allocators that the program replaced, domains that
 * are not traced). */
#ifndef SHIM_CODES_H
#define SHIM_CODES_H

#include "compiler.h"
#include <stdbool.h>
#include <stdint.h>

struct pycompat; /* pycompat.h */

/* Code of the interpreter's own that has no place in a stack. */
#define CODES_INTERNAL UINT32_MAX

/* Raised when known code is gone: what was remembered of addresses of code is void. */
extern _hidden_ uint32_t codes_generation;

/* Begins to watch the interpreter's code objects. Returns 0 or -ENOSPC (too many interpreters in this process). */
int codes_watch(const struct pycompat *compat);

/* The LEDGER_CODES id of the code object at `code`, or CODES_INTERNAL; 0: it is no code object, or there is no more room. */
uint32_t codes_id(const struct pycompat *compat, uintptr_t code);

/* True when a frame of this code at the root of a stack says that the program itself has begun. */
bool codes_begins_program(uint32_t id);

/* The code object at `address` is going. Callable outside the guard. */
void codes_forget(uintptr_t address);

/* Forgets everything, for the new ledger of a forked child. */
void codes_reset(void);

#endif
