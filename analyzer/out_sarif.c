/* SPDX-License-Identifier: MIT
 *
 * SARIF 2.1.0 for code scanning: one run, one result for each error and leak. Paths are relative to the root of the source
 * tree (%SRCROOT%), which is not named, so that documents of several machines are alike. GitHub refuses results without a
 * location, so those without a source line get the file of a module. */
#include "compiler.h"
#include "emit.h"
#include "finding.h"
#include "out_json.h"
#include "out_machine.h"
#include "suppress.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

#define SCHEMA "https://json.schemastore.org/sarif-2.1.0.json"
#define TOP 5000 /* of 25,000 that GitHub takes it shows as many */

/* `object` with one more key, or NULL without memory. Takes both references. */
static json_t *with(json_t *object, const char *key, json_t *value)
{
    if (object && json_object_set_new(object, key, value) == 0)
        return object;
    if (!object)
        json_decref(value);
    json_decref(object);
    return NULL;
}

/* `array` with one more item, or NULL without memory. Takes both references. */
static json_t *append(json_t *array, json_t *value)
{
    if (array && json_array_append_new(array, value) == 0)
        return array;
    if (!array)
        json_decref(value);
    json_decref(array);
    return NULL;
}

static json_t *text_of(const char *text)
{
    return json_pack("{s:o}", "text", out_json_string(text));
}

/* "src/a%20b.py" or "file:///usr/lib/x.py": malloc'ed, or NULL without memory. */
static char *uri_of(const char *path)
{
    struct memo memo;
    FILE *out = memo_open(&memo);
    if (!out)
        return NULL;
    fputs(path[0] == '/' ? "file://" : "", out);
    emit_uri_path(out, path);
    return memo_close(&memo);
}

/* physicalLocation; `line` 0: the whole file. */
static json_t *physical(const char *path, int line)
{
    _cleanup_free_ char *uri = uri_of(path);
    if (!uri)
        return NULL;
    json_t *artifact = json_pack("{s:s}", "uri", uri);
    if (path[0] != '/')
        artifact = with(artifact, "uriBaseId", json_string("%SRCROOT%"));
    json_t *location = json_pack("{s:o}", "artifactLocation", artifact);
    if (line > 0)
        location = with(location, "region",
                        json_pack("{s:i, s:i, s:i}", "startLine", line, "startColumn", 1, "endLine", line));
    return location;
}

/* The file of a result without a source line. */
static const char *stand_in(const struct finding *finding)
{
    const struct stack *stack = finding->stack;
    for (size_t i = 0; i < stack->size; i++) {
        const struct frame *frame = stack->frames[i];
        if (frame->language == FRAME_NATIVE && !frame->runtime && frame->module && frame->module[0] == '/')
            return frame->module;
    }
    const char *program = finding->process->program;
    return program && *program ? program : "program";
}

static json_t *logical(const char *function)
{
    return json_pack("[{s:o, s:s}]", "fullyQualifiedName", out_json_string(function), "kind", "function");
}

static json_t *locations_of(const struct finding *finding)
{
    const struct place *place = &finding->place;
    json_t *where = place->file ? physical(place->file, place->line) : physical(stand_in(finding), 1);
    return json_pack("[{s:o, s:o}]", "physicalLocation", where, "logicalLocations", logical(finding->function));
}

static json_t *frame_of(const struct output_job *job, const struct frame *frame)
{
    json_t *location = json_pack("{s:o}", "logicalLocations", logical(frame->function));
    if (frame->file && frame->file[0] && frame->file[0] != '<') {
        bool own;
        location = with(location, "physicalLocation", physical(place_file(job, frame->file, &own), frame->line));
    }
    json_t *object = json_pack("{s:o}", "location", location);
    if (frame->language == FRAME_NATIVE && frame->module)
        object = with(object, "module", out_json_string(frame->module));
    return object;
}

static json_t *stack_of(const struct output_job *job, const struct stack *stack, const char *message)
{
    json_t *frames = json_array();
    for (size_t i = 0; frames && i < stack->size; i++) {
        const struct frame *frame = stack->frames[i];
        if (frame->language != FRAME_CUT && output_frame_shown(job->options, frame))
            frames = append(frames, frame_of(job, frame));
    }
    return json_pack("{s:o, s:o}", "message", text_of(message), "frames", frames);
}

static json_t *stacks_of(const struct output_job *job, const struct finding *finding)
{
    if (finding->leak)
        return append(json_array(), stack_of(job, finding->stack, "allocated by"));
    json_t *stacks = append(json_array(), stack_of(job, &finding->stacks->found, "found by"));
    if (finding->error->alloc_trace)
        stacks = append(stacks, stack_of(job, &finding->stacks->allocated, "allocated by"));
    if (finding->error->free_trace)
        stacks = append(stacks, stack_of(job, &finding->stacks->freed, "freed by"));
    return stacks;
}

