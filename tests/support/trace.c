/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENTS_MAX 64

const char *memshim_path(void)
{
    return test_variable("TEST_MEMSHIM");
}

const char *shim_path(void)
{
    return test_variable("TEST_SHIM");
}

char *target_path(const char *name)
{
    return text_format("%s/%s", test_variable("TEST_TARGETS"), name);
}

/* Appends a list to argv, which holds `count` already; returns the new count. */
static size_t append(const char **argv, size_t count, const char *const *list)
{
    for (; list && *list; list++) {
        cr_assert(count < ARGUMENTS_MAX - 1, "too many arguments");
        argv[count++] = *list;
    }
    argv[count] = NULL;
    return count;
}

/* "a=1:b=2" becomes --a=1 --b=2, in `text`, which takes the pieces. */
static size_t append_options(const char **argv, size_t count, const char *options, char *text, size_t size)
{
    char *rest = NULL;
    char *copy = options ? strdup(options) : NULL;
    size_t used = 0;

    for (char *pair = copy ? strtok_r(copy, ":", &rest) : NULL; pair; pair = strtok_r(NULL, ":", &rest)) {
        cr_assert(used + strlen(pair) + 3 < size, "options too long");
        argv[count++] = text + used;
        used += (size_t)sprintf(text + used, "--%s", pair) + 1;
    }
    free(copy);
    return count;
}

static struct outcome run_launcher(const char *folder, const char *options, const char *const *argv,
                                   const char *const *environment)
{
    const char *all[ARGUMENTS_MAX];
    char text[4096];

    size_t count = append(all, 0, LIST(memshim_path(), "run", "-o", folder));
    count = append_options(all, count, options, text, sizeof(text));
    count = append(all, count, LIST("--"));
    append(all, count, argv);
    return spawn_run(all, environment);
}

static struct outcome run_preloaded(const char *folder, const char *options, const char *const *argv,
                                    const char *const *environment)
{
    const char *all[ARGUMENTS_MAX];
    char *preload = text_format("LD_PRELOAD=%s", shim_path());
    char *settings =
        text_format("MEMSHIM_OPTIONS=output=%s/%%n-%%p.jsonl%s%s", folder, options ? ":" : "", options ? options : "");

    append(all, append(all, 0, LIST(preload, settings)), environment);
    struct outcome outcome = spawn_run(argv, all);
    free(preload);
    free(settings);
    return outcome;
}

struct outcome trace_without_report(const char *options, const char *const *argv, const char *const *environment)
{
    char *folder = folder_new();
    struct outcome outcome = run_preloaded(folder, options, argv, environment);
    folder_remove(folder);
    return outcome;
}

struct traced trace(enum trace_by by, const char *options, const char *const *argv, const char *const *environment)
{
    struct traced traced = {.folder = folder_new()};

    traced.run = (by == BY_LAUNCHER ? run_launcher : run_preloaded)(traced.folder, options, argv, environment);
    traced.report = report_load(traced.folder);
    return traced;
}

struct traced trace_target(const char *name)
{
    char *path = target_path(name);
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(path), NULL);
    free(path);
    return traced;
}

void traced_clear(struct traced *traced)
{
    outcome_clear(&traced->run);
    json_decref(traced->report);
    folder_remove(traced->folder);
    *traced = (struct traced){0};
}

json_t *report_load(const char *path)
{
    json_error_t error;

    struct outcome outcome =
        spawn_run(LIST(memshim_path(), "report", "--format", "json", "--show", "startup,interpreter", path), NULL);
    cr_assert(outcome.status == 0, "memshim report %s: status %d\n%s", path, outcome.status, outcome.err);
    json_t *report = json_loads(outcome.out, 0, &error);
    cr_assert(report, "memshim report --format json: line %d: %s\n%.2000s", error.line, error.text, outcome.out);
    outcome_clear(&outcome);
    return report;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

static bool frame_matches(const json_t *frame, const struct query *query)
{
    return (!query->function || strcmp(text_of(frame, "function"), query->function) == 0) &&
           (!query->file || ends_in(text_of(frame, "file"), query->file)) &&
           (!query->language || strcmp(text_of(frame, "language"), query->language) == 0);
}

static bool caller_matches(const json_t *stack, size_t from, const struct query *query)
{
    for (size_t i = from; i < json_array_size(stack); i++)
        if (strcmp(text_of(json_array_get(stack, i), "function"), query->caller) == 0)
            return true;
    return false;
}

static bool stack_matches(const json_t *stack, const struct query *query)
{
    if (!query->function && !query->file && !query->language)
        return !query->caller || caller_matches(stack, 0, query);
    for (size_t i = 0; i < json_array_size(stack); i++)
        if (frame_matches(json_array_get(stack, i), query))
            return !query->caller || caller_matches(stack, i + 1, query);
    return false;
}

static bool leak_matches(const json_t *leak, const struct query *query)
{
    return (query->with_startup || !json_is_true(json_object_get(leak, "startup"))) &&
           (!query->pid || json_integer_value(json_object_get(leak, "pid")) == query->pid) &&
           (!query->domain || strcmp(text_of(leak, "domain"), query->domain) == 0) &&
           (!query->type || strcmp(text_of(leak, "type"), query->type) == 0) &&
           stack_matches(json_object_get(leak, "stack"), query);
}

struct sum report_sum(const json_t *report, const struct query *query)
{
    struct sum sum = {0};
    size_t i;
    json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        if (!leak_matches(leak, query))
            continue;
        sum.groups++;
        sum.blocks += json_integer_value(json_object_get(leak, "blocks"));
        sum.bytes += json_integer_value(json_object_get(leak, "bytes"));
    }
    return sum;
}

