/* SPDX-License-Identifier: MIT
 *
 * The decision whether leaks and errors are within limits. Reads leaks, decides, never prints. */
#ifndef ANALYZER_GATE_H
#define ANALYZER_GATE_H

#include "leaks.h"

#define GATE_TOTAL LEAK_KIND_COUNT            /* the place of "all kinds together" in arrays by kind */
#define GATE_STACK (LEAK_KIND_COUNT + 1)      /* and of "the largest single leak" */
#define GATE_REFERENCED (LEAK_KIND_COUNT + 2) /* objects of any kind whose reference counts are too high */
#define GATE_SCOPES (LEAK_KIND_COUNT + 3)
#define GATE_ERRORS_BIT (1u << LEAK_KIND_COUNT)       /* of --fail-on, beside 1 << enum leak_kind */
#define GATE_GROWTH_BIT (1u << (LEAK_KIND_COUNT + 1)) /* likewise: stacks that grow (growth.h) */
#define GATE_REFERENCED_BIT (1u << GATE_REFERENCED)   /* likewise */

enum gate_rule { GATE_BYTES, GATE_BLOCKS, GATE_ERRORS, GATE_GROWTH, GATE_RULE_COUNT };

struct gate_limit {
    bool set;
    uint64_t value;
};

/* Zeroed: the default gate (gate_decide). */
struct gate_limits {
    struct gate_limit leaks[GATE_ERRORS][GATE_SCOPES]; /* [GATE_BYTES or GATE_BLOCKS][kind, GATE_TOTAL or GATE_STACK] */
    struct gate_limit errors;
    unsigned int fail_on; /* what must not be there at all (gate_kinds_parse); 0: the default */
};

/* What there is to judge; startup and interpreter leaks are not in it. */
struct gate_counts {
    /* Of GATE_STACK the most that one leak has; of GATE_REFERENCED the objects, and the bytes of the leaks they are part of. */
    uint64_t leaks[GATE_SCOPES], blocks[GATE_SCOPES], bytes[GATE_SCOPES];
    const struct leak
        *first[GATE_SCOPES]; /* where to look: the first in order; of GATE_STACK the one with most bytes */
    uint64_t errors;
    uint64_t growing; /* stacks */
    bool marked;      /* a process has enough marks to tell what grows */
    bool known;       /* at least one leak has a kind that is not a guess, or there are no leaks */
};

struct gate_reason {
    enum gate_rule rule;
    size_t scope; /* enum leak_kind, GATE_TOTAL, GATE_STACK or GATE_REFERENCED */
    uint64_t limit;
    bool by_default; /* nobody set this limit */
    bool by_kind;    /* it is that of gate_limits.fail_on */
};

struct gate_verdict {
    bool passed;
    bool blind; /* passed, but only because no scan ran and no limit was set for blocks of unknown kind */
    struct gate_counts counts;
    struct gate_reason reasons[GATE_ERRORS * GATE_SCOPES + 2];
    size_t reason_count;
    const char *command_end; /* how the command failed that was to be judged, or NULL; set by who ran it, with passed */
    const char *accept;      /* the command that accepts what failed, or NULL; set by the command */
};

/* Parses "N", "KIND=N" or "stack=N" for rule GATE_BYTES or GATE_BLOCKS, "N" for GATE_ERRORS. Returns NULL, or a static text that says
 * what is wrong. */
const char *gate_limit_parse(struct gate_limits *limits, enum gate_rule rule, const char *text);

/* What it parses, in words. */
#define GATE_KINDS_TEXT "definite, indirect, possible, reachable, errors, growth, over-referenced"

/* Parses a comma list of kinds, "errors", "growth" and "over-referenced" into bits. Returns 0 or -EINVAL. */
int gate_kinds_parse(const char *text, unsigned int *ret);

/* The name of a scope as options have it: "definite", .., "stack", "over-referenced"; "" for GATE_TOTAL. */
const char *gate_scope_name(size_t scope);

/* Counts. For limits on a single leak, `leaks` are those joined across processes. They must outlive *ret. */
void gate_count(const struct model *model, const struct leaks *leaks, struct gate_counts *ret);

/* Adds what grows. Returns 0 or -ENOMEM. */
int gate_count_growth(const struct model *model, struct symbols *symbols, struct gate_counts *counts);

/* Decides. With limits->fail_on there must be none of these kinds, unless a kind has a limit of its own; else no definite
 * and no possible leak that no limit covers, and no more errors than allowed (0). */
void gate_decide(const struct gate_limits *limits, const struct gate_counts *counts, struct gate_verdict *ret);

/* Whether limits are about blocks that a pointer still leads to, too, or that no scan has judged. */
bool gate_covers_reachable(const struct gate_limits *limits);

/* The bits of `wanted` (gate_kinds_parse) of which there is something. */
unsigned int gate_findings(const struct gate_counts *counts, unsigned int wanted);

#endif
