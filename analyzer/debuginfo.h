/* SPDX-License-Identifier: MIT
 *
 * One ELF file with its debug information, read by libdw: build-id, and the source positions of an address. Layer: below
 * symbols, which caches and compares. Not thread-safe. */
#ifndef ANALYZER_DEBUGINFO_H
#define ANALYZER_DEBUGINFO_H

#include "chunks.h"
#include "symbols.h"

struct debuginfo;

/* Opens the regular ELF file at `path`. NULL when there is none, it is not readable, or memory is out. */
struct debuginfo *debuginfo_open(const char *path);
void debuginfo_close(struct debuginfo *info);

/* The build-id, which lives as long as `info`; its size, 0 = the file has none. */
size_t debuginfo_build_id(struct debuginfo *info, const uint8_t **ret);

#define DEBUGINFO_POSITIONS_MAX 64 /* inlined levels; the outermost ones of more are lost */

/* The positions of ELF address `address`, innermost first, into `positions`; their texts go to `texts`. Returns their
 * number, or 0: nothing known, or no memory (debuginfo_is_refused). */
size_t debuginfo_find(struct debuginfo *info, uint64_t address, struct chunks *texts,
                      struct symbol positions[static DEBUGINFO_POSITIONS_MAX]);

/* The variable that `address` lies in, by its symbol; NULL: not known, or no memory (debuginfo_is_refused). */
const char *debuginfo_variable(struct debuginfo *info, uint64_t address, struct chunks *texts, uint64_t *ret_offset);

/* Whether memory was out at some time. libdw is then in no state to be asked anything: all is unknown from then on. */
bool debuginfo_is_refused(const struct debuginfo *info);

#endif
