/* SPDX-License-Identifier: MIT
 *
 * What goes into a report: the ledger's live blocks added up by stack, and of its tables only the rows that these groups,
 * the errors and the busiest stacks refer to, numbered from 1 and merged by content. Memory follows groups and their stacks, not blocks. */
#ifndef SHIM_REPORT_GATHER_H
#define SHIM_REPORT_GATHER_H

#include "ledger_view.h"
#include "report_arenas.h"
#include "report_growth.h"
#include "report_tables.h"

/* The key of a group: a = trace << 32 | type (ids of the ledger), b = enum group_bits. */
struct group_row {
    struct row_key key;
    uint64_t blocks, bytes;
    /* With sampling: sums over the recorded blocks, of which `blocks` and `bytes` become the estimates. */
    double weight, weighted_bytes, variance;
};

enum group_bits {
    GROUP_STARTUP = 1u << 0,
    GROUP_INTERPRETER = 1u << 1,
    GROUP_KIND_SHIFT = 4, /* enum block_kind */
    GROUP_DOMAIN_SHIFT = 8,
};

/* Numbers of the two nodes: a = native << 32 | Python; b = key of the node NODE_LABEL before the latter, 0 = there is none. */
struct trace_row {
    struct row_key key;
    uint64_t allocations, bytes;
};

/* a = number of the parent << 32 | number of the frame. */
struct node_row {
    struct row_key key;
};

enum frame_language { FRAME_NATIVE = 1, FRAME_PYTHON, FRAME_CUT };

/* a = language << 40 | flag << 32 | number of the module or code; b = offset, instruction or number of frames cut.
 * The flag is "exact" of native and "entry" of Python frames. */
struct frame_row {
    struct row_key key;
};

/* A row of the ledger that is copied out under a number of its own: a = id in the ledger. */
struct id_row {
    struct row_key key;
};

struct error_row {
    struct row_key key; /* a = id in the ledger */
    struct ledger_error error;
};

struct reference_row {
    struct row_key key; /* a = id in the ledger */
    struct ledger_reference reference;
};

struct link_row {
    struct row_key key; /* a = id in the ledger */
    struct ledger_link link;
    uint32_t module; /* number, of a root in the data of one */
    uint64_t module_offset;
};

struct totals {
    uint64_t allocations, frees, live_blocks, live_bytes, peak_bytes, dropped;
    uint64_t startup_blocks, startup_bytes, threads;
    uint64_t sample;      /* mean bytes between recorded blocks */
    uint64_t error_bytes; /* standard error of live_bytes, 0 without sampling */
};

struct module_range;

struct gathered {
    const struct ledger_view *view;
    int error;        /* -ENOMEM */
    bool leak_check;  /* false: the options ask for no groups */
    bool guarded;     /* the option guard */
    bool all_python;  /* the options ask for all blocks of the interpreter's arenas */
    uint64_t damaged; /* entries skipped and references not followed */
    struct table groups, errors, references, links;
    struct growth growth;
    struct arena_use arenas;
    struct table traces, nodes, frames, codes, modules;
    struct id_map trace_numbers, node_numbers;
    struct totals totals;
    struct module_range *ranges; /* of the ledger's modules, by start */
    size_t range_count;
    struct bytes path; /* work space */
};

/* Reads the ledger. Returns 0 or -ENOMEM; gathered_done in any case. */
int gathered_init(struct gathered *gathered, const struct ledger_view *view);
void gathered_done(struct gathered *gathered);

/* The number of a trace of the ledger that a group or an error names; 0 for 0 and damaged ones. */
uint32_t gathered_trace(const struct gathered *gathered, uint32_t id);

#endif
