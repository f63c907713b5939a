/* SPDX-License-Identifier: MIT
 *
 * A stream, compressed or not, cut into lines, with a limit on their length, so that a stream without line ends cannot use up
 * the memory. Layer: below load. */
#ifndef ANALYZER_LINES_H
#define ANALYZER_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct zst_reader;

/* Begin with {.in = stream}, which stays open. */
struct lines {
    FILE *in;
    char *buffer;
    size_t capacity, start, end; /* the bytes read and not used yet */
    bool begun, eof;
    struct zst_reader *zst; /* NULL: not compressed */
};

/* The next line without its end; it lives up to the next call. Returns 1; 0 at the end of the stream; -E2BIG (too long a
 * line), -EBADMSG (damaged compression), -ENOSYS (compressed, and no zstd here), -ENOMEM, or the stream's error. */
int lines_next(struct lines *lines, const char **ret, size_t *ret_length);

/* Releases all but the stream. */
void lines_clear(struct lines *lines);

#endif
