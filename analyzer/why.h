/* SPDX-License-Identifier: MIT
 *
 * Why a leak is there: of one of its blocks the way from a root, or from the block that it was lost with, and the lost blocks
 * that point to it, as the report has them. Layer: above leaks and output. */
#ifndef ANALYZER_WHY_H
#define ANALYZER_WHY_H

#include "output.h"

#define WHY_DIGITS_MIN 6 /* of a fingerprint that is cut short */

/* The next leak from *at on whose fingerprint begins with `digits` (capitals or not); raises *at above it. NULL: there is none. */
const struct leak *why_next(const struct leaks *leaks, const char *digits, size_t *at);

/* The fingerprint of the leak that the block of this link is of. Returns 0 or -ENOMEM. */
int why_fingerprint(const struct process *process, const struct link *link, struct symbols *symbols,
                    char ret[static FINGERPRINT_SIZE]);

/* Writes the explanation `of` of a block of this kind, for people. Returns 0 or -errno. */
int why_write_explanation(struct output_job *job, const struct process *process, enum leak_kind kind, uint32_t of,
                          struct symbols *symbols);

/* Write the leak and why it is there, for people or as a JSON object. Return 0 or -errno. */
int why_write_text(struct output_job *job, const struct leak *leak, struct symbols *symbols);
int why_write_json(struct output_job *job, const struct leak *leak, struct symbols *symbols);

#endif
