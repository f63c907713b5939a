/* SPDX-License-Identifier: MIT
 *
 * Reports as one JSON document, schema memshim-report/1, written item by item; and the pieces of it that other documents use. */
#ifndef ANALYZER_OUT_JSON_H
#define ANALYZER_OUT_JSON_H

#include "output.h"

#include <jansson.h>

extern const struct output out_json;

/* A string (bytes that are not UTF-8 replaced), or null for NULL. NULL without memory. All functions below return new
 * references, too. */
json_t *out_json_string(const char *text);

/* An unsigned number, cut off at what JSON readers take as an integer (2^63 - 1). */
json_t *out_json_number(uint64_t value);

json_t *out_json_process(const struct process *process);
json_t *out_json_stack(const struct output_options *options, const struct stack *stack);
json_t *out_json_leak(const struct output_options *options, const struct leak *leak);

/* Writes `item`, with a comma before it unless `number` is 1, and drops the reference. Returns 0 or -ENOMEM (item NULL). */
int out_json_item(FILE *out, uint64_t number, json_t *item);

/* Writes the "processes" array with its name. Returns 0 or -errno. */
int out_json_processes(struct output_job *job);

/* The other documents (out_json_views.c). */
int out_json_diff(struct output_job *job, const struct diff *diff);
int out_json_gate(struct output_job *job, const struct gate_limits *limits, const struct gate_verdict *verdict);
int out_json_info(struct output_job *job);

#endif
