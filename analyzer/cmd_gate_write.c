/* SPDX-License-Identifier: MIT
 *
 * The documents of a gate. See cmd_gate.h. */
#include "cmd_gate.h"

#include "text.h"

#include <errno.h>
#include <string.h>

#define GATE_TOP 10

/* The kinds that the verdict is about: their leaks are shown. 0: all. */
static unsigned int failed_kinds(const struct gate_verdict *verdict)
{
    unsigned int kinds = 0;
    for (size_t i = 0; i < verdict->reason_count; i++) {
        if (verdict->reasons[i].rule >= GATE_ERRORS)
            continue;
        if (verdict->reasons[i].scope >= LEAK_KIND_COUNT)
            return 0;
        kinds |= 1u << verdict->reasons[i].scope;
    }
    return kinds;
}

/* Where single leaks are too large and nothing else is wrong: the size from which on they are. */
static uint64_t failed_size(const struct gate_verdict *verdict, uint64_t otherwise)
{
    const struct gate_reason *reason = &verdict->reasons[0];
    bool only = verdict->reason_count == 1 && reason->rule == GATE_BYTES && reason->scope == GATE_STACK;
    return only ? MAX(otherwise, reason->limit + 1) : otherwise;
}

/* What the verdict is about, in formats that allow it below the verdict. */
static int write_evidence(struct output_job *job, const struct output *output, const struct output_options *view,
                          const struct gate_verdict *verdict, const struct reading *reading)
{
    if (verdict->reason_count == 0 || !output->evidence)
        return 0;
    struct output_options options = *view;
    options.brief = true;
    options.kinds = failed_kinds(verdict);
    options.min_bytes = failed_size(verdict, options.min_bytes);
    if (options.top == OUTPUT_TOP_DEFAULT)
        options.top = GATE_TOP;
    FILE *out = job->out;
    const struct leaks *leaks = reading_leaks(reading, output);
    output_job_init(job, output, &options, &reading->model, leaks, out);
    return output_report(job, output, leaks, reading->symbols);
}

/* Writes the verdict, or, in a format that has none, the report. Returns 0 or -errno. */
static int write_to(FILE *out, const struct output *output, const struct output_options *options,
                    const struct gate_command *gate, const struct gate_verdict *verdict, const struct reading *reading)
{
    struct output_job job;
    const struct leaks *leaks = reading_leaks(reading, output);
    output_job_init(&job, output, options, &reading->model, leaks, out);
    if (!output->gate)
        return output_report(&job, output, leaks, reading->symbols);
    errno = 0;
    int r = output->gate(&job, &gate->limits, verdict);
    if (r == 0 && ferror(out))
        r = errno ? -errno : -EIO;
    return r == 0 ? write_evidence(&job, output, options, verdict, reading) : r;
}

static int write_document(struct view *view, const struct gate_command *gate, const struct gate_verdict *verdict,
                          const struct reading *reading)
{
    struct document document;
    int code = document_open(&document, view);
    if (code != EXIT_DONE)
        return code;
    int r = write_to(document.out, view->output, &view->options, gate, verdict, reading);
    return document_close(&document, view, r);
}

/* The documents that --write asks for. */
static int write_also(const struct gate_command *gate, const struct gate_verdict *verdict,
                      const struct reading *reading)
{
    int code = EXIT_DONE;
    for (size_t i = 0; i < gate->also_count && code == EXIT_DONE; i++) {
        struct view view = {.options = gate->view.options, .path = gate->also[i].path, .output = gate->also[i].output};
        code = write_document(&view, gate, verdict, reading);
    }
    return code;
}

/* Appends to the summary of the job: other steps have theirs in the same file. */
static void write_summary(const char *path, const struct gate_command *gate, const struct gate_verdict *verdict,
                          const struct reading *reading)
{
    struct output_options options = gate->view.options;
    options.color = false;
    FILE *out = fopen(path, "ae");
    int r = out ? write_to(out, output_find("markdown", NULL), &options, gate, verdict, reading) : -errno;
    if (out && fclose(out) != 0 && r == 0)
        r = -errno;
    if (r < 0)
        command_error("GITHUB_STEP_SUMMARY: %s: %s", path, strerror(-r));
}

/* What GitHub Actions shows beside the code and below the job. A failure of it is told and changes no verdict. */
static void write_github(const struct gate_command *gate, const struct gate_verdict *verdict,
                         const struct reading *reading)
{
    const char *actions = getenv("GITHUB_ACTIONS"), *summary = getenv("GITHUB_STEP_SUMMARY");
    if (gate->no_ci || !actions || strcmp(actions, "true") != 0)
        return;
    bool annotated = strcmp(gate->view.output->name, "text") != 0 || verdict->passed;
    if (!annotated) {
        struct output_options options = gate->view.options;
        options.color = false;
        int r = write_to(stdout, output_find("github", NULL), &options, gate, verdict, reading);
        if (r == 0)
            r = stream_flush(stdout);
        if (r < 0)
            command_failed("standard output", r);
    }
    if (summary && *summary)
        write_summary(summary, gate, verdict, reading);
}

int gate_write(struct gate_command *gate, const struct gate_verdict *verdict, const struct reading *reading)
{
    int code = write_document(&gate->view, gate, verdict, reading);
    int also = write_also(gate, verdict, reading);
    write_github(gate, verdict, reading);
    return code != EXIT_DONE ? code : also;
}

int gate_write_baseline(const struct gate_command *gate, const struct reading *reading)
{
    const struct output *output = output_find("suppressions", NULL);
    bool reachable = gate->view.options.show & SHOW_REACHABLE || gate_covers_reachable(&gate->limits);
    const struct output_options options = {
        .top = OUTPUT_TOP_DEFAULT,
        .kinds = reachable ? 0 : 1u << LEAK_DEFINITE | 1u << LEAK_INDIRECT | 1u << LEAK_POSSIBLE,
        .show = reachable ? SHOW_REACHABLE : 0,
    };
    struct view view = {.path = gate->write_baseline, .options = options, .output = output};
    struct document document;
    int code = document_open(&document, &view);
    if (code != EXIT_DONE)
        return code;
    struct output_job job;
    output_job_init(&job, output, &options, &reading->model, &reading->joined, document.out);
    int r = output_report(&job, output, &reading->joined, reading->symbols);
    code = document_close(&document, &view, r);
    if (code == EXIT_DONE)
        command_error("%s accepts %llu leak%s, %llu bytes in %llu blocks", gate->write_baseline,
                      (unsigned long long)(job.all.leaks - job.hidden.leaks),
                      text_plural(job.all.leaks - job.hidden.leaks),
                      (unsigned long long)(job.all.bytes - job.hidden.bytes),
                      (unsigned long long)(job.all.blocks - job.hidden.blocks));
    return code;
}
