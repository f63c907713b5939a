/* SPDX-License-Identifier: MIT
 *
 * Memory errors that are accepted. A rule is about errors only if its kind: names some (suppress.h). */
#include "suppress.h"

#include "compiler.h"
#include "fingerprint.h"
#include "rules.h"

#include <errno.h>
#include <string.h>

#define ALL_ERRORS "errors"

/* One error with what rules look at. */
struct subject {
    const struct memory_error *error;
    struct stack stacks[3]; /* where it was found, where the block came from, where it was freed */
    char fingerprint[FINGERPRINT_SIZE];
};

bool suppress_is_error_kind(const char *name, size_t length)
{
    _cleanup_free_ char *kind = strndup(name, length);

    const struct rule *rule = kind ? rule_of_error(kind) : NULL;

    return rule && (strcmp(kind, ALL_ERRORS) == 0 || (rule != rule_of_growth() && strcmp(rule->id, kind) == 0));
}

/* Whether the comma list has the kind, or stands for all. */
static bool list_has(const char *list, const char *kind)
{
    for (;; list++) {
        size_t length = strcspn(list, ",");
        if ((length == strlen(kind) && memcmp(list, kind, length) == 0) ||
            (length == strlen(ALL_ERRORS) && memcmp(list, ALL_ERRORS, length) == 0))
            return true;
        list += length;
        if (!*list)
            return false;
    }
}

static int subject_init(struct subject *subject, const struct process *process, const struct memory_error *error,
                        struct symbols *symbols)
{
    const uint32_t traces[] = {error->trace, error->alloc_trace, error->free_trace};
    int r = 0;

    *subject = (struct subject){.error = error};
    for (size_t i = 0; i < ARRAY_SIZE(traces) && r == 0; i++)
        r = traces[i] ? stack_build(process, traces[i], symbols, &subject->stacks[i]) : 0;
    const struct stack *stack = &subject->stacks[subject->stacks[0].size > 0 ? 0 : 1];
    if (r == 0)
        fingerprint_stack(&(struct fingerprint_of){error->kind, error->domain, NULL}, stack->frames, stack->size,
                          subject->fingerprint);
    return r;
}

static void subject_clear(struct subject *subject)
{
    for (size_t i = 0; i < ARRAY_SIZE(subject->stacks); i++)
        stack_clear(&subject->stacks[i]);
}

static bool any_frame(const struct subject *subject, const char *pattern, bool python_only)
{
    for (size_t i = 0; i < ARRAY_SIZE(subject->stacks); i++)
        if (suppress_stack_matches(&subject->stacks[i], pattern, python_only))
            return true;
    return false;
}

static bool matches(const struct suppression *rule, const struct subject *subject)
{
    char *const *words = rule->words;

    return rule->error_kinds && !rule->expired && list_has(rule->error_kinds, subject->error->kind) &&
           !words[SUPPRESS_TYPE] &&
           (!words[SUPPRESS_FINGERPRINT] || strcmp(words[SUPPRESS_FINGERPRINT], subject->fingerprint) == 0) &&
           (!words[SUPPRESS_DOMAIN] || suppress_glob_matches(words[SUPPRESS_DOMAIN], subject->error->domain)) &&
           (!words[SUPPRESS_LEAK] || any_frame(subject, words[SUPPRESS_LEAK], false)) &&
           (!words[SUPPRESS_PY] || any_frame(subject, words[SUPPRESS_PY], true));
}

static int find_rule(struct suppressions *suppressions, const struct process *process, const struct memory_error *error,
                     struct symbols *symbols, struct suppression **ret)
{
    struct subject subject;
    int r = subject_init(&subject, process, error, symbols);

    *ret = NULL;
    for (size_t i = 0; i < suppressions->count && r == 0 && !*ret; i++)
        if (matches(&suppressions->items[i], &subject))
            *ret = &suppressions->items[i];
    subject_clear(&subject);
    return r;
}

static int apply_to(struct suppressions *suppressions, struct process *process, struct symbols *symbols)
{
    size_t kept = 0;

    for (size_t i = 0; i < process->error_count; i++) {
        struct suppression *rule;
        int r = find_rule(suppressions, process, &process->errors[i], symbols, &rule);
        if (r < 0)
            return r;
        if (rule)
            rule->used = true;
        else
            process->errors[kept++] = process->errors[i];
    }
    process->suppressed_errors += process->error_count - kept;
    process->error_count = kept;
    return 0;
}

int suppressions_apply_to_errors(struct suppressions *suppressions, struct model *model, struct symbols *symbols)
{
    bool any = false;
    int r = 0;

    for (size_t i = 0; i < suppressions->count; i++)
        any = any || suppressions->items[i].error_kinds;
    for (size_t i = 0; i < model->process_count && any && r == 0; i++)
        r = apply_to(suppressions, model->processes[i], symbols);
    return r;
}
