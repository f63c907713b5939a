/* SPDX-License-Identifier: MIT
 *
 * Memory errors: noted in the ledger, once for each kind and set of stacks with a count, and each new one told on stderr. Inside
 * the guard of thread.h. */
#ifndef SHIM_ERRORS_H
#define SHIM_ERRORS_H

#include "ledger_format.h"

#include <stdbool.h>

struct error_note {
    enum error_kind kind;
    enum block_domain domain;
    uintptr_t address;
    uint64_t size;
    uint32_t trace, alloc_trace, free_trace; /* of the finding, the block's allocation, its free; 0 = not known */
    const char *detail;
};

/* The options error_limit and abort_on_error. */
void errors_init(uint64_t limit, bool abort_on_error);

/* Notes an error. False: it is not a new one, or there are too many. With abort_on_error the process ends here. */
bool errors_note(const struct error_note *note);

/* Distinct errors so far. */
uint32_t errors_count(void);

/* In a forked child: its ledger has none yet. */
void errors_fork_child(void);

#endif
