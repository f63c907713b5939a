/* SPDX-License-Identifier: MIT
 *
 * Leaks as people count them: one that several processes have is one line, not one for each. */
#ifndef ANALYZER_JOINED_H
#define ANALYZER_JOINED_H

#include "leaks.h"

/* Joins the leaks that have the same fingerprint, kind and group: blocks and bytes are added up, `processes` counts. The
 * result is in the order of struct leaks; its stacks, and where nothing is to join also its items, are those of `leaks`, which must outlive it. *ret is given to
 * joined_clear, not to leaks_clear. Returns 0 or -ENOMEM. */
int joined_build(const struct leaks *leaks, struct leaks *ret);
void joined_clear(struct leaks *joined);

#endif
