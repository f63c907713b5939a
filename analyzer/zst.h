/* SPDX-License-Identifier: MIT
 *
 * Files compressed with zstd, read and written as streams. Built without libzstd (zst_none.c) both ends say -ENOSYS. Not
 * thread-safe. */
#ifndef ANALYZER_ZST_H
#define ANALYZER_ZST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define ZST_SUFFIX ".zst"

/* Whether what begins with these bytes is compressed. */
bool zst_is(const void *bytes, size_t size);

struct zst_reader;

/* A reader of a stream of which the first `size` bytes are in memory already (they are copied). Returns 0, -ENOMEM, or
 * -ENOSYS. *ret is given to zst_reader_free. */
int zst_reader_new(const void *first, size_t size, struct zst_reader **ret);
void zst_reader_free(struct zst_reader *reader); /* NULL is fine */

/* Up to `room` bytes (not 0) of the content, the rest of the compressed bytes coming from `in`. Returns their number; 0 at
 * the end, also when the stream is cut; -EBADMSG if it is damaged; or the stream's error. */
ssize_t zst_reader_read(struct zst_reader *reader, FILE *in, void *to, size_t room);

/* A stream that compresses into `to`, which stays open. fclose finishes, and fails if anything went wrong. NULL with errno
 * set: no memory, or ENOSYS. */
FILE *zst_writer_open(FILE *to);

#endif
