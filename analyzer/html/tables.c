/* SPDX-License-Identifier: MIT
 *
 * See tables.h. */
#include "tables.h"

#include "compiler.h"
#include "emit.h"
#include "stackname.h"

#include <errno.h>
#include <inttypes.h>

/* Bits of a frame's first column; src/data.js has the same. */
enum frame_bits { FRAME_IS_PYTHON = 1, FRAME_IS_CUT = 2, FRAME_IS_INLINED = 4, FRAME_IS_RUNTIME = 8 };

static unsigned int bits_of(const struct frame *frame)
{
    return (frame->language == FRAME_PYTHON ? FRAME_IS_PYTHON : 0u) |
           (frame->language == FRAME_CUT ? FRAME_IS_CUT : 0u) | (frame->inlined ? FRAME_IS_INLINED : 0u) |
           (frame->runtime ? FRAME_IS_RUNTIME : 0u);
}

/* [bits, name, file, line, module] */
static int put_frame(FILE *out, const struct frame *frame)
{
    _cleanup_free_ char *name = stackname_of(frame);
    if (!name)
        return -ENOMEM;
    fprintf(out, "[%u,", bits_of(frame));
    emit_script(out, name);
    fputc(',', out);
    emit_script(out, frame->file);
    fprintf(out, ",%d,", frame->line);
    emit_script(out, frame->language == FRAME_NATIVE ? frame->module : NULL);
    fputc(']', out);
    return 0;
}

int html_tables_init(struct html_tables *tables, const struct model *model)
{
    tables->frames.put = put_frame;
    uint32_t number;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < model->process_count; i++)
        r = html_tables_process(tables, model->processes[i], &number);
    return r;
}

int html_tables_process(struct html_tables *tables, const struct process *process, uint32_t *ret)
{
    int r = intern_add(&tables->processes, &process, sizeof(process), ret);
    return r < 0 ? r : 0;
}

int html_tables_stack(struct html_tables *tables, const struct output_options *options, const struct stack *stack,
                      uint32_t *ret)
{
    struct html_node node = {0};
    for (size_t i = stack->size; i-- > 0;) {
        uint32_t index = 0;
        if (!output_frame_shown(options, stack->frames[i]))
            continue;
        int r = frame_ids_of(&tables->frames, stack->frames[i], &node.frame);
        if (r == 0)
            r = intern_add(&tables->nodes, &node, sizeof(node), &index);
        if (r < 0)
            return r;
        node.parent = index + 1;
    }
    *ret = node.parent;
    return 0;
}

static int grow_rest(struct html_tables *tables)
{
    size_t room = tables->rest_room ? 2 * tables->rest_room : 16;
    struct html_rest *rest = reallocarray(tables->rest, room, sizeof(*rest));
    if (!rest)
        return -ENOMEM;
    tables->rest = rest;
    tables->rest_room = room;
    return 0;
}

int html_tables_rest(struct html_tables *tables, const struct html_rest *key, uint64_t blocks, uint64_t bytes)
{
    uint32_t words[] = {key->process, (uint32_t)key->kind << 16 | key->flags}, index;
    if (tables->rests.count == tables->rest_room && grow_rest(tables) < 0)
        return -ENOMEM;
    int r = intern_add(&tables->rests, words, sizeof(words), &index);
    if (r < 0)
        return r;
    struct html_rest *rest = &tables->rest[index];
    if (r > 0)
        *rest = (struct html_rest){.process = key->process, .kind = key->kind, .flags = key->flags};
    rest->sum.leaks++;
    rest->sum.blocks += blocks;
    rest->sum.bytes += bytes;
    return 0;
}

void html_tables_put(FILE *out, const struct html_tables *tables)
{
    fputs("\"nodes\":[", out);
    for (size_t i = 0; i < tables->nodes.count; i++) {
        const struct html_node *node = tables->nodes.entries[i].key;
        fprintf(out, "%s%" PRIu32 ",%" PRIu32, i > 0 ? "," : "", node->parent, node->frame);
    }
    fputs("],\n\"frames\":[", out);
    for (size_t i = 0; i < tables->frames.rows.count; i++)
        fprintf(out, "%s%s", i > 0 ? ",\n" : "\n", (const char *)tables->frames.rows.entries[i].key);
    fputs("]", out);
}

void html_tables_clear(struct html_tables *tables)
{
    intern_clear(&tables->processes);
    frame_ids_clear(&tables->frames);
    intern_clear(&tables->nodes);
    intern_clear(&tables->rests);
    free(tables->rest);
    *tables = (struct html_tables){0};
}
