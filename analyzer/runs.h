/* SPDX-License-Identifier: MIT
 *
 * The same command run several times: a leak counts only if every run has it. Layer: above leaks. */
#ifndef ANALYZER_RUNS_H
#define ANALYZER_RUNS_H

#include "leaks.h"

/* Takes every leak out that not each of the `runs` runs (process.run, from 0) has, and of the others all but those of the
 * run in which the fewest bytes are lost by it. A leak is lost in both or in neither of two runs that have it: of which
 * kind a lost block is may change by chance. Before leaks are suppressed. Returns 0 or -ENOMEM. */
int runs_keep_common(struct leaks *leaks, unsigned int runs);

/* Leaves the memory errors of the run that has most of them: one that several runs have would count as several. */
void runs_keep_errors(struct model *model, unsigned int runs);

#endif
