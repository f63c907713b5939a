/* SPDX-License-Identifier: MIT
 *
 * A gzip file written into a stream. */
#ifndef ANALYZER_GZIP_H
#define ANALYZER_GZIP_H

#include <stddef.h>
#include <stdio.h>

struct gzip;

/* NULL without memory. A failed write stays in `out`. */
struct gzip *gzip_new(FILE *out);
void gzip_write(struct gzip *gzip, const void *data, size_t size);

/* Writes what is left. Without it the file is incomplete. */
void gzip_finish(struct gzip *gzip);

/* NULL is fine. */
void gzip_free(struct gzip *gzip);

#endif
