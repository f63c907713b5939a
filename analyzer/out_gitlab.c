/* SPDX-License-Identifier: MIT
 *
 * GitLab's code quality report: a JSON array, also when there is nothing. Each entry needs a path and a fingerprint that no
 * other entry has: the same leak in a second process gets a number. */
#include "compiler.h"
#include "emit.h"
#include "finding.h"
#include "intern.h"
#include "out_machine.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char *severity(const struct finding *finding)
{
    static const char *const names[LEVEL_COUNT] = {
        [LEVEL_NOTE] = "info", [LEVEL_WARNING] = "minor", [LEVEL_ERROR] = "major"};
    return finding->error ? "critical" : names[finding->rule->level];
}

/* The path of a finding without a source line: the module or program it happened in. */
static const char *stand_in(const struct finding *finding)
{
    const struct stack *stack = finding->stack;
    for (size_t i = 0; i < stack->size; i++) {
        const struct frame *frame = stack->frames[i];
        if (frame->language == FRAME_NATIVE && !frame->runtime && frame->module)
            return text_base(frame->module);
    }
    return finding->process->program && *finding->process->program ? finding->process->program : "program";
}

static int put_fingerprint(struct output_job *job, const struct finding *finding)
{
    struct intern *seen = job->state;
    uint32_t index;
    int r = intern_add(seen, finding->fingerprint, strlen(finding->fingerprint), &index);
    if (r < 0)
        return r;
    uint64_t times = ++seen->entries[index].value;
    fprintf(job->out, "\"%s", finding->fingerprint);
    if (times > 1)
        fprintf(job->out, "-%" PRIu64, times);
    fputc('"', job->out);
    return 0;
}

/* "1,600 bytes in 100 blocks definitely lost (obj, list) in f" */
static int put_description(struct output_job *job, const struct finding *finding)
{
    char *text = NULL;
    if (asprintf(&text, "%s in %s", finding->what, finding->function) < 0)
        return -ENOMEM;
    emit_json(job->out, text);
    free(text);
    return 0;
}

static int put_finding(struct output_job *job, const struct finding *finding)
{
    FILE *out = job->out;
    const struct place *place = &finding->place;
    fputs(job->errors_written + job->leaks_written > 1 ? ",\n{\"description\":" : "\n{\"description\":", out);
    int r = put_description(job, finding);
    fprintf(out, ",\"check_name\":\"memshim/%s\",\"severity\":\"%s\",\"fingerprint\":", finding->rule->id,
            severity(finding));
    if (r == 0)
        r = put_fingerprint(job, finding);
    fputs(",\"location\":{\"path\":", out);
    emit_json(out, place->file ? place->file : stand_in(finding));
    fprintf(out, ",\"lines\":{\"begin\":%d}}}", place->line > 0 ? place->line : 1);
    return r;
}

static int gitlab_begin(struct output_job *job)
{
    job->state = calloc(1, sizeof(struct intern));
    fputc('[', job->out);
    return job->state ? 0 : -ENOMEM;
}

static int gitlab_leak(struct output_job *job, const struct leak *leak)
{
    return finding_from_leak(job, leak, put_finding);
}

static int gitlab_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                        const struct error_stacks *stacks)
{
    return finding_from_error(job, process, error, stacks, put_finding);
}

static int gitlab_end(struct output_job *job)
{
    fputs("]\n", job->out);
    return 0;
}

static void gitlab_done(struct output_job *job)
{
    if (job->state)
        intern_clear(job->state);
    free(job->state);
    job->state = NULL;
}

const struct output out_gitlab = {
    .name = "gitlab",
    .extension = "gl-code-quality-report.json",
    .help = "code quality report of GitLab",
    .top = 0,
    .joined = true,
    .begin = gitlab_begin,
    .error = gitlab_error,
    .leak = gitlab_leak,
    .end = gitlab_end,
    .done = gitlab_done,
};
