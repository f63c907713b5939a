/* SPDX-License-Identifier: MIT
 *
 * The memory in which pymalloc keeps its blocks, learned by standing before the interpreter's arena allocator. The leak scan
 * must know it: to the kernel it looks like any other mapping. */
#ifndef SHIM_PYARENAS_H
#define SHIM_PYARENAS_H

#include "pyapi.h"

#include <stdbool.h>

/* Puts the hook in place, where it is not. At most a few different allocators are stood before. An allocator whose code lies in the
 * `own_size` bytes at `own_code` (0: none does) maps arenas, and unmaps them one by one: they may lie on large pages. */
void pyarenas_hook(const struct pyapi *api, uintptr_t own_code, size_t own_size);

struct pyarena {
    uintptr_t start;
    size_t size;
    uint32_t entry; /* LEDGER_ARENAS id, 0 = none yet */
};

/* Writes up to `room` arenas, in no order; returns how many there are. Other threads may allocate meanwhile. */
size_t pyarenas_list(struct pyarena *arenas, size_t room);

/* Whether `address` lies in one of them. Takes its time. */
bool pyarenas_owns(uintptr_t address);

/* In a forked child, inside the guard of thread.h: the lock is free. The arenas are still there, and in the child's ledger. */
void pyarenas_fork_child(void);

/* Called before each arena is given back, if not NULL. */
extern void (*pyarenas_watcher)(uintptr_t start, size_t size);

#endif
