/* SPDX-License-Identifier: MIT
 *
 * Annotations in the log of GitHub Actions: workflow commands, which the runner takes from the standard output of a step.
 * It shows a few of each level only, so the rest is counted in one notice. */
#include "compiler.h"
#include "finding.h"
#include "out_machine.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SHOWN_MAX 10  /* of each level in one step */
#define STACK_MAX 600 /* bytes of a stack in a message: the log has little room */

struct github {
    uint64_t shown[LEVEL_COUNT];
    uint64_t left_out;
};

static const char *const commands[LEVEL_COUNT] = {
    [LEVEL_NOTE] = "notice", [LEVEL_WARNING] = "warning", [LEVEL_ERROR] = "error"};

/* The runner decodes these, and in properties the colon and the comma too. */
static void put_escaped(FILE *out, const char *text, const char *special)
{
    for (; *text; text++) {
        if (strchr(special, *text))
            fprintf(out, "%%%02X", (unsigned char)*text);
        else
            fputc(*text, out);
    }
}

static void put_data(FILE *out, const char *text)
{
    put_escaped(out, text, "%\r\n");
}

static void put_property(FILE *out, const char *text)
{
    put_escaped(out, text, "%\r\n:,");
}

/* Writes the stacks, cut at the end of a line. */
static int put_stacks(struct output_job *job, const struct finding *finding)
{
    _cleanup_free_ char *text = finding_stacks(job, finding);
    if (!text)
        return -ENOMEM;
    size_t length = strlen(text);
    char *newline = memrchr(text, '\n', length < STACK_MAX ? length : STACK_MAX);
    text[newline ? newline - text : 0] = '\0';
    put_data(job->out, "\n");
    put_data(job->out, text);
    return 0;
}

/* Files outside of the source tree cannot be annotated. */
static void put_head(FILE *out, const struct finding *finding)
{
    fprintf(out, "::%s ", commands[finding->rule->level]);
    if (finding->place.own) {
        fputs("file=", out);
        put_property(out, finding->place.file);
        fprintf(out, ",line=%d,endLine=%d,", finding->place.line, finding->place.line);
    }
    fputs("title=memshim%3A ", out);
    put_property(out, finding->rule->name);
    fputs("::", out);
    put_data(out, finding->what);
}

static int put_finding(struct output_job *job, const struct finding *finding)
{
    struct github *state = job->state;
    enum finding_level level = finding->rule->level;
    /* One of the notices is kept for what is left out. */
    if (state->shown[level] >= SHOWN_MAX - (level == LEVEL_NOTE)) {
        state->left_out++;
        return 0;
    }
    state->shown[level]++;
    put_head(job->out, finding);
    int r = put_stacks(job, finding);
    fputc('\n', job->out);
    return r;
}

static int github_begin(struct output_job *job)
{
    job->state = calloc(1, sizeof(struct github));
    return job->state ? 0 : -ENOMEM;
}

static int github_leak(struct output_job *job, const struct leak *leak)
{
    return finding_from_leak(job, leak, put_finding);
}

static int github_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                        const struct error_stacks *stacks)
{
    return finding_from_error(job, process, error, stacks, put_finding);
}

static int github_end(struct output_job *job)
{
    const struct github *state = job->state;
    uint64_t more = state->left_out + job->hidden.leaks + job->errors_hidden;
    char number[TEXT_NUMBER_SIZE];
    if (more > 0)
        fprintf(job->out, "::notice title=memshim::%s more finding%s not shown here\n", text_number(number, more),
                text_plural(more));
    return 0;
}

static void github_done(struct output_job *job)
{
    free(job->state);
    job->state = NULL;
}

static int put_failure(FILE *out, const char *text)
{
    fputs("::error title=memshim%3A gate failed::", out);
    put_data(out, text);
    fputc('\n', out);
    return 0;
}

static int put_reason(struct output_job *job, const struct gate_verdict *verdict, const struct gate_reason *reason)
{
    _cleanup_free_ char *text = finding_reason(verdict, reason);
    return text ? put_failure(job->out, text) : -ENOMEM;
}

static int github_gate(struct output_job *job, const struct gate_limits *limits, const struct gate_verdict *verdict)
{
    (void)limits;
    int r = verdict->command_end ? put_failure(job->out, verdict->command_end) : 0;
    for (size_t i = 0; r == 0 && i < verdict->reason_count; i++)
        r = put_reason(job, verdict, &verdict->reasons[i]);
    if (r == 0 && verdict->passed)
        fputs("::notice title=memshim::gate passed\n", job->out);
    return r;
}

const struct output out_github = {
    .name = "github",
    .help = "annotations for the log of GitHub Actions",
    .top = 0,
    .joined = true,
    .reachable_on_request = true,
    .evidence = true,
    .begin = github_begin,
    .error = github_error,
    .leak = github_leak,
    .end = github_end,
    .done = github_done,
    .gate = github_gate,
};
