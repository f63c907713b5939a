/* SPDX-License-Identifier: MIT
 *
 * How well pymalloc's arenas are used: what live blocks have of them, and which stacks keep the interpreter from giving nearly
 * empty ones back. */
#ifndef SHIM_REPORT_ARENAS_H
#define SHIM_REPORT_ARENAS_H

#include "ledger_view.h"
#include "report_tables.h"

/* Blocks of one stack in nearly empty arenas. The key: a = trace of the ledger. */
struct arena_pin {
    struct row_key key;
    uint64_t blocks, bytes;
    uint32_t arenas; /* of these */
};

#define ARENA_PINS_MAX 32u

struct arena_use {
    bool known; /* there are any */
    uint64_t arenas, bytes, peak_bytes;
    bool blocks_known;                /* all blocks in them are: the rest means something */
    uint64_t live_blocks, live_bytes; /* of the program's */
    uint64_t used_bytes; /* live_bytes with what the blocks are rounded up by, and what the shim keeps before them */
    uint64_t sparse;     /* arenas of which less than a tenth is used */
    uint32_t pin_count;
    struct arena_pin pins[ARENA_PINS_MAX]; /* those in most arenas, the first ones first */
};

/* Reads the ledger. `all_python`: both of pymalloc's domains were recorded. `guarded`: with the option guard. Returns 0 or
 * -ENOMEM. */
int arena_use_read(struct arena_use *use, const struct ledger_view *view, bool all_python, bool guarded);

#endif
