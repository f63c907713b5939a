/* SPDX-License-Identifier: MIT
 *
 * See allocations.h. */
#include "allocations.h"

#include "compiler.h"

#include <errno.h>
#include <inttypes.h>

#define STACKS_MAX 20000 /* with a row of their own */

/* A trace of a process that called an allocator. */
struct caller {
    const struct process *process;
    uint32_t trace;
};

static uint64_t calls_of(const struct caller *caller)
{
    return caller->process->traces[caller->trace].allocations;
}

/* Most calls first, then in the order of the report. */
static int compare(const void *a, const void *b)
{
    const struct caller *left = a, *right = b;
    uint64_t x = calls_of(left), y = calls_of(right);
    if (x != y)
        return x < y ? 1 : -1;
    if (left->process != right->process)
        return left->process->pid < right->process->pid ? -1 : 1;
    return left->trace < right->trace ? -1 : 1;
}

static size_t count_traces(const struct model *model)
{
    size_t count = 0;
    for (size_t i = 0; i < model->process_count; i++)
        count += model->processes[i]->trace_count;
    return count;
}

/* All callers of the model; *ret_count receives their number. NULL without memory. */
static struct caller *list_callers(const struct model *model, size_t *ret_count)
{
    struct caller *callers = calloc(count_traces(model) + 1, sizeof(*callers));
    size_t count = 0;
    for (size_t i = 0; callers && i < model->process_count; i++) {
        const struct process *process = model->processes[i];
        for (size_t trace = 1; trace < process->trace_count; trace++) {
            if (process->traces[trace].allocations > 0)
                callers[count++] = (struct caller){process, (uint32_t)trace};
        }
    }
    if (callers)
        qsort(callers, count, sizeof(*callers), compare);
    *ret_count = count;
    return callers;
}

static int put_caller(struct output_job *job, struct html_tables *tables, const struct caller *caller)
{
    const struct trace *trace = &caller->process->traces[caller->trace];
    struct stack stack;
    uint32_t process, node;
    int r = html_tables_process(tables, caller->process, &process);
    if (r == 0)
        r = stack_build(caller->process, caller->trace, job->symbols, &stack);
    if (r < 0)
        return r;
    r = html_tables_stack(tables, job->options, &stack, &node);
    stack_clear(&stack);
    if (r == 0)
        fprintf(job->out, "[%" PRIu32 ",%" PRIu32 ",1,%" PRIu64 ",%" PRIu64 "]", process, node, trace->allocations,
                trace->bytes);
    return r;
}

/* One row for all callers of one process: its own, that have no row. */
static void put_rest(struct output_job *job, const struct process *process, uint32_t number,
                     const struct caller *callers, size_t count)
{
    uint64_t stacks = 0, calls = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (callers[i].process != process)
            continue;
        stacks++;
        calls += calls_of(&callers[i]);
        bytes += process->traces[callers[i].trace].bytes;
    }
    if (stacks > 0)
        fprintf(job->out, ",\n[%" PRIu32 ",0,%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", number, stacks, calls, bytes);
}

int html_allocations_put(struct output_job *job, struct html_tables *tables)
{
    size_t count;
    _cleanup_free_ struct caller *callers = list_callers(job->model, &count);
    if (!callers)
        return -ENOMEM;
    fputs(",\n\"allocations\":[", job->out);
    size_t rows = MIN(count, (size_t)STACKS_MAX);
    for (size_t i = 0; i < rows; i++) {
        fputs(i > 0 ? ",\n" : "\n", job->out);
        int r = put_caller(job, tables, &callers[i]);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; count > rows && i < job->model->process_count; i++)
        put_rest(job, job->model->processes[i], (uint32_t)i, callers + rows, count - rows);
    fputs("]", job->out);
    return 0;
}
