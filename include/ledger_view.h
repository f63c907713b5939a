/* SPDX-License-Identifier: MIT
 *
 * Read-only access to a ledger (ledger_format.h), in the process that owns it or in another one, while it is written
 * or after any death of its writer. Every id is checked: a damaged ledger gives NULL or empty text, never a wild read.
 *
 * Linked into the shim and the analyzer. Not thread-safe. Only ledger_view_text calls malloc. What the view reads may
 * change at any time while the owner lives: load each field once, into a variable, before checking and using it. Nobody
 * may shorten the file while it is viewed. */
#ifndef MEMSHIM_LEDGER_VIEW_H
#define MEMSHIM_LEDGER_VIEW_H

#include "ledger_format.h"

#include <stdbool.h>
#include <stddef.h>

struct ledger_view {
    const uint8_t *base;                   /* the mapped file */
    size_t size;                           /* bytes mapped */
    const struct ledger_header *header;    /* = base */
    uint32_t *segments[LEDGER_KIND_COUNT]; /* file segments of each kind, in order */
    uint32_t counts[LEDGER_KIND_COUNT];
    bool truncated; /* the file is shorter than its header says, or its directory is damaged */
};

/* Maps the ledger at `path`. Returns 0, or -errno (-EINVAL: not a ledger, or of another version) with *ret_why (may be
 * NULL) set to a static text. On success *view must be given to ledger_view_close. Follows a symbolic link only to a
 * file owned by the caller or root. */
int ledger_view_open(struct ledger_view *view, const char *path, const char **ret_why);

/* The same for a ledger that is open as `fd`, which stays the caller's. */
int ledger_view_open_fd(struct ledger_view *view, int fd, const char **ret_why);

/* Releases what open took; harmless on a zeroed view. */
void ledger_view_close(struct ledger_view *view);

/* Ids of this kind run from 1 to below this (holes included). */
uint32_t ledger_view_limit(const struct ledger_view *view, enum ledger_kind kind);

/* The entry `id` of `kind` (not LEDGER_TEXT); NULL when there is none or it is not published. Lives as long as the view. */
const void *ledger_view_entry(const struct ledger_view *view, enum ledger_kind kind, uint32_t id);

/* The bytes of a text: returns a malloc'ed, NUL-terminated copy with *ret_length bytes (may be NULL), or NULL when `ref`
 * is 0, damaged, or memory is out. The caller frees it. */
char *ledger_view_text(const struct ledger_view *view, uint32_t ref, size_t *ret_length);

/* The same without memory of its own: copies up to `size` bytes of the text into `buffer` and returns the length of the
 * whole text, or SIZE_MAX when `ref` is 0 or damaged. */
size_t ledger_view_text_read(const struct ledger_view *view, uint32_t ref, char *buffer, size_t size);

/* The entries of the n-th segment of `kind`, for readers of whole tables: LEDGER_SEGMENT_SIZE bytes, entry 0 of which has
 * the id n * ledger_per_segment(kind), unpublished ones included. NULL when there is no such segment. */
const void *ledger_view_segment(const struct ledger_view *view, enum ledger_kind kind, uint32_t n);

/* The reader is done with the n-th segment of `kind`: its pages leave this process' memory (they come back when used). */
void ledger_view_drop(const struct ledger_view *view, enum ledger_kind kind, uint32_t n);

#endif
