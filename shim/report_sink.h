/* SPDX-License-Identifier: MIT
 *
 * Where the lines of a report go: a buffer in front of a stream or a descriptor, counting lines and keeping the first
 * error. After an error all writing is ignored, so that callers check once, at the end. */
#ifndef SHIM_REPORT_SINK_H
#define SHIM_REPORT_SINK_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SINK_SIZE 65536u
#define SINK_LINE_MAX 512u /* of what sink_line gives */

struct sink {
    FILE *file; /* NULL: fd */
    int fd;
    int error; /* 0 or -errno */
    uint64_t lines;
    size_t used;
    char *buffer; /* SINK_SIZE bytes */
};

/* Returns 0 or -ENOMEM; sink_done in any case. */
int sink_init(struct sink *sink, FILE *file, int fd);

/* Writes what is buffered and releases the buffer. Returns sink->error. */
int sink_done(struct sink *sink);

void sink_fail(struct sink *sink, int error);
void sink_bytes(struct sink *sink, const void *bytes, size_t length);
void sink_flush(struct sink *sink);

/* Writes `object` as one line and drops it; NULL stands for a failed allocation. */
void sink_object(struct sink *sink, json_t *object);

/* JSON readers hold numbers up to INT64_MAX. */
static inline json_int_t number(uint64_t value)
{
    return (json_int_t)(value < (uint64_t)INT64_MAX ? value : (uint64_t)INT64_MAX);
}

/* Hand-made lines of numbers, the ones that come by the million: sink_line gives room for SINK_LINE_MAX bytes, put_* write
 * there and return where to go on, sink_line_end takes the end of it and adds the newline. */
static inline char *sink_line(struct sink *sink)
{
    if (sink->used + SINK_LINE_MAX > SINK_SIZE)
        sink_flush(sink);
    return sink->buffer + sink->used;
}

static inline void sink_line_end(struct sink *sink, char *end)
{
    *end++ = '\n';
    sink->used = (size_t)(end - sink->buffer);
    sink->lines++;
}

static inline char *put_bytes(char *to, const char *bytes, size_t length)
{
    __builtin_memcpy(to, bytes, length);
    return to + length;
}

#define put_text(to, text) put_bytes(to, text, sizeof(text) - 1) /* a literal */

#define NUMBER_ROOM 20u /* bytes that put_number may touch, however few digits there are */

/* Decimal; no more than INT64_MAX, which is what JSON readers can hold. */
char *put_number(char *to, uint64_t number);

/* "0x1f", with the quotes. */
char *put_hex(char *to, uint64_t number);

#endif
