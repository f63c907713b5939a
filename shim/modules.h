/* SPDX-License-Identifier: MIT
 *
 * Loaded ELF objects in the ledger: path, addresses, build-id, and the epochs in which they were there. */
#ifndef SHIM_MODULES_H
#define SHIM_MODULES_H

#include "compiler.h"
#include <stdint.h>

/* Raised each time something was unloaded; NODE_EPOCH of native nodes. */
extern _hidden_ uint32_t modules_epoch;

/* Compares the ledger with what the loader has, and writes what changed. Uses dl_iterate_phdr: call it where the loader's
 * lock may be taken (constructor, after dlopen and dlclose, at the end), inside the guard of thread.h. */
void modules_update(void);

/* In a forked child: writes what is known into the new ledger. Does not ask the loader, whose lock another thread may have
 * held at the fork. */
void modules_fork_child(void);

#endif
