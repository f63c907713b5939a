/* SPDX-License-Identifier: MIT
 *
 * zlib around a stream. See gzip.h. */
#include "gzip.h"

#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#define WINDOW_BITS (15 + 16) /* 16: a gzip header, which names neither file nor time */

struct gzip {
    FILE *out;
    z_stream stream;
    unsigned char buffer[16384];
};

struct gzip *gzip_new(FILE *out)
{
    struct gzip *gzip = calloc(1, sizeof(*gzip));
    if (!gzip)
        return NULL;
    gzip->out = out;
    if (deflateInit2(&gzip->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) == Z_OK)
        return gzip;
    free(gzip);
    return NULL;
}

/* Compresses until the input is used up, or, with Z_FINISH, the end is written. */
static void run(struct gzip *gzip, int flush)
{
    do {
        gzip->stream.next_out = gzip->buffer;
        gzip->stream.avail_out = sizeof(gzip->buffer);
        deflate(&gzip->stream, flush);
        fwrite(gzip->buffer, 1, sizeof(gzip->buffer) - gzip->stream.avail_out, gzip->out);
    } while (gzip->stream.avail_out == 0);
}

void gzip_write(struct gzip *gzip, const void *data, size_t size)
{
    const unsigned char *from = data;
    while (size > 0) {
        unsigned int part = size < 1u << 30 ? (unsigned int)size : 1u << 30;
        gzip->stream.next_in = (unsigned char *)(uintptr_t)from; /* zlib does not write to it */
        gzip->stream.avail_in = part;
        run(gzip, Z_NO_FLUSH);
        from += part;
        size -= part;
    }
}

void gzip_finish(struct gzip *gzip)
{
    gzip->stream.avail_in = 0;
    run(gzip, Z_FINISH);
}

void gzip_free(struct gzip *gzip)
{
    if (!gzip)
        return;
    deflateEnd(&gzip->stream);
    free(gzip);
}
