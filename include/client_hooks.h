/* SPDX-License-Identifier: MIT
 *
 * What libmemshim.so offers to libmemshim-client (handles and shared pools): objects that malloc knows nothing of, kept in the
 * ledger, so that they are reported like blocks, whatever ends the process. The names are weak: without the shim they are NULL,
 * and the client goes on without a report. Not installed; both sides come from one build, `size` tells where they do not. */
#ifndef MEMSHIM_CLIENT_HOOKS_H
#define MEMSHIM_CLIENT_HOOKS_H

#include <stddef.h>
#include <stdint.h>

#define MEMSHIM_WEAK_ __attribute__((weak, visibility("default")))

enum memshim_object_domain {
    MEMSHIM_OBJECT_HANDLE = 1, /* a memory handle */
    MEMSHIM_OBJECT_LOCK,       /* a lock of one */
    MEMSHIM_OBJECT_POOL,       /* an allocation in a shared pool */
    MEMSHIM_OBJECT_ATTACHMENT, /* a process's use of a pool, or of an allocation in it */
    MEMSHIM_OBJECT_BUFFER,     /* a buffer that a Python object has given out */
};

enum memshim_object_fault {
    MEMSHIM_FAULT_ARGUMENT = 1, /* a value that is never valid: a size below 1, a null handle, a forged descriptor */
    MEMSHIM_FAULT_HANDLE,       /* a freed or foreign handle */
    MEMSHIM_FAULT_LOCKED,       /* not allowed while the handle is locked */
    MEMSHIM_FAULT_UNBALANCED,   /* unlocked more often than locked */
    MEMSHIM_FAULT_DOUBLE_FREE,
    MEMSHIM_FAULT_INVALID_FREE,
    MEMSHIM_FAULT_OVERFLOW,
    MEMSHIM_FAULT_UNDERFLOW,
    MEMSHIM_FAULT_STALE_WRITE, /* written to through a pointer that was no longer valid */
};

/* The ledger's side of one object. Zeroed: not recorded. */
struct memshim_object {
    uint32_t generation; /* of the ledger: a forked child has another one */
    uint32_t record;
    uint32_t alloc_trace, free_trace;
};

struct memshim_fault {
    size_t size_of; /* sizeof(struct memshim_fault) */
    enum memshim_object_domain domain;
    enum memshim_object_fault fault;
    uint64_t address, size;
    const char *detail;
};

/* Records an object with the stack of the caller; `label` becomes its type in reports. Callable from any thread; nothing
 * happens (and *object stays zeroed) where the shim cannot record. */
extern void memshim_object_new(struct memshim_object *object, enum memshim_object_domain domain, const char *label,
                               uint64_t address, size_t size) MEMSHIM_WEAK_;
extern void memshim_object_resize(const struct memshim_object *object, size_t size) MEMSHIM_WEAK_;

/* The object is gone; its traces stay in *object for later faults. */
extern void memshim_object_free(struct memshim_object *object) MEMSHIM_WEAK_;

/* Notes an error (errors[] of the report) with the stack of the caller; `object` may be NULL. */
extern void memshim_object_fault(const struct memshim_fault *fault, const struct memshim_object *object) MEMSHIM_WEAK_;

/* The caller's stack: a trace for memshim_trace_text (memshim/scope.h) with the ledger's generation in the upper half, so that
 * equal stacks of one process have equal numbers. 0: there is none. */
extern uint64_t memshim_stack_trace(void) MEMSHIM_WEAK_;

/* The absolute path of this process's report to be. Returns its length, or 0. */
extern size_t memshim_output(char *buffer, size_t size) MEMSHIM_WEAK_;

/* Calls of the function `name` (static storage) from other modules than the hook's own, loaded now or later, lead to `hook` from now
 * on, for ever; calls inside of the module that has the function do where they go through its table of imports. At most a few. Returns
 * 0 or -errno. */
extern int memshim_redirect(const char *name, void *hook) MEMSHIM_WEAK_;

/* `function` is called when the process ends by exit or _exit, before its report is written. It may run anywhere in the
 * program, so it waits for no lock. At most 8. */
extern void memshim_at_end(void (*function)(void)) MEMSHIM_WEAK_;

#endif
