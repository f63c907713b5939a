/* SPDX-License-Identifier: MIT
 *
 * JUnit XML with the elements and attributes that Jenkins and GitLab use: a test case for each error and leak. Cases have
 * names that stay the same from run to run (no counts), so that CI can tell a new failure from an old one. A lost block fails;
 * one that is still in use passes; one of which that is not known is skipped. */
#include "compiler.h"
#include "emit.h"
#include "finding.h"
#include "intern.h"
#include "out_machine.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TOP 1000

/* The counts stand before the cases in the file, so the cases wait in memory. */
struct junit {
    struct memo cases;
    uint64_t tests, failures, skipped;
    struct intern names;
};

static void put_attribute(FILE *out, const char *name, const char *text)
{
    fprintf(out, " %s=\"", name);
    emit_xml(out, text);
    fputc('"', out);
}

/* "definite leak in C.f (app.py) [00112233]", with a number where that is taken. */
static int put_name(struct junit *state, const struct finding *finding)
{
    char *name = NULL;
    uint32_t index;
    const char *file = finding->place.file;
    int length = asprintf(&name, "%s in %s%s%s%s [%.8s]", finding->rule->name, finding->function, file ? " (" : "",
                          file ? file : "", file ? ")" : "", finding->fingerprint);
    if (length < 0)
        return -ENOMEM;
    int r = intern_add(&state->names, name, (size_t)length, &index);
    if (r >= 0) {
        uint64_t times = ++state->names.entries[index].value;
        fputs(" name=\"", state->cases.out);
        emit_xml(state->cases.out, name);
        if (times > 1)
            fprintf(state->cases.out, " #%" PRIu64, times);
        fputc('"', state->cases.out);
    }
    free(name);
    return r < 0 ? r : 0;
}

/* Writes the stacks as the content of an element. */
static int put_stacks(FILE *out, struct output_job *job, const struct finding *finding)
{
    _cleanup_free_ char *text = finding_stacks(job, finding);
    for (char *line = text, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        emit_xml(out, line);
        fputc('\n', out);
    }
    return text ? 0 : -ENOMEM;
}

/* What a finding is in terms of tests. */
static int put_result(struct output_job *job, const struct finding *finding)
{
    struct junit *state = job->state;
    FILE *out = state->cases.out;
    bool fails = finding->rule->level != LEVEL_NOTE, unknown = !fails && finding->leak && !finding->leak->known;
    const char *element = fails ? "failure" : unknown ? "skipped" : "system-out";
    state->failures += fails;
    state->skipped += unknown;
    fprintf(out, "      <%s", element);
    if (fails)
        put_attribute(out, "type", finding->rule->id);
    if (fails || unknown)
        put_attribute(out, "message", finding->what);
    fputc('>', out);
    if (!fails && !unknown) {
        emit_xml(out, finding->what);
        fputc('\n', out);
    }
    int r = put_stacks(out, job, finding);
    fprintf(out, "</%s>\n", element);
    return r;
}

static int put_finding(struct output_job *job, const struct finding *finding)
{
    struct junit *state = job->state;
    FILE *out = state->cases.out;
    state->tests++;
    fprintf(out, "    <testcase classname=\"memshim.%s\"", finding->leak ? "leak" : "error");
    int r = put_name(state, finding);
    if (r < 0)
        return r;
    if (finding->place.file) {
        put_attribute(out, "file", finding->place.file);
        fprintf(out, " line=\"%d\"", finding->place.line);
    }
    fputs(" time=\"0\">\n", out);
    r = put_result(job, finding);
    fputs("    </testcase>\n", out);
    return r;
}

static int junit_begin(struct output_job *job)
{
    struct junit *state = calloc(1, sizeof(*state));
    if (!state)
        return -ENOMEM;
    job->state = state;
    return memo_open(&state->cases) ? 0 : -ENOMEM;
}

static int junit_leak(struct output_job *job, const struct leak *leak)
{
    return finding_from_leak(job, leak, put_finding);
}

static int junit_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                       const struct error_stacks *stacks)
{
    return finding_from_error(job, process, error, stacks, put_finding);
}

