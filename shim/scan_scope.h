/* SPDX-License-Identifier: MIT
 *
 * Which of the blocks that were made in a scope (memshim/scope.h) are only kept by the interpreter, by caches of it and of its library,
 * or by the loader. The answer of scan_run for scan_options.scope. */
#ifndef SHIM_SCAN_SCOPE_H
#define SHIM_SCAN_SCOPE_H

#include "ledger_format.h"
#include "memshim/scope.h"

#include <stdbool.h>
#include <stddef.h>

struct scan;

struct scan_scope {
    uint32_t first, last; /* intervals [first, last) */
    uint32_t thread;      /* LEDGER_THREADS id of the caller */
    const struct memshim_scope_known *known;
    size_t known_count;
    /* Receives a bit for each record of such a block; has room for records below `limit`. */
    uint8_t *kept;
    uint32_t limit;
};

static inline bool scan_scope_has(const struct scan_scope *scope, uint32_t record)
{
    return record < scope->limit && scope->kept[record / 8] & 1u << record % 8;
}

/* Edges and roots have their meaning. Returns 0 or -ENOMEM. */
int scan_scope_find(struct scan *scan, const struct scan_scope *scope);

#endif
