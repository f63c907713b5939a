/* SPDX-License-Identifier: MIT
 *
 * With libzstd. See zst.h. */
#include "zst.h"

#include "compiler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define LEVEL 6 /* a report shrinks to a twelfth, at the speed of a disk */

bool zst_is(const void *bytes, size_t size)
{
    static const unsigned char magic[] = {0x28, 0xb5, 0x2f, 0xfd};

    return size >= sizeof(magic) && memcmp(bytes, magic, sizeof(magic)) == 0;
}

struct zst_reader {
    ZSTD_DStream *stream;
    char *buffer; /* compressed bytes; input.src */
    size_t room;
    ZSTD_inBuffer input;
};

int zst_reader_new(const void *first, size_t size, struct zst_reader **ret)
{
    struct zst_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return -ENOMEM;
    reader->stream = ZSTD_createDStream();
    reader->room = MAX(size, ZSTD_DStreamInSize());
    reader->buffer = malloc(reader->room);
    if (!reader->stream || !reader->buffer) {
        zst_reader_free(reader);
        return -ENOMEM;
    }
    memcpy(reader->buffer, first, size);
    reader->input = (ZSTD_inBuffer){.src = reader->buffer, .size = size};
    *ret = reader;
    return 0;
}

void zst_reader_free(struct zst_reader *reader)
{
    if (!reader)
        return;
    ZSTD_freeDStream(reader->stream);
    free(reader->buffer);
    free(reader);
}

ssize_t zst_reader_read(struct zst_reader *reader, FILE *in, void *to, size_t room)
{
    ZSTD_outBuffer output = {.dst = to, .size = room};

    while (output.pos == 0) {
        size_t before = reader->input.pos, left = ZSTD_decompressStream(reader->stream, &output, &reader->input);
        if (ZSTD_isError(left))
            return ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? -ENOMEM : -EBADMSG;
        if (output.pos > 0 || reader->input.pos > before)
            continue;
        errno = 0;
        reader->input = (ZSTD_inBuffer){.src = reader->buffer, .size = fread(reader->buffer, 1, reader->room, in)};
        if (reader->input.size == 0)
            return ferror(in) ? (errno ? -errno : -EIO) : 0;
    }
    return (ssize_t)output.pos;
}

struct writer {
    ZSTD_CStream *stream;
    FILE *to;
    char *buffer;
    size_t room;
};

/* Compresses `input` as far as it goes; `mode` says what is to be flushed. Returns 0 or -errno. */
static int compress(struct writer *writer, ZSTD_inBuffer *input, ZSTD_EndDirective mode)
{
    size_t left;

    do {
        ZSTD_outBuffer output = {.dst = writer->buffer, .size = writer->room};
        left = ZSTD_compressStream2(writer->stream, &output, input, mode);
        if (ZSTD_isError(left))
            return -EIO;
        errno = 0;
        if (fwrite(writer->buffer, 1, output.pos, writer->to) != output.pos)
            return errno ? -errno : -EIO;
    } while (mode == ZSTD_e_continue ? input->pos < input->size : left > 0);
    return 0;
}

static ssize_t writer_write(void *cookie, const char *bytes, size_t size)
{
    ZSTD_inBuffer input = {.src = bytes, .size = size};
    int r = compress(cookie, &input, ZSTD_e_continue);

    if (r == 0)
        return (ssize_t)size;
    errno = -r;
    return 0; /* glibc wants 0, not -1, of a write that failed */
}

static int writer_close(void *cookie)
{
    struct writer *writer = cookie;
    ZSTD_inBuffer nothing = {0};
    int r = writer->stream ? compress(writer, &nothing, ZSTD_e_end) : 0;

    ZSTD_freeCStream(writer->stream);
    free(writer->buffer);
    free(writer);
    if (r == 0)
        return 0;
    errno = -r;
    return -1;
}

FILE *zst_writer_open(FILE *to)
{
    struct writer *writer = calloc(1, sizeof(*writer));

    if (!writer)
        return NULL;
    writer->to = to;
    writer->room = ZSTD_CStreamOutSize();
    writer->buffer = malloc(writer->room);
    writer->stream = ZSTD_createCStream();
    FILE *out = NULL;
    if (writer->buffer && writer->stream &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(writer->stream, ZSTD_c_compressionLevel, LEVEL)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(writer->stream, ZSTD_c_checksumFlag, 1)))
        out = fopencookie(writer, "w", (cookie_io_functions_t){.write = writer_write, .close = writer_close});
    if (out)
        return out;
    ZSTD_freeCStream(writer->stream);
    free(writer->buffer);
    free(writer);
    errno = ENOMEM;
    return NULL;
}