static json_t *properties_of(const struct finding *finding)
{
    const struct leak *leak = finding->leak;
    const struct memory_error *error = finding->error;
    if (error)
        return json_pack("{s:i, s:o, s:o}", "pid", finding->process->pid, "domain", out_json_string(error->domain),
                         "size", out_json_number(error->size));
    json_t *properties = json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:b}", "processes", (int)MAX(leak->processes, 1),
                                   "pid", leak->process->pid, "domain", out_json_string(leak->domain), "type",
                                   out_json_string(leak->type), "blocks", out_json_number(leak->blocks), "bytes",
                                   out_json_number(leak->bytes), "startup", leak->startup);
    return properties && leak->label ? with(properties, "label", text_of(leak->label)) : properties;
}

/* In a message "[text](1)" would be a link: the parts are kept apart. */
static json_t *message_of(const struct finding *finding)
{
    struct memo memo;
    FILE *out = memo_open(&memo);
    if (!out)
        return NULL;
    for (const char *from = finding->what; *from; from++) {
        fputc(*from, out);
        if (from[0] == ']' && from[1] == '(')
            fputc(' ', out);
    }
    _cleanup_free_ char *text = memo_close(&memo);
    return text ? text_of(text) : NULL;
}

static json_t *result_of(const struct output_job *job, const struct finding *finding)
{
    size_t count;
    uint64_t times = finding->leak ? finding->leak->blocks : finding->error->count;
    json_t *result = json_pack("{s:s, s:i, s:s, s:o, s:o, s:o, s:{s:s, s:s}, s:o, s:o}", "ruleId", finding->rule->id,
                               "ruleIndex", (int)(finding->rule - rules_all(&count)), "level",
                               level_name(finding->rule->level), "message", message_of(finding), "locations",
                               locations_of(finding), "stacks", stacks_of(job, finding), "partialFingerprints",
                               "primaryLocationLineHash", finding->fingerprint, "memshim/v1", finding->fingerprint,
                               "occurrenceCount", out_json_number(MAX(times, 1)), "properties", properties_of(finding));
    if (result && finding->leak && finding->leak->suppressed)
        result = with(
            result, "suppressions",
            json_pack("[{s:s, s:o}]", "kind", "external", "justification", text_of(finding->leak->suppressed->text)));
    static const char *const states[] = {
        [BASELINE_NEW] = "new", [BASELINE_UNCHANGED] = "unchanged", [BASELINE_UPDATED] = "updated"};
    if (result && finding->leak && finding->leak->baseline != BASELINE_NONE)
        result = with(result, "baselineState", json_string(states[finding->leak->baseline]));
    return result;
}

static json_t *rule_object(const struct rule *rule)
{
    return json_pack("{s:s, s:s, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:[s]}}", "id", rule->id, "name", rule->name,
                     "shortDescription", "text", rule->summary, "fullDescription", "text", rule->text, "help", "text",
                     rule->help, "defaultConfiguration", "level", level_name(rule->level), "properties", "tags",
                     "memory");
}

static json_t *notifications_of(const struct process *process)
{
    json_t *array = json_array();
    for (size_t i = 0; i < process->lacks_count; i++)
        array = append(array, json_pack("{s:s, s:o}", "level", "note", "message", text_of(process->lacks[i])));
    if (process->truncated)
        array = append(array, json_pack("{s:s, s:{s:s}}", "level", "warning", "message", "text",
                                        "the report is truncated: what was lost with its end is not counted"));
    return array;
}

/* invocation; the tool did its work, whatever became of the program. */
static json_t *invocation_of(const struct process *process)
{
    json_t *object = json_pack("{s:b, s:i, s:o}", "executionSuccessful", !process->truncated, "processId", process->pid,
                               "toolExecutionNotifications", notifications_of(process));
    if (process->started)
        object = with(object, "startTimeUtc", out_json_string(process->started));
    if (process->ended_at)
        object = with(object, "endTimeUtc", out_json_string(process->ended_at));
    return object;
}

static int put_rules(FILE *out)
{
    size_t count;
    const struct rule *rules = rules_all(&count);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = out_json_item(out, i + 1, rule_object(&rules[i]));
    return r;
}

static int sarif_begin(struct output_job *job)
{
    FILE *out = job->out;
    fprintf(out,
            "{\"$schema\":\"%s\",\n\"version\":\"2.1.0\",\n\"runs\":[{\"tool\":{\"driver\":{\"name\":\"memshim\","
            "\"semanticVersion\":\"%s\",\"rules\":[",
            SCHEMA, MEMSHIM_VERSION);
    int r = put_rules(out);
    fputs(
        "]}},\n\"columnKind\":\"unicodeCodePoints\",\n\"originalUriBaseIds\":{\"%SRCROOT%\":{\"description\":{\"text\":"
        "\"the root of the source tree\"}}},\n\"invocations\":[",
        out);
    for (size_t i = 0; r == 0 && i < job->model->process_count; i++)
        r = out_json_item(out, i + 1, invocation_of(job->model->processes[i]));
    fputs("],\n\"results\":[", out);
    return r;
}

