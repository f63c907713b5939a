/* SPDX-License-Identifier: MIT
 *
 * Stacks: their frames and callers get numbers, callers first (report_stacks.h). */
#include "report_stacks.h"

#include "report_modules.h"

/* In id_maps: a node whose callers are being looked up, and an entry that is not there. */
#define NUMBER_PENDING UINT32_MAX
#define NUMBER_DAMAGED (UINT32_MAX - 1)

#define EPOCH_MASK 0xffffffu

static uint64_t frame_key(enum frame_language language, bool flag, uint32_t number)
{
    return (uint64_t)language << 40 | (flag ? UINT64_C(1) << 32 : 0) | number;
}

/* Nodes keep 24 bits of their epoch; the missing ones follow from the newest epoch. */
static uint32_t whole_epoch(const struct gathered *gathered, uint32_t epoch)
{
    uint32_t newest = LOAD(gathered->view->header->epoch);

    return newest - ((newest - epoch) & EPOCH_MASK);
}

static struct row_key native_frame(struct gathered *gathered, uint64_t address, uint32_t meta)
{
    bool exact = meta & NODE_EXACT;
    uint32_t epoch = whole_epoch(gathered, meta >> NODE_EPOCH_SHIFT);
    const struct module_range *range;
    uint32_t module;

    range = module_ranges_find(gathered->ranges, gathered->range_count, address - !exact, epoch);
    if (!range)
        return (struct row_key){frame_key(FRAME_NATIVE, exact, 0), address};
    module = intern(gathered, &gathered->modules, (struct row_key){range->id, 0});
    return (struct row_key){frame_key(FRAME_NATIVE, exact, module), address - range->bias};
}

static struct row_key python_frame(struct gathered *gathered, uint64_t key, uint32_t meta)
{
    uint32_t id = (uint32_t)(key >> 32);
    uint32_t code = 0;

    if (ledger_view_entry(gathered->view, LEDGER_CODES, id))
        code = intern(gathered, &gathered->codes, (struct row_key){id, 0});
    else
        gathered->damaged++;
    return (struct row_key){frame_key(FRAME_PYTHON, meta & NODE_ENTRY, code), (uint32_t)key};
}

/* The number of a node's frame. A node that is of no known kind is read as a cut: the stack is not known from here on. */
static uint32_t gather_frame(struct gathered *gathered, uint64_t key, uint32_t meta)
{
    struct row_key row = {frame_key(FRAME_CUT, false, 0), 0};

    if (meta & NODE_CUT)
        row.b = key;
    else if (meta & NODE_NATIVE)
        row = native_frame(gathered, key, meta);
    else if (meta & NODE_PYTHON)
        row = python_frame(gathered, key, meta);
    else
        gathered->damaged++;
    return intern(gathered, &gathered->frames, row);
}

/* A node on the way from a leaf to a caller that has a number. */
struct step {
    uint64_t key;
    uint32_t meta;
    uint32_t id;
};

/* Notes node `id` at place `depth` of the path. Returns its parent, or 0 at the end of what can be followed. */
static uint32_t follow_node(struct gathered *gathered, const struct ledger_node *node, uint32_t id, size_t depth)
{
    struct step *path;

    if (!bytes_reserve(&gathered->path, (depth + 1) * sizeof(*path))) {
        fail(gathered);
        return 0;
    }
    path = (struct step *)(void *)gathered->path.data;
    path[depth] = (struct step){LOAD(node->key), LOAD(node->meta), id};
    put_number(gathered, &gathered->node_numbers, id, NUMBER_PENDING);
    return LOAD(node->parent);
}

/* Gives numbers to the first `depth` nodes of the path, callers (the last ones) first. `number` is of the last one's
 * caller. Returns the number of the first. */
static uint32_t number_path(struct gathered *gathered, size_t depth, uint32_t number)
{
    const struct step *path = (const struct step *)(void *)gathered->path.data;

    while (depth-- > 0 && !gathered->error) {
        uint32_t frame = gather_frame(gathered, path[depth].key, path[depth].meta);

        number = intern(gathered, &gathered->nodes, (struct row_key){(uint64_t)number << 32 | frame, 0});
        put_number(gathered, &gathered->node_numbers, path[depth].id, number);
    }
    return number;
}

/* The number of a node, giving numbers to all its callers first. A chain that loops or leads nowhere ends there. */
static uint32_t gather_node(struct gathered *gathered, uint32_t id)
{
    size_t depth = 0;
    uint32_t number = 0;

    while (id && !gathered->error) {
        const struct ledger_node *node;

        number = id_map_get(&gathered->node_numbers, id);
        if (number)
            break;
        node = ledger_view_entry(gathered->view, LEDGER_NODES, id);
        if (!node) {
            gathered->damaged++;
            break;
        }
        id = follow_node(gathered, node, id, depth++);
    }
    if (number == NUMBER_PENDING) {
        gathered->damaged++;
        number = 0;
    }
    return number_path(gathered, depth, number);
}

/* The innermost node that is a frame of the Python part `id`, and the label that stands before it. */
static uint32_t skip_label(struct gathered *gathered, uint32_t id, uint64_t *ret_label)
{
    const struct ledger_node *node = id ? ledger_view_entry(gathered->view, LEDGER_NODES, id) : NULL;

    *ret_label = 0;
    if (!node || LOAD(node->meta) != NODE_LABEL)
        return id;
    *ret_label = LOAD(node->key);
    return LOAD(node->parent);
}

void gather_trace(struct gathered *gathered, uint32_t id)
{
    const struct ledger_trace *trace;
    struct trace_row *row;
    uint32_t native, python, number;
    uint64_t label;

    if (id == 0 || id_map_get(&gathered->trace_numbers, id) != 0 || gathered->error)
        return;
    trace = ledger_view_entry(gathered->view, LEDGER_TRACES, id);
    if (!trace) {
        gathered->damaged++;
        if (id < gathered->trace_numbers.limit)
            put_number(gathered, &gathered->trace_numbers, id, NUMBER_DAMAGED);
        return;
    }
    native = gather_node(gathered, LOAD(trace->native));
    python = gather_node(gathered, skip_label(gathered, LOAD(trace->python), &label));
    number = intern(gathered, &gathered->traces, (struct row_key){(uint64_t)native << 32 | python, label});
    if (gathered->error)
        return;
    row = table_row(&gathered->traces, number);
    row->allocations = add_saturated(row->allocations, LOAD(trace->allocations));
    row->bytes = add_saturated(row->bytes, LOAD(trace->bytes));
    put_number(gathered, &gathered->trace_numbers, id, number);
}

uint32_t gathered_trace(const struct gathered *gathered, uint32_t id)
{
    uint32_t number = id_map_get(&gathered->trace_numbers, id);

    return number >= NUMBER_DAMAGED ? 0 : number;
}
