/* SPDX-License-Identifier: MIT
 *
 * A leak or a memory error as formats for other tools show it: which rule, how bad, where, and in one line what. Formats
 * that treat both alike are written over this. Layer: between leaks and the formats. */
#ifndef ANALYZER_FINDING_H
#define ANALYZER_FINDING_H

#include "output.h"
#include "place.h"
#include "rules.h"

struct finding {
    const struct process *process;
    const struct leak *leak;           /* NULL for an error */
    const struct memory_error *error;  /* NULL for a leak */
    const struct growth *growth;       /* NULL for both; then they are NULL */
    const struct error_stacks *stacks; /* of the error */
    const struct stack *stack;         /* that of the leak, or where the error was found */
    const struct rule *rule;
    struct place place;
    const char *fingerprint; /* of a leak its own, of an error one made of its kind, domain and stack */
    const char *function;    /* of the place, or of the first frame that is not the runtime's; "??" without */
    const char *what;        /* "1,600 bytes in 100 blocks definitely lost (obj, list)"; control characters escaped */
};

typedef int (*finding_take)(struct output_job *job, const struct finding *finding);

/* Make a finding, hand it to `take`, release it. Return what `take` returned, or -ENOMEM. */
int finding_from_leak(struct output_job *job, const struct leak *leak, finding_take take);
int finding_from_growth(struct output_job *job, const struct growth *growth, finding_take take);
int finding_from_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                       const struct error_stacks *stacks, finding_take take);

/* The leak of a difference. */
typedef int (*finding_take_diff)(struct output_job *job, const struct finding *finding, const struct diff_item *item);
int finding_from_diff(struct output_job *job, const struct diff_item *item, finding_take_diff take);

/* The stacks as the text report has them, without colour: lines that each end in a newline. Malloc'ed; NULL without
 * memory. */
char *finding_stacks(const struct output_job *job, const struct finding *finding);

/* Why a gate failed: "1,600 bytes in 100 blocks definitely lost exceed --max-bytes definite=0". Malloc'ed; NULL without
 * memory. */
char *finding_reason(const struct gate_verdict *verdict, const struct gate_reason *reason);

/* "max-bytes", .. */
const char *finding_limit_name(enum gate_rule rule);

#endif
