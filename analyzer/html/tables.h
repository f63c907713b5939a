/* SPDX-License-Identifier: MIT
 *
 * The tables of an HTML report, which its rows refer to by number: processes, frames, and the tree of calls. A node is a
 * frame and its caller's node, so that a stack is one number, and what stacks have in common is written once. Not
 * thread-safe. */
#ifndef ANALYZER_HTML_TABLES_H
#define ANALYZER_HTML_TABLES_H

#include "frame_ids.h"
#include "intern.h"
#include "output.h"

/* What is left of leaks that get no row of their own: summed up by process, kind and flags. */
struct html_rest {
    uint32_t process;
    uint16_t kind, flags;
    struct output_sum sum;
};

struct html_tables {
    struct intern processes; /* pointers; the index is the number */
    struct frame_ids frames;
    struct intern nodes; /* struct html_node; number 0 is "no frame", the first entry is number 1 */
    struct intern rests; /* process, kind and flags; the index is that of rest[] */
    struct html_rest *rest;
    size_t rest_room;
};

/* A key of `nodes`. */
struct html_node {
    uint32_t parent, frame;
};

/* Zeroed tables are made ready; the processes of the model get their numbers. Returns 0 or -ENOMEM. */
int html_tables_init(struct html_tables *tables, const struct model *model);

/* The number of a process that is in the model. Returns 0 or -ENOMEM. */
int html_tables_process(struct html_tables *tables, const struct process *process, uint32_t *ret);

/* The node of a stack: of the frames that `options` let pass. Returns 0 or -ENOMEM. */
int html_tables_stack(struct html_tables *tables, const struct output_options *options, const struct stack *stack,
                      uint32_t *ret);

/* Adds to the sum for this process, kind and flags. Returns 0 or -ENOMEM. */
int html_tables_rest(struct html_tables *tables, const struct html_rest *key, uint64_t blocks, uint64_t bytes);

/* Writes "nodes":[parent,frame,..],"frames":[[..],..]. */
void html_tables_put(FILE *out, const struct html_tables *tables);

void html_tables_clear(struct html_tables *tables);

#endif
