/* SPDX-License-Identifier: MIT
 *
 * Buffered output of report lines (report_sink.h). Works without stdio when it is given a descriptor, because the shim
 * writes its report inside the traced process. */
#include "report_sink.h"

#include "compiler.h"
#include "report_tables.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int sink_init(struct sink *sink, FILE *file, int fd)
{
    *sink = (struct sink){.file = file, .fd = fd, .buffer = report_malloc(SINK_SIZE)};
    if (!sink->buffer)
        sink->error = -ENOMEM;
    return sink->error;
}

void sink_fail(struct sink *sink, int error)
{
    if (!sink->error)
        sink->error = error;
}

static void write_descriptor(struct sink *sink)
{
    size_t done = 0;

    while (done < sink->used) {
        ssize_t written = write(sink->fd, sink->buffer + done, sink->used - done);

        if (written > 0) {
            done += (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            sink_fail(sink, written == 0 ? -EIO : -errno);
            return;
        }
    }
}

static void write_stream(struct sink *sink)
{
    errno = 0;
    if (fwrite(sink->buffer, 1, sink->used, sink->file) != sink->used)
        sink_fail(sink, errno ? -errno : -EIO);
}

void sink_flush(struct sink *sink)
{
    if (sink->used && !sink->error) {
        if (sink->file)
            write_stream(sink);
        else
            write_descriptor(sink);
    }
    sink->used = 0;
}

int sink_done(struct sink *sink)
{
    if (sink->buffer)
        sink_flush(sink);
    if (sink->file && !sink->error && (fflush(sink->file) || ferror(sink->file)))
        sink_fail(sink, errno ? -errno : -EIO);
    report_free(sink->buffer);
    sink->buffer = NULL;
    return sink->error;
}

void sink_bytes(struct sink *sink, const void *bytes, size_t length)
{
    const char *from = bytes;

    while (length) {
        size_t piece;

        if (sink->used == SINK_SIZE)
            sink_flush(sink);
        piece = MIN(length, SINK_SIZE - sink->used);
        memcpy(sink->buffer + sink->used, from, piece);
        sink->used += piece;
        from += piece;
        length -= piece;
    }
}

static int dump_piece(const char *bytes, size_t length, void *sink)
{
    sink_bytes(sink, bytes, length);
    return 0;
}

void sink_object(struct sink *sink, json_t *object)
{
    if (!object || json_dump_callback(object, dump_piece, sink, JSON_COMPACT))
        sink_fail(sink, -ENOMEM);
    json_decref(object);
    sink_bytes(sink, "\n", 1);
    sink->lines++;
}

char *put_number(char *to, uint64_t number)
{
    char digits[2 * NUMBER_ROOM] = "";
    size_t at = NUMBER_ROOM;

    number = MIN(number, (uint64_t)INT64_MAX);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put_bytes(to, digits + at, NUMBER_ROOM); /* always as many: that needs no call */
    return to + NUMBER_ROOM - at;
}

char *put_hex(char *to, uint64_t number)
{
    unsigned shift = number ? (63u - (unsigned)__builtin_clzll(number)) & ~3u : 0;

    to = put_text(to, "\"0x");
    for (;; shift -= 4) {
        *to++ = "0123456789abcdef"[number >> shift & 15];
        if (shift == 0)
            break;
    }
    *to++ = '"';
    return to;
}
