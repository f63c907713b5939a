/* SPDX-License-Identifier: MIT
 *
 * OpenMetrics text for Prometheus' text file collector and GitLab's metrics reports: sums only, in label sets that are the
 * same for every report, so that series do not come and go. A stack is never a label. */
#include "out_machine.h"
#include "rules.h"

#include <inttypes.h>
#include <string.h>

/* Labels of leaks: the kinds, and "unknown" where no scan ran. */
#define SERIES_COUNT (LEAK_KIND_COUNT + 1)

static void put_family(FILE *out, const char *name, const char *type, const char *unit, const char *help)
{
    fprintf(out, "# TYPE memshim_%s %s\n", name, type);
    if (unit)
        fprintf(out, "# UNIT memshim_%s %s\n", name, unit);
    fprintf(out, "# HELP memshim_%s %s\n", name, help);
}

static void put_single(FILE *out, const char *name, const char *type, const char *unit, const char *help,
                       uint64_t value)
{
    put_family(out, name, type, unit, help);
    fprintf(out, "memshim_%s%s %" PRIu64 "\n", name, strcmp(type, "counter") == 0 ? "_total" : "", value);
}

static uint64_t *member(struct output_sum *sum, size_t which)
{
    return which == 0 ? &sum->leaks : which == 1 ? &sum->blocks : &sum->bytes;
}

static void put_leaks(struct output_job *job)
{
    static const struct {
        const char *name, *unit, *help;
    } families[] = {{"leaks", NULL, "Stacks with blocks that were not released, without startup."},
                    {"leaked_blocks", "blocks", "Blocks that were not released, without startup."},
                    {"leaked_bytes", "bytes", "Bytes that were not released, without startup."}};
    struct output_sum series[SERIES_COUNT] = {0};
    if (job->known)
        memcpy(series, job->kinds, sizeof(job->kinds));
    else
        series[LEAK_KIND_COUNT] = job->all;
    for (size_t i = 0; i < 3; i++) {
        put_family(job->out, families[i].name, "gauge", families[i].unit, families[i].help);
        for (size_t kind = 0; kind < SERIES_COUNT; kind++)
            fprintf(job->out, "memshim_%s{kind=\"%s\"} %" PRIu64 "\n", families[i].name,
                    kind < LEAK_KIND_COUNT ? leak_kind_name((enum leak_kind)kind) : "unknown",
                    *member(&series[kind], i));
    }
}

static void put_errors(struct output_job *job)
{
    size_t count;
    const struct rule *rules = rules_all(&count);
    uint64_t found[64] = {0};
    for (size_t i = 0; i < job->model->process_count; i++) {
        const struct process *process = job->model->processes[i];
        for (size_t j = 0; j < process->error_count; j++)
            found[(size_t)(rule_of_error(process->errors[j].kind) - rules) % 64]++;
    }
    put_family(job->out, "errors", "gauge", NULL, "Places where memory was used wrongly.");
    for (const struct rule *rule = rule_of_error("overflow"); rule < rules + count; rule++)
        if (rule != rule_of_growth())
            fprintf(job->out, "memshim_errors{kind=\"%s\"} %" PRIu64 "\n", rule->id, found[rule - rules]);
}

static void put_totals(struct output_job *job)
{
    struct totals sum = {0};
    uint64_t truncated = 0;
    const struct model *model = job->model;
    for (size_t i = 0; i < model->process_count; i++) {
        const struct totals *totals = &model->processes[i]->totals;
        sum.allocations += totals->allocations;
        sum.frees += totals->frees;
        sum.dropped += totals->dropped;
        sum.live_blocks += totals->live_blocks;
        sum.live_bytes += totals->live_bytes;
        sum.startup_bytes += totals->startup_bytes;
        sum.peak_bytes = totals->peak_bytes > sum.peak_bytes ? totals->peak_bytes : sum.peak_bytes;
        truncated += model->processes[i]->truncated;
    }
    FILE *out = job->out;
    put_single(out, "processes", "gauge", NULL, "Processes that were traced.", model->process_count);
    put_single(out, "truncated_reports", "gauge", NULL, "Reports without their end.", truncated);
    put_single(out, "allocations", "counter", NULL, "Blocks allocated.", sum.allocations);
    put_single(out, "frees", "counter", NULL, "Blocks released.", sum.frees);
    put_single(out, "dropped_events", "counter", NULL, "Events that could not be recorded.", sum.dropped);
    put_single(out, "live_blocks", "gauge", "blocks", "Blocks allocated at the end.", sum.live_blocks);
    put_single(out, "live_bytes", "gauge", "bytes", "Bytes allocated at the end.", sum.live_bytes);
    put_single(out, "startup_bytes", "gauge", "bytes", "Bytes of startup blocks allocated at the end.",
               sum.startup_bytes);
    put_single(out, "peak_bytes", "gauge", "bytes", "Most bytes at one time in one process.", sum.peak_bytes);
}

static int openmetrics_begin(struct output_job *job)
{
    put_totals(job);
    put_errors(job);
    return 0;
}

static int openmetrics_end(struct output_job *job)
{
    put_leaks(job);
    fputs("# EOF\n", job->out);
    return 0;
}

static int openmetrics_info(struct output_job *job)
{
    openmetrics_begin(job);
    fputs("# EOF\n", job->out);
    return 0;
}

const struct output out_openmetrics = {
    .name = "openmetrics",
    .extension = ".prom",
    .help = "sums for Prometheus and GitLab",
    .top = 0,
    .begin = openmetrics_begin,
    .end = openmetrics_end,
    .info = openmetrics_info,
};
