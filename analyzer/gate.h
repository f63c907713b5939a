/* SPDX-License-Identifier: MIT
 *
 * The decision whether leaks and errors are within limits. Reads leaks, decides, never prints. */
#ifndef ANALYZER_GATE_H
#define ANALYZER_GATE_H

#include "leaks.h"

#define GATE_TOTAL LEAK_KIND_COUNT /* the place of "all kinds together" in arrays by kind */
#define GATE_SCOPES (LEAK_KIND_COUNT + 1)
#define GATE_ERRORS_BIT (1u << LEAK_KIND_COUNT) /* of --fail-on, beside 1 << enum leak_kind */

enum gate_rule { GATE_BYTES, GATE_BLOCKS, GATE_ERRORS, GATE_RULE_COUNT };

struct gate_limit {
    bool set;
    uint64_t value;
};

/* Zeroed: the default gate (gate_decide). */
struct gate_limits {
    struct gate_limit leaks[GATE_ERRORS][GATE_SCOPES]; /* [GATE_BYTES or GATE_BLOCKS][kind or GATE_TOTAL] */
    struct gate_limit errors;
};

/* What there is to judge; startup and interpreter leaks are not in it. */
struct gate_counts {
    uint64_t leaks[GATE_SCOPES], blocks[GATE_SCOPES], bytes[GATE_SCOPES];
    uint64_t errors;
    bool known; /* at least one leak has a kind that is not a guess, or there are no leaks */
};

struct gate_reason {
    enum gate_rule rule;
    size_t scope; /* enum leak_kind or GATE_TOTAL */
    uint64_t limit;
    bool by_default; /* nobody set this limit */
};

struct gate_verdict {
    bool passed;
    bool blind; /* passed, but only because no scan ran and no limit was set for blocks of unknown kind */
    struct gate_counts counts;
    struct gate_reason reasons[GATE_ERRORS * GATE_SCOPES + 1];
    size_t reason_count;
    const char *command_end; /* how the command failed that was to be judged, or NULL; set by who ran it, with passed */
};

/* Parses "N" or "KIND=N" for rule GATE_BYTES or GATE_BLOCKS, "N" for GATE_ERRORS. Returns NULL, or a static text that says
 * what is wrong. */
const char *gate_limit_parse(struct gate_limits *limits, enum gate_rule rule, const char *text);

/* Parses a comma list of kinds and "errors" into bits. Returns 0 or -EINVAL. */
int gate_kinds_parse(const char *text, unsigned int *ret);

void gate_count(const struct model *model, const struct leaks *leaks, struct gate_counts *ret);

/* Decides. Without a limit of its own and without a total, definite and possible leaks may be 0 bytes; errors may be 0. */
void gate_decide(const struct gate_limits *limits, const struct gate_counts *counts, struct gate_verdict *ret);

/* The bits of `wanted` (gate_kinds_parse) of which there is something. */
unsigned int gate_findings(const struct gate_counts *counts, unsigned int wanted);

#endif
