/* SPDX-License-Identifier: MIT
 *
 * JSON of everything that is not a report: differences, the verdict of a gate, what was traced. */
#include "compiler.h"
#include "finding.h"
#include "out_json.h"

#include <errno.h>

static json_t *diff_item(const struct output_options *options, const struct diff_item *item)
{
    json_t *object = out_json_leak(options, item->leak);
    if (!object)
        return NULL;
    json_object_del(object, "blocks");
    json_object_del(object, "bytes");
    json_t *change =
        json_pack("{s:s, s:o, s:o, s:o, s:o}", "change", diff_change_name(item->change), "old_blocks",
                  out_json_number(item->old_blocks), "old_bytes", out_json_number(item->old_bytes), "new_blocks",
                  out_json_number(item->new_blocks), "new_bytes", out_json_number(item->new_bytes));
    if (!change || json_object_update(object, change) < 0) {
        json_decref(change);
        json_decref(object);
        return NULL;
    }
    json_decref(change);
    return object;
}

static json_t *diff_summary(const struct diff *diff)
{
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "old_blocks", out_json_number(diff->old_blocks), "old_bytes",
                  out_json_number(diff->old_bytes), "new_blocks", out_json_number(diff->new_blocks), "new_bytes",
                  out_json_number(diff->new_bytes), "old_errors", out_json_number(diff->old_errors), "new_errors",
                  out_json_number(diff->new_errors));
    for (int change = 0; object && change < DIFF_CHANGE_COUNT; change++)
        if (json_object_set_new(object, diff_change_name((enum diff_change)change),
                                out_json_number(diff->changes[change])) < 0) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

int out_json_diff(struct output_job *job, const struct diff *diff)
{
    fputs("{\"schema\":\"memshim-diff/1\",\n\"leaks\":[", job->out);
    for (size_t i = 0; i < MIN(diff->count, job->top); i++) {
        int r = out_json_item(job->out, i + 1, diff_item(job->options, &diff->items[i]));
        if (r < 0)
            return r;
    }
    fputs("],\n\"summary\":", job->out);
    int r = out_json_item(job->out, 1, diff_summary(diff));
    fputs("}\n", job->out);
    return r;
}

static json_t *gate_reason(const struct gate_verdict *verdict, const struct gate_reason *reason)
{
    const struct gate_counts *counts = &verdict->counts;
    uint64_t found = reason->rule == GATE_ERRORS   ? counts->errors
                     : reason->rule == GATE_GROWTH ? counts->growing
                     : reason->rule == GATE_BYTES  ? counts->bytes[reason->scope]
                                                   : counts->blocks[reason->scope];
    json_t *kind = reason->scope == GATE_TOTAL ? json_null() : json_string(gate_scope_name(reason->scope));
    return json_pack("{s:s, s:o, s:o, s:o, s:b}", "rule", finding_limit_name(reason->rule), "kind", kind, "limit",
                     out_json_number(reason->limit), "found", out_json_number(found), "default", reason->by_default);
}

static json_t *counts_of(const struct gate_counts *counts)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "leaks", out_json_number(counts->leaks[GATE_TOTAL]), "blocks",
                     out_json_number(counts->blocks[GATE_TOTAL]), "bytes", out_json_number(counts->bytes[GATE_TOTAL]),
                     "errors", out_json_number(counts->errors));
}

/* The verdict only: the leaks themselves are what `memshim report --format json` is for. */
int out_json_gate(struct output_job *job, const struct gate_limits *limits, const struct gate_verdict *verdict)
{
    (void)limits;
    const struct gate_counts *counts = &verdict->counts;
    fprintf(job->out, "{\"schema\":\"memshim-gate/1\",\n\"passed\":%s,\n\"known\":%s,\n\"reasons\":[",
            verdict->passed ? "true" : "false", counts->known ? "true" : "false");
    for (size_t i = 0; i < verdict->reason_count; i++) {
        int r = out_json_item(job->out, i + 1, gate_reason(verdict, &verdict->reasons[i]));
        if (r < 0)
            return r;
    }
    fputs("],\n\"command_end\":", job->out);
    int r = out_json_item(job->out, 1, out_json_string(verdict->command_end));
    if (r < 0)
        return r;
    fputs(",\n\"counts\":", job->out);
    r = out_json_item(job->out, 1, counts_of(counts));
    fputs("}\n", job->out);
    return r;
}

/* The entries of a table of the model without its empty first one. */
static json_t *entries(size_t count)
{
    return out_json_number(count > 0 ? count - 1 : 0);
}

static json_t *info_of(const struct process *process)
{
    json_t *object = out_json_process(process);
    const struct totals *totals = &process->totals;
    json_t *more = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o, s:o, s:o}}", "path",
        out_json_string(process->path), "version", out_json_string(process->version), "options",
        out_json_string(process->options), "threads", out_json_number(totals->threads), "inherited_frees",
        out_json_number(totals->inherited_frees), "refused", out_json_number(totals->refused), "self_checks",
        out_json_number(totals->self_checks), "self_check_differences", out_json_number(totals->self_check_differences),
        "tables", "groups", out_json_number(process->group_count), "errors", out_json_number(process->error_count),
        "stacks", entries(process->trace_count), "frames", entries(process->frame_count), "codes",
        entries(process->code_count), "modules", entries(process->module_count));
    bool failed = !object || !more || json_object_update(object, more) < 0;
    json_decref(more);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

int out_json_info(struct output_job *job)
{
    fputs("{\"schema\":\"memshim-info/1\",\n\"processes\":[", job->out);
    for (size_t i = 0; i < job->model->process_count; i++) {
        int r = out_json_item(job->out, i + 1, info_of(job->model->processes[i]));
        if (r < 0)
            return r;
    }
    fputs("]}\n", job->out);
    return 0;
}
