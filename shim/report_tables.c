/* SPDX-License-Identifier: MIT
 *
 * Containers of the report writer (report_tables.h), and the one place that says where its memory comes from. */
#include "report_tables.h"

#include "huge.h"
#include "report_writer.h"

#include <jansson.h>
#include <string.h>

#define TABLE_ROOM_FIRST 64u
#define BYTES_FIRST 512u

/* In the analyzer; the shim says otherwise, because a traced process may not be allowed to call madvise. */
static void *allocate_by_default(size_t size)
{
    return huge_advise(malloc(size), size);
}

static void *(*memory_allocate)(size_t) = allocate_by_default;
static void (*memory_release)(void *) = free;

void report_use_memory(void *(*allocate)(size_t size), void (*release)(void *memory))
{
    memory_allocate = allocate;
    memory_release = release;
    json_set_alloc_funcs(allocate, release);
    /* A constant seed spares the traced process a read of /dev/urandom: the writer's keys are constants, nobody can choose
     * them to collide. */
    json_object_seed(1);
}

void *report_malloc(size_t size)
{
    return memory_allocate(size);
}

void report_free(void *memory)
{
    if (memory)
        memory_release(memory);
}

void table_done(struct table *table)
{
    report_free(table->rows);
    report_free(table->index);
    *table = (struct table){.row_size = table->row_size};
}

static bool table_grow_rows(struct table *table, uint32_t room)
{
    uint8_t *rows = report_malloc(room * table->row_size);

    if (!rows)
        return false;
    if (table->count)
        memcpy(rows, table->rows, table->count * table->row_size);
    report_free(table->rows);
    table->rows = rows;
    table->room = room;
    return true;
}

static bool table_grow_index(struct table *table, uint32_t slots)
{
    uint64_t *index = report_malloc(slots * sizeof(*index));

    if (!index)
        return false;
    memset(index, 0, slots * sizeof(*index));
    /* In the order of the slots, so that the memory is read and written from its start to its end. */
    for (uint32_t from = 0; from < table->slots; from++) {
        uint64_t entry = table->index[from];
        uint32_t slot = (uint32_t)(entry >> 32) & (slots - 1);

        if (!entry)
            continue;
        while (index[slot])
            slot = (slot + 1) & (slots - 1);
        index[slot] = entry;
    }
    report_free(table->index);
    table->index = index;
    table->slots = slots;
    return true;
}

bool table_grow(struct table *table)
{
    uint32_t room = table->room ? table->room * 2 : TABLE_ROOM_FIRST;
    uint32_t slots = room * 2;

    if (room > UINT32_MAX / 4)
        return false;
    if (table->slots < slots && !table_grow_index(table, slots))
        return false;
    return table_grow_rows(table, room);
}

bool id_map_init(struct id_map *map, uint32_t limit)
{
    size_t pages = (size_t)limit / ID_PAGE + 1;

    map->limit = 0;
    map->pages = report_malloc(pages * sizeof(*map->pages));
    if (!map->pages)
        return false;
    memset(map->pages, 0, pages * sizeof(*map->pages));
    map->limit = limit;
    return true;
}

void id_map_done(struct id_map *map)
{
    for (size_t page = 0; map->pages && page <= map->limit / ID_PAGE; page++)
        report_free(map->pages[page]);
    report_free(map->pages);
    *map = (struct id_map){0};
}

bool id_map_put(struct id_map *map, uint32_t id, uint32_t number)
{
    uint32_t **page = &map->pages[id / ID_PAGE];

    if (!*page) {
        *page = report_malloc(ID_PAGE * sizeof(**page));
        if (!*page)
            return false;
        memset(*page, 0, ID_PAGE * sizeof(**page));
    }
    (*page)[id % ID_PAGE] = number;
    return true;
}

void bytes_done(struct bytes *bytes)
{
    report_free(bytes->data);
    *bytes = (struct bytes){0};
}

bool bytes_reserve(struct bytes *bytes, size_t size)
{
    size_t wanted = MAX(MAX(size, bytes->size * 2), BYTES_FIRST);
    char *data;

    if (size <= bytes->size)
        return true;
    data = report_malloc(wanted);
    if (!data)
        return false;
    if (bytes->size)
        memcpy(data, bytes->data, bytes->size);
    bytes_done(bytes);
    *bytes = (struct bytes){data, wanted};
    return true;
}
