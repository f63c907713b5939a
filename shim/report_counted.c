/* SPDX-License-Identifier: MIT */
#include "report_counted.h"

#include <errno.h>
#include <string.h>

struct counted {
    struct sink *sink;
    struct text_space *space;
    const struct gathered *gathered;
};

static void write_mark(const struct counted *counted, uint32_t n)
{
    struct ledger_mark mark;

    memcpy(&mark, ledger_view_entry(counted->gathered->view, LEDGER_MARKS, n), sizeof(mark));
    sink_object(counted->sink, json_pack("{s:I, s:o, s:o, s:I, s:I}", "mark", number(n), "name",
                                         text_json_ref(counted->space, counted->gathered->view, mark.name, NULL),
                                         "time", text_json_time(mark.time), "live_blocks", number(mark.live_blocks),
                                         "live_bytes", number(mark.live_bytes)));
}

/* The numbers at each mark: those of the last point that is not later. */
static void write_series(const struct counted *counted, uint32_t n, const struct growth_series *series)
{
    const struct growth *growth = &counted->gathered->growth;
    const struct growth_point *point = growth_point(growth, series->first_point);
    json_t *blocks = json_array(), *bytes = json_array();
    uint64_t now_blocks = 0, now_bytes = 0;
    int error = 0;

    for (uint32_t mark = 1; mark <= growth->marks && !error; mark++) {
        for (; point && point->mark <= mark; point = growth_point(growth, point->next)) {
            now_blocks = point->blocks;
            now_bytes = point->bytes;
        }
        error = json_array_append_new(blocks, json_integer(number(now_blocks))) |
                json_array_append_new(bytes, json_integer(number(now_bytes)));
    }
    json_t *object =
        json_pack("{s:I, s:I, s:o, s:o}", "growth", number(n), "trace",
                  number(gathered_trace(counted->gathered, (uint32_t)series->key.a)), "blocks", blocks, "bytes", bytes);
    if (growth->garbage_known) {
        error |= json_object_set_new(object, "garbage_blocks", json_integer(number(series->garbage)));
        error |= json_object_set_new(object, "garbage_bytes", json_integer(number(series->garbage_bytes)));
    }
    if (error)
        sink_fail(counted->sink, -ENOMEM);
    sink_object(counted->sink, object);
}

static void write_growth(const struct counted *counted)
{
    const struct growth *growth = &counted->gathered->growth;
    uint32_t written = 0;

    for (uint32_t n = 1; n <= growth->marks; n++)
        write_mark(counted, n);
    for (uint32_t n = 1; n <= growth->series.count && !counted->sink->error; n++) {
        const struct growth_series *series = table_row(&growth->series, n);
        if (series->first_point)
            write_series(counted, ++written, series);
    }
}

static void write_arenas(const struct counted *counted)
{
    const struct arena_use *use = &counted->gathered->arenas;

    if (!use->known)
        return;
    if (!use->blocks_known) {
        sink_object(counted->sink, json_pack("{s:b, s:I, s:I, s:I}", "arenas", 1, "count", number(use->arenas), "bytes",
                                             number(use->bytes), "peak_bytes", number(use->peak_bytes)));
        return;
    }
    sink_object(counted->sink,
                json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "arenas", 1, "count", number(use->arenas),
                          "bytes", number(use->bytes), "peak_bytes", number(use->peak_bytes), "live_blocks",
                          number(use->live_blocks), "live_bytes", number(use->live_bytes), "used_bytes",
                          number(use->used_bytes), "sparse", number(use->sparse)));
    for (uint32_t i = 0; i < use->pin_count; i++)
        sink_object(counted->sink, json_pack("{s:I, s:I, s:I, s:I, s:I}", "pin", number(i + 1), "trace",
                                             number(gathered_trace(counted->gathered, (uint32_t)use->pins[i].key.a)),
                                             "arenas", number(use->pins[i].arenas), "blocks",
                                             number(use->pins[i].blocks), "bytes", number(use->pins[i].bytes)));
}

void report_write_counted(struct sink *sink, struct text_space *space, const struct gathered *gathered)
{
    struct counted counted = {sink, space, gathered};

    write_growth(&counted);
    write_arenas(&counted);
}
