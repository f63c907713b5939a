/* SPDX-License-Identifier: MIT
 *
 * The writer's side of the ledger (ledger_format.h): creates the mapping, grows it, hands out entries.
 * Taking entries is lock-free except when the file must grow. Never calls malloc, never blocks on the program's locks;
 * call it inside the guard of thread.h (or before any other thread runs). */
#ifndef SHIM_LEDGER_H
#define SHIM_LEDGER_H

#include "compiler.h"
#include "ledger_format.h"

#include <stdbool.h>
#include <stddef.h>

/* Where the entries of each kind stand in this process, a pointer for each of its segments: for ledger_entry. */
extern _hidden_ uint8_t **ledger_segments[LEDGER_KIND_COUNT];

/* Never NULL: before ledger_create it is a private dummy. */
extern _hidden_ struct ledger_header *ledger_header;

/* Creates the ledger of this process for a report at `output` (absolute; a number is put before MEMSHIM_REPORT_SUFFIX when
 * the name is taken, or the suffix added when it is not there). The file lives in shared memory when that has room, with a
 * symbolic link to it beside the report, else beside the report itself. Returns 0 or -errno. */
int ledger_create(const char *output);

/* Gives up the ledger of the parent process in a forked child, without touching its contents, and frees the locks. `inside`: the fork
 * has interrupted an event, which may yet write to what it has in its hands: then memory without meaning takes the ledger's place. */
void ledger_abandon(bool inside);

/* In a copy of the process (snapshot.h): goes on with a private copy of the ledger, in the same places. Calls taken() when
 * those parts are copied that must fit the memory of the process, so that recording may go on. Returns 0 or -errno. */
int ledger_detach(void (*taken)(void));

/* Removes the ledger's file and link (the mapping stays usable). */
void ledger_remove(void);

/* Descriptor of the ledger's file, kept from the start or opened anew if the program closed that one; -errno if there is
 * none. Stays the ledger's. */
int ledger_descriptor(void);

/* The path by which a reader finds the ledger: beside the report, or, when that folder is gone, where the file itself is. Valid as
 * long as the ledger. */
const char *ledger_place(void);

/* Takes `count` entries with consecutive ids in one segment (count divides the entries of a segment; always the same for
 * one kind, except text), zeroed. Returns the first id, or 0 when the ledger cannot grow (LACK_LEDGER_FULL is then noted).
 * Id 0 itself is never taken. */
uint32_t ledger_take(enum ledger_kind kind, uint32_t count);

/* The entry `id`, which must have been taken. */
static inline void *ledger_entry(enum ledger_kind kind, uint32_t id)
{
    uint32_t per = ledger_per_segment(kind);
    return ledger_segments[kind][id / per] + (size_t)(id % per) * ledger_entry_size(kind);
}

/* Stores a byte string and returns its ref, or 0 when there is no room. Equal strings are stored once.
 * `bytes` NULL gives 0. */
uint32_t ledger_text(const void *bytes, size_t length);

/* Notes that something is missing from the report. */
static inline void ledger_lacks(enum ledger_lack what)
{
    __atomic_fetch_or(&ledger_header->lacks, (uint32_t)what, __ATOMIC_RELAXED);
}

#endif