json_t *report_leak(const json_t *report, const struct query *query)
{
    size_t i;
    json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        if (leak_matches(leak, query))
            return leak;
    }
    cr_assert(false, "no leak with function %s, domain %s:\n%s", query->function ? query->function : "any",
              query->domain ? query->domain : "any", report_describe(report));
    return NULL;
}

static void describe_leak(const json_t *leak, FILE *out)
{
    size_t i;
    json_t *frame;

    fprintf(out,
            "pid %lld %s%s %s: %lld blocks, %lld bytes:", (long long)json_integer_value(json_object_get(leak, "pid")),
            json_is_true(json_object_get(leak, "suppressed")) ? "suppressed " : "", text_of(leak, "kind"),
            text_of(leak, "domain"), (long long)json_integer_value(json_object_get(leak, "blocks")),
            (long long)json_integer_value(json_object_get(leak, "bytes")));
    json_array_foreach(json_object_get(leak, "stack"), i, frame)
    {
        if (i < 6)
            fprintf(out, " < %s", text_of(frame, "function"));
    }
    fputc('\n', out);
}

char *report_describe(const json_t *report)
{
    char *text = NULL;
    size_t size = 0, i, shown = 0;
    json_t *leak;
    FILE *out = open_memstream(&text, &size);

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        if (json_is_true(json_object_get(leak, "startup")))
            continue;
        if (++shown <= 20)
            describe_leak(leak, out);
    }
    fclose(out);
    return text;
}

void report_assert_sum(const json_t *report, long long blocks, long long bytes, const struct query *query,
                       const char *file, int line)
{
    struct sum sum = report_sum(report, query);

    cr_assert(sum.blocks == blocks && sum.bytes == bytes,
              "%s:%d: function %s, caller %s, file %s, domain %s: expected %lld blocks, %lld bytes; "
              "got %lld blocks, %lld bytes in %d groups of\n%s",
              file, line, query->function ? query->function : "any", query->caller ? query->caller : "any",
              query->file ? query->file : "any", query->domain ? query->domain : "any", blocks, bytes, sum.blocks,
              sum.bytes, sum.groups, report_describe(report));
}

size_t report_process_count(const json_t *report)
{
    return json_array_size(json_object_get(report, "processes"));
}

json_t *report_process(const json_t *report, size_t index)
{
    json_t *process = json_array_get(json_object_get(report, "processes"), index);
    cr_assert(process, "the report has %zu processes, not %zu", report_process_count(report), index + 1);
    return process;
}

long long process_total(const json_t *process, const char *key)
{
    return process_number(json_object_get(process, "totals"), key);
}

long long process_number(const json_t *process, const char *key)
{
    json_t *number = json_object_get(process, key);
    cr_assert(json_is_integer(number), "the report has no number \"%s\"", key);
    return json_integer_value(number);
}

const char *process_text(const json_t *process, const char *key)
{
    json_t *text = json_object_get(process, key);
    cr_assert(json_is_string(text), "the report has no text \"%s\"", key);
    return json_string_value(text);
}

long long report_blocks(const json_t *report, const char *kind, const char *function)
{
    long long blocks = 0;
    size_t i, k;
    json_t *leak, *frame;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        bool found = !function;
        if (strcmp(json_string_value(json_object_get(leak, "kind")), kind) != 0 ||
            json_is_true(json_object_get(leak, "suppressed")))
            continue;
        json_array_foreach(json_object_get(leak, "stack"), k, frame)
        {
            const char *name = json_string_value(json_object_get(frame, "function"));
            found = found || (name && strcmp(name, function) == 0);
        }
        if (found)
            blocks += json_integer_value(json_object_get(leak, "blocks"));
    }
    return blocks;
}