static void put_head(FILE *out, const char *suite, uint64_t tests, uint64_t failures, uint64_t skipped)
{
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuites name=\"memshim\" tests=\"%" PRIu64 "\" failures=\"%" PRIu64 "\" errors=\"0\" time=\"0\">\n"
            "  <testsuite name=\"%s\" tests=\"%" PRIu64 "\" failures=\"%" PRIu64 "\" errors=\"0\" skipped=\"%" PRIu64
            "\" time=\"0\">\n",
            tests, failures, suite, tests, failures, skipped);
}

static void put_tail(FILE *out)
{
    fputs("  </testsuite>\n</testsuites>\n", out);
}

/* What is not in the list, in the one place that viewers show for a whole suite. */
static void put_left_out(struct output_job *job)
{
    if (job->hidden.leaks + job->errors_hidden == 0)
        return;
    fprintf(job->out,
            "    <system-out>not listed: %" PRIu64 " errors and %" PRIu64 " leaks, %" PRIu64 " bytes in %" PRIu64
            " blocks</system-out>\n",
            job->errors_hidden, job->hidden.leaks, job->hidden.bytes, job->hidden.blocks);
}

static int junit_end(struct output_job *job)
{
    struct junit *state = job->state;
    /* A suite without any case is taken for a test run that went wrong. */
    if (state->tests == 0) {
        state->tests = 1;
        fputs("    <testcase classname=\"memshim.leak\" name=\"no findings\" time=\"0\"/>\n", state->cases.out);
    }
    _cleanup_free_ char *cases = memo_close(&state->cases);
    if (!cases)
        return -ENOMEM;
    put_head(job->out, "memshim report", state->tests, state->failures, state->skipped);
    fputs(cases, job->out);
    put_left_out(job);
    put_tail(job->out);
    return 0;
}

static void junit_done(struct output_job *job)
{
    struct junit *state = job->state;
    if (!state)
        return;
    if (state->cases.out)
        free(memo_close(&state->cases));
    intern_clear(&state->names);
    free(state);
    job->state = NULL;
}

/* The case of a limit that did not hold. */
static void put_limit(FILE *out, const char *rule, const char *scope, const char *text)
{
    fprintf(out, "    <testcase classname=\"memshim.gate\" name=\"%s%s%s\" time=\"0\">\n", rule, *scope ? " " : "",
            scope);
    fprintf(out, "      <failure type=\"%s\" message=\"", rule);
    emit_xml(out, text);
    fputs("\"></failure>\n    </testcase>\n", out);
}

static int put_reason(FILE *out, const struct gate_verdict *verdict, const struct gate_reason *reason)
{
    _cleanup_free_ char *text = finding_reason(verdict, reason);
    const char *scope = gate_scope_name(reason->scope);
    if (!text)
        return -ENOMEM;
    put_limit(out, finding_limit_name(reason->rule), scope, text);
    return 0;
}

static int junit_gate(struct output_job *job, const struct gate_limits *limits, const struct gate_verdict *verdict)
{
    (void)limits;
    FILE *out = job->out;
    uint64_t failures = verdict->reason_count + (verdict->command_end ? 1 : 0);
    put_head(out, "memshim gate", MAX(failures, 1), failures, 0);
    if (failures == 0)
        fputs("    <testcase classname=\"memshim.gate\" name=\"limits\" time=\"0\"/>\n", out);
    if (verdict->command_end)
        put_limit(out, "command", "", verdict->command_end);
    int r = 0;
    for (size_t i = 0; r == 0 && i < verdict->reason_count; i++)
        r = put_reason(out, verdict, &verdict->reasons[i]);
    put_tail(out);
    return r;
}

const struct output out_junit = {
    .name = "junit",
    .extension = ".xml",
    .help = "JUnit XML, a test case for each finding",
    .top = TOP,
    .joined = true,
    .begin = junit_begin,
    .error = junit_error,
    .leak = junit_leak,
    .end = junit_end,
    .done = junit_done,
    .gate = junit_gate,
};
