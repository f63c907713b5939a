/* SPDX-License-Identifier: MIT
 *
 * The report for people, in the words of Valgrind and LeakSanitizer; and the pieces of it that other views use. */
#ifndef ANALYZER_OUT_TEXT_H
#define ANALYZER_OUT_TEXT_H

#include "output.h"

extern const struct output out_text;

/* "still allocated", "definitely lost", .. */
const char *out_text_kind(enum leak_kind kind, bool known);

/* Writes `, label "loading"`; nothing for NULL. */
void out_text_label(FILE *out, const char *label);

/* Writes "1,600 bytes in 100 blocks". */
void out_text_amount(FILE *out, uint64_t bytes, uint64_t blocks);

/* Writes a line or two with what the reference audit says of the leak, if it says something. */
void out_text_references(FILE *out, const struct leak *leak);

/* Writes how the process ended: "exited with status 0". */
void out_text_ended(FILE *out, const struct process *process);

/* Writes the line that names the process, and a line for everything that its report lacks. */
void out_text_process(struct output_job *job, const struct process *process);

/* Writes the frames, one a line, runtime frames folded. */
void out_text_stack(struct output_job *job, const struct stack *stack);

/* The other documents (out_text_views.c). */
int out_text_diff(struct output_job *job, const struct diff *diff);
int out_text_gate(struct output_job *job, const struct gate_limits *limits, const struct gate_verdict *verdict);
int out_text_info(struct output_job *job);

#endif
