/* SPDX-License-Identifier: MIT
 *
 * Lines about marks, about what was counted at them, and about arenas. See rows.h. */
#include "rows.h"
#include "text_pool.h"
#include "timestamp.h"

#include <errno.h>
#include <string.h>

#define TIME_SIZE 64

int rows_read_mark(struct line *line, struct mark *ret)
{
    struct value time = line_get(line, "time");
    int64_t blocks, bytes, nanoseconds;
    char text[TIME_SIZE];

    if (time.kind != VALUE_TEXT || time.length >= sizeof(text))
        return -EINVAL;
    memcpy(text, time.text, time.length);
    text[time.length] = '\0';
    if (timestamp_parse(text, &nanoseconds) < 0 ||
        !value_number(line_get(line, "live_blocks"), 0, INT64_MAX, &blocks) ||
        !value_number(line_get(line, "live_bytes"), 0, INT64_MAX, &bytes))
        return -EINVAL;
    *ret = (struct mark){(double)nanoseconds / 1e9, (uint64_t)blocks, (uint64_t)bytes};
    return 0;
}

/* A list of `count` numbers. Returns NULL: it is not, or (*ret_error -ENOMEM) there is no memory. */
static const uint64_t *read_numbers(const struct process *process, struct value value, size_t count, int *ret_error)
{
    *ret_error = -EINVAL;
    if (value.kind != VALUE_LIST || json_array_size(value.list) != count)
        return NULL;
    uint64_t *numbers = text_pool_take(process->texts, (count + 1) * sizeof(*numbers));
    if (!numbers) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value.list, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return NULL;
        numbers[i] = (uint64_t)json_integer_value(item);
    }
    *ret_error = 0;
    return numbers;
}

/* Older reports, and those of processes that were killed, do not know. */
static int read_garbage(struct line *line, struct series *ret)
{
    struct value blocks = line_get(line, "garbage_blocks"), bytes = line_get(line, "garbage_bytes");
    int64_t number, size;

    ret->garbage_known = blocks.kind != VALUE_NONE;
    if (!ret->garbage_known)
        return 0;
    if (!value_number(blocks, 0, INT64_MAX, &number) || !value_number(bytes, 0, INT64_MAX, &size))
        return -EINVAL;
    ret->garbage_blocks = (uint64_t)number;
    ret->garbage_bytes = (uint64_t)size;
    return 0;
}

int rows_read_series(const struct process *process, struct line *line, struct series *ret)
{
    int64_t trace;
    int error;

    if (!value_number(line_get(line, "trace"), 0, (int64_t)process->trace_count - 1, &trace))
        return -EINVAL;
    *ret = (struct series){.trace = (uint32_t)trace};
    ret->blocks = read_numbers(process, line_get(line, "blocks"), process->mark_count, &error);
    if (ret->blocks)
        ret->bytes = read_numbers(process, line_get(line, "bytes"), process->mark_count, &error);
    return error ? error : read_garbage(line, ret);
}

/* ---- arenas ---- */

static bool read_count(struct line *line, const char *key, uint64_t *ret)
{
    int64_t number;

    if (!value_number(line_get(line, key), 0, INT64_MAX, &number))
        return false;
    *ret = (uint64_t)number;
    return true;
}

int rows_read_arenas(struct line *line, struct arenas *ret)
{
    ret->known = read_count(line, "count", &ret->count) && read_count(line, "bytes", &ret->bytes) &&
                 read_count(line, "peak_bytes", &ret->peak_bytes);
    ret->blocks_known = read_count(line, "live_blocks", &ret->live_blocks) &&
                        read_count(line, "live_bytes", &ret->live_bytes) &&
                        read_count(line, "used_bytes", &ret->used_bytes) && read_count(line, "sparse", &ret->sparse);
    return ret->known ? 0 : -EINVAL;
}

int rows_read_pin(const struct process *process, struct line *line, struct pin *ret)
{
    int64_t trace;

    if (!value_number(line_get(line, "trace"), 0, (int64_t)process->trace_count - 1, &trace) ||
        !read_count(line, "arenas", &ret->arenas) || !read_count(line, "blocks", &ret->blocks) ||
        !read_count(line, "bytes", &ret->bytes))
        return -EINVAL;
    ret->trace = (uint32_t)trace;
    return 0;
}
