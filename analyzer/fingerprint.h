/* SPDX-License-Identifier: MIT
 *
 * The name of a leak that stays the same from run to run, on other machines, and when lines move: a hash of its domain,
 * its type, its label if there is one, and the functions on its stack.
 *
 * Version 1 (FINGERPRINT_VERSION, which whoever changes what is hashed raises). A Python frame counts with its qualified name and the base name of its file (with the folder before it for
 * names like __init__.py, which say nothing); a native frame with its function and the base name of its module up to the
 * first '.', or, without a symbol, with its offset in the module instead of the function. Lines, addresses, sizes, counts,
 * paths, and source files of native frames (known only where debug information is installed) do not count, nor do
 * inlined frames, for the same reason. Frames of the runtime count only if there are no others; frames that were cut
 * never. A function that calls itself directly counts once, so that the depth of a recursion does not matter. */
#ifndef ANALYZER_FINGERPRINT_H
#define ANALYZER_FINGERPRINT_H

#include "leaks.h"

struct known_frame;

#define FINGERPRINT_VERSION 1 /* of what is hashed; in files as "1:" before the digits */

/* A hash of what of `frame` counts. */
uint64_t fingerprint_frame(const struct frame *frame);

/* What is hashed besides the stack. */
struct fingerprint_of {
    const char *domain;
    const char *type;  /* may be NULL */
    const char *label; /* may be NULL, as most are */
};

/* Writes the fingerprint of a stack; every frame of it is the first member of a struct known_frame. */
void fingerprint_stack(const struct fingerprint_of *of, const struct frame *const *frames, size_t size,
                       char ret[static FINGERPRINT_SIZE]);

#endif
