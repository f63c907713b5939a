/* SPDX-License-Identifier: MIT
 *
 * The kinds of findings as code scanners list them: one row for each kind of leak and of memory error. Constants only. */
#ifndef ANALYZER_RULES_H
#define ANALYZER_RULES_H

#include "model.h"

enum finding_level { LEVEL_NOTE, LEVEL_WARNING, LEVEL_ERROR, LEVEL_COUNT };

struct rule {
    const char *id;   /* never renamed: tools remember it */
    const char *name; /* a few words: "definite leak" */
    enum finding_level level;
    const char *summary; /* one sentence */
    const char *text;    /* what it means */
    const char *help;    /* what to do */
};

/* All rules; *ret_count receives their number. */
const struct rule *rules_all(size_t *ret_count);

const struct rule *rule_of_leak(enum leak_kind kind, bool known);

/* The rule for errors of this kind; for kinds of newer versions the one for all errors. */
const struct rule *rule_of_error(const char *kind);

const struct rule *rule_of_growth(void);

/* "note", "warning", "error". */
const char *level_name(enum finding_level level);

#endif
