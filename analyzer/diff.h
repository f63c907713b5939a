/* SPDX-License-Identifier: MIT
 *
 * Two sets of leaks compared by fingerprint. Startup leaks are left out; equal fingerprints of several processes are one
 * entry. Reads leaks, never prints. */
#ifndef ANALYZER_DIFF_H
#define ANALYZER_DIFF_H

#include "leaks.h"

enum diff_change { DIFF_NEW, DIFF_GROWN, DIFF_SHRUNK, DIFF_GONE, DIFF_SAME, DIFF_CHANGE_COUNT };

struct diff_item {
    const struct leak *leak; /* a sample: of the new side if it is there */
    uint64_t old_blocks, old_bytes, new_blocks, new_bytes;
    enum diff_change change;
};

/* What is no change: zeroed, nothing is. */
struct diff_tolerance {
    uint64_t bytes;  /* so many more or fewer, also of a leak that is new or gone; blocks do not count then */
    double fraction; /* or such a part of the larger side, in bytes and in blocks; of a leak that is on both sides */
};

struct diff {
    struct diff_item *items; /* by change, then by how many bytes it moved, then by fingerprint; never DIFF_SAME */
    size_t count;
    size_t changes[DIFF_CHANGE_COUNT]; /* how many of each, DIFF_SAME too */
    uint64_t old_blocks, old_bytes, new_blocks, new_bytes, old_errors, new_errors;
};

/* Parses "10k" or "5%". Returns 0 or -EINVAL/-ERANGE. */
int diff_tolerance_parse(const char *text, struct diff_tolerance *ret);

/* Compares. Of sampled runs a change within three standard errors is none, either. The leaks must live as long as *ret,
 * which is given to diff_clear. Returns 0 or -ENOMEM. */
int diff_build(const struct leaks *old_leaks, const struct leaks *new_leaks, const struct diff_tolerance *tolerance,
               struct diff *ret);
void diff_clear(struct diff *diff);

/* True if something is new or has grown (old_errors and new_errors, which the caller fills in, count too). */
bool diff_is_worse(const struct diff *diff);

/* "new", "grown", .. */
const char *diff_change_name(enum diff_change change);

#endif