static int put_finding(struct output_job *job, const struct finding *finding)
{
    return out_json_item(job->out, job->errors_written + job->leaks_written, result_of(job, finding));
}

static int sarif_leak(struct output_job *job, const struct leak *leak)
{
    return finding_from_leak(job, leak, put_finding);
}

static int sarif_error(struct output_job *job, const struct process *process, const struct memory_error *error,
                       const struct error_stacks *stacks)
{
    return finding_from_error(job, process, error, stacks, put_finding);
}

/* What a line of a baseline says of its leak: "definite obj, list: f (a.c) < main (a.c)", or "". */
static const char *comment_of(const struct suppression *line)
{
    const char *comment = strstr(line->text, " # ");
    return comment ? comment + 3 : "";
}

static const struct rule *rule_of_comment(const char *comment)
{
    for (enum leak_kind kind = 0; kind < LEAK_KIND_COUNT; kind++) {
        const char *name = leak_kind_name(kind);
        if (strncmp(comment, name, strlen(name)) == 0)
            return rule_of_leak(kind, true);
    }
    return rule_of_leak(LEAK_REACHABLE, false);
}

/* A leak that the baseline has and the run has not. It has no place but its line there. */
static json_t *absent_of(const struct output_job *job, const struct suppression *line)
{
    bool own;
    size_t count;
    const char *fingerprint = line->words[SUPPRESS_FINGERPRINT], *comment = comment_of(line);
    const struct rule *rule = rule_of_comment(comment);
    _cleanup_free_ char *what = NULL, *path = realpath(line->source, NULL);
    if (asprintf(&what, "not there any more: %s", *comment ? comment : fingerprint) < 0) {
        what = NULL;
        return NULL;
    }
    json_t *where =
        physical(place_file(job, path ? path : line->source, &own), (int)MIN(line->line, (unsigned long)INT_MAX));
    return json_pack("{s:s, s:i, s:s, s:s, s:o, s:[{s:o}], s:{s:s, s:s}}", "ruleId", rule->id, "ruleIndex",
                     (int)(rule - rules_all(&count)), "level", level_name(rule->level), "baselineState", "absent",
                     "message", text_of(what), "locations", "physicalLocation", where, "partialFingerprints",
                     "primaryLocationLineHash", fingerprint, "memshim/v1", fingerprint);
}

static bool is_absent(const struct suppression *rule)
{
    return rule->baseline && rule->words[SUPPRESS_FINGERPRINT] && !rule->expired && rule->leaks == 0;
}

static int put_absent(struct output_job *job)
{
    const struct suppressions *rules = job->options->rules;
    uint64_t written = job->errors_written + job->leaks_written;
    int r = 0;
    /* Where only a part of the leaks is there nobody knows about the others. */
    if (!rules || job->options->filtered)
        return 0;
    for (size_t i = 0; r == 0 && i < rules->count; i++)
        if (is_absent(&rules->items[i]))
            r = out_json_item(job->out, ++written, absent_of(job, &rules->items[i]));
    return r;
}

static void put_end(FILE *out)
{
    fputs("]}]}\n", out);
}

static int sarif_end(struct output_job *job)
{
    int r = put_absent(job);
    put_end(job->out);
    return r;
}

static int put_diff_item(struct output_job *job, const struct finding *finding, const struct diff_item *item)
{
    static const char *const states[DIFF_CHANGE_COUNT] = {[DIFF_NEW] = "new",
                                                          [DIFF_GROWN] = "updated",
                                                          [DIFF_SHRUNK] = "updated",
                                                          [DIFF_GONE] = "absent",
                                                          [DIFF_SAME] = "unchanged"};
    json_t *result = with(result_of(job, finding), "baselineState", json_string(states[item->change]));
    job->leaks_written++;
    return out_json_item(job->out, job->leaks_written, result);
}

static int sarif_diff(struct output_job *job, const struct diff *diff)
{
    int r = sarif_begin(job);
    for (size_t i = 0; r == 0 && i < diff->count && i < job->top; i++)
        r = finding_from_diff(job, &diff->items[i], put_diff_item);
    put_end(job->out);
    return r;
}

const struct output out_sarif = {
    .name = "sarif",
    .extension = ".sarif",
    .help = "SARIF 2.1.0 for code scanning",
    .top = TOP,
    .joined = true,
    .marks_suppressed = true,
    .begin = sarif_begin,
    .error = sarif_error,
    .leak = sarif_leak,
    .end = sarif_end,
    .diff = sarif_diff,
};
