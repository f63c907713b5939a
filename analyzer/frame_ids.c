/* SPDX-License-Identifier: MIT
 *
 * See frame_ids.h. */
#include "frame_ids.h"

#include "compiler.h"
#include "emit.h"

#include <errno.h>
#include <string.h>

int frame_ids_row(struct frame_ids *ids, const char *text, uint32_t *ret)
{
    int r = intern_add(&ids->rows, text, strlen(text), ret);
    return r < 0 ? r : 0;
}

static int row_of(struct frame_ids *ids, const struct frame *frame, uint32_t *ret)
{
    struct memo memo;
    FILE *out = memo_open(&memo);
    if (!out)
        return -ENOMEM;
    int r = ids->put(out, frame);
    _cleanup_free_ char *text = memo_close(&memo);
    if (!text)
        r = -ENOMEM;
    return r < 0 ? r : frame_ids_row(ids, text, ret);
}

int frame_ids_of(struct frame_ids *ids, const struct frame *frame, uint32_t *ret)
{
    uint32_t index;
    int r = intern_add(&ids->pointers, &frame, sizeof(frame), &index);
    if (r == 0) {
        *ret = (uint32_t)ids->pointers.entries[index].value;
        return 0;
    }
    if (r > 0)
        r = row_of(ids, frame, ret);
    if (r == 0)
        ids->pointers.entries[index].value = *ret;
    return r;
}

void frame_ids_clear(struct frame_ids *ids)
{
    intern_clear(&ids->pointers);
    intern_clear(&ids->rows);
}
