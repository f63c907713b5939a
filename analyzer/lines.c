/* SPDX-License-Identifier: MIT
 *
 * See lines.h. */
#include "lines.h"

#include "progress.h"
#include "zst.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE_MIN ((size_t)64 << 10)
#define LINE_SIZE_MAX ((size_t)256 << 20) /* the line table of a code object is one line: far below this */

/* Reads up to `room` bytes (at least LINE_SIZE_MIN at first) as they are in the stream. */
static ssize_t read_plain(struct lines *lines, char *to, size_t room)
{
    errno = 0;
    size_t got = fread(to, 1, room, lines->in);

    progress_add(got);
    if (got == 0 && ferror(lines->in))
        return errno ? -errno : -EIO;
    return (ssize_t)got;
}

static ssize_t read_some(struct lines *lines, char *to, size_t room)
{
    ssize_t got;
    int r;

    if (lines->zst)
        return zst_reader_read(lines->zst, lines->in, to, room);
    got = read_plain(lines, to, room);
    if (lines->begun || got < 0)
        return got;
    lines->begun = true;
    if (!zst_is(to, (size_t)got))
        return got;
    r = zst_reader_new(to, (size_t)got, &lines->zst);
    return r < 0 ? r : zst_reader_read(lines->zst, lines->in, to, room);
}

/* Reads on behind `end`. Returns 0 or an error of lines_next. */
static int fill(struct lines *lines)
{
    size_t used = lines->end - lines->start;

    if (lines->buffer && lines->start > 0) {
        memmove(lines->buffer, lines->buffer + lines->start, used);
        lines->start = 0;
        lines->end = used;
    }
    if (used == lines->capacity) {
        size_t capacity = used ? used * 2 : LINE_SIZE_MIN;
        char *larger;

        if (capacity > LINE_SIZE_MAX)
            return -E2BIG;
        larger = realloc(lines->buffer, capacity);
        if (!larger)
            return -ENOMEM;
        lines->buffer = larger;
        lines->capacity = capacity;
    }
    ssize_t got = read_some(lines, lines->buffer + lines->end, lines->capacity - lines->end);
    if (got < 0)
        return (int)got;
    lines->end += (size_t)got;
    lines->eof = got == 0;
    return 0;
}

int lines_next(struct lines *lines, const char **ret, size_t *ret_length)
{
    size_t searched = 0;

    for (;;) {
        size_t have = lines->end - lines->start;
        char *start = lines->buffer ? lines->buffer + lines->start : NULL;
        char *stop = start && have > searched ? memchr(start + searched, '\n', have - searched) : NULL;
        int r;

        if (stop || (lines->eof && have > 0)) {
            *ret = start;
            *ret_length = stop ? (size_t)(stop - start) : have;
            lines->start += *ret_length + (stop != NULL);
            return 1;
        }
        if (lines->eof)
            return 0;
        searched = have;
        r = fill(lines);
        if (r < 0)
            return r;
    }
}

void lines_clear(struct lines *lines)
{
    zst_reader_free(lines->zst);
    free(lines->buffer);
    *lines = (struct lines){.in = lines->in};
}
