/* SPDX-License-Identifier: MIT
 *
 * --filter: only leaks and errors of some module, function, file, type, domain or label count. Layer: above leaks. */
#ifndef ANALYZER_FILTER_H
#define ANALYZER_FILTER_H

#include "leaks.h"

#define FILTERS_MAX 16

enum filter_word {
    FILTER_MODULE,
    FILTER_FUNCTION,
    FILTER_FILE,
    FILTER_TYPE,
    FILTER_DOMAIN,
    FILTER_LABEL,
    FILTER_WORD_COUNT
};

/* All of them must hold. Zeroed: none. */
struct filters {
    struct {
        enum filter_word word;
        const char *pattern; /* as suppress_pattern_matches has it */
    } items[FILTERS_MAX];
    size_t count;
};

/* Parses "module=PATTERN", which must outlive *filters. Returns NULL, or a static text that says what is wrong. */
const char *filter_parse(struct filters *filters, const char *text);

/* Takes out of the leaks, and of the errors of the model, what does not pass. Returns 0 or -ENOMEM. */
int filters_apply(const struct filters *filters, struct model *model, struct leaks *leaks, struct symbols *symbols);

#endif
