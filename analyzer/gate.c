/* SPDX-License-Identifier: MIT
 *
 * Limits and the verdict. See gate.h. */
#include "gate.h"

#include "compiler.h"
#include "text.h"

#include <errno.h>
#include <string.h>

/* The scope called `name`, or GATE_SCOPES. */
static size_t scope_find(const char *name, size_t length)
{
    for (size_t kind = 0; kind < LEAK_KIND_COUNT; kind++) {
        const char *other = leak_kind_name((enum leak_kind)kind);
        if (strlen(other) == length && memcmp(other, name, length) == 0)
            return kind;
    }
    return GATE_SCOPES;
}

const char *gate_limit_parse(struct gate_limits *limits, enum gate_rule rule, const char *text)
{
    size_t scope = GATE_TOTAL;
    const char *equals = rule == GATE_ERRORS ? NULL : strchr(text, '=');
    if (equals) {
        scope = scope_find(text, (size_t)(equals - text));
        if (scope == GATE_SCOPES)
            return "not a kind: want definite, indirect, possible or reachable before '='";
        text = equals + 1;
    }
    uint64_t value;
    int r = rule == GATE_BYTES ? text_parse_size(text, &value) : text_parse_count(text, &value);
    if (r == -ERANGE)
        return "the number is too large";
    if (r < 0)
        return rule == GATE_BYTES ? "not a number of bytes (digits, then k, M, G or nothing)" : "not a number";
    struct gate_limit *limit = rule == GATE_ERRORS ? &limits->errors : &limits->leaks[rule][scope];
    *limit = (struct gate_limit){.set = true, .value = value};
    return NULL;
}

int gate_kinds_parse(const char *text, unsigned int *ret)
{
    unsigned int kinds = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        size_t scope = scope_find(text, length);
        if (scope < LEAK_KIND_COUNT)
            kinds |= 1u << scope;
        else if (length == strlen("errors") && memcmp(text, "errors", length) == 0)
            kinds |= GATE_ERRORS_BIT;
        else
            return -EINVAL;
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    *ret = kinds;
    return 0;
}

void gate_count(const struct model *model, const struct leaks *leaks, struct gate_counts *ret)
{
    *ret = (struct gate_counts){0};
    for (size_t i = 0; i < leaks->count; i++) {
        const struct leak *leak = &leaks->items[i];
        if (leak_is_background(leak))
            continue;
        const size_t scopes[] = {leak->kind, GATE_TOTAL};
        for (size_t j = 0; j < ARRAY_SIZE(scopes); j++) {
            ret->leaks[scopes[j]]++;
            ret->blocks[scopes[j]] += leak->blocks;
            ret->bytes[scopes[j]] += leak->bytes;
        }
        ret->known |= leak->known;
    }
    ret->known |= ret->leaks[GATE_TOTAL] == 0;
    for (size_t i = 0; i < model->process_count; i++)
        ret->errors += model->processes[i]->error_count;
}

static void add_reason(struct gate_verdict *verdict, enum gate_rule rule, size_t scope, struct gate_limit limit)
{
    verdict->passed = false;
    verdict->reasons[verdict->reason_count++] =
        (struct gate_reason){.rule = rule, .scope = scope, .limit = limit.value, .by_default = !limit.set};
}

/* True if a limit covers leaks of this kind. */
static bool scope_is_limited(const struct gate_limits *limits, size_t scope)
{
    for (int rule = 0; rule < GATE_ERRORS; rule++) {
        if (limits->leaks[rule][scope].set || limits->leaks[rule][GATE_TOTAL].set)
            return true;
    }
    return false;
}

static void judge_scope(const struct gate_limits *limits, size_t scope, struct gate_verdict *verdict)
{
    const struct gate_counts *counts = &verdict->counts;
    const uint64_t found[GATE_ERRORS] = {[GATE_BYTES] = counts->bytes[scope], [GATE_BLOCKS] = counts->blocks[scope]};
    for (int rule = 0; rule < GATE_ERRORS; rule++) {
        struct gate_limit limit = limits->leaks[rule][scope];
        if (limit.set && found[rule] > limit.value)
            add_reason(verdict, (enum gate_rule)rule, scope, limit);
    }
    bool strict = scope == LEAK_DEFINITE || scope == LEAK_POSSIBLE;
    /* Blocks, not bytes: a lost malloc(0) is a leak. */
    if (strict && !scope_is_limited(limits, scope) && found[GATE_BLOCKS] > 0)
        add_reason(verdict, GATE_BLOCKS, scope, (struct gate_limit){0});
}

void gate_decide(const struct gate_limits *limits, const struct gate_counts *counts, struct gate_verdict *ret)
{
    *ret = (struct gate_verdict){.passed = true, .counts = *counts};
    if (counts->errors > limits->errors.value)
        add_reason(ret, GATE_ERRORS, GATE_TOTAL, limits->errors);
    for (size_t scope = 0; scope < GATE_SCOPES; scope++)
        judge_scope(limits, scope, ret);
    ret->blind = ret->passed && !counts->known && !scope_is_limited(limits, LEAK_REACHABLE);
}

unsigned int gate_findings(const struct gate_counts *counts, unsigned int wanted)
{
    unsigned int found = counts->errors > 0 ? GATE_ERRORS_BIT : 0;
    for (unsigned int kind = 0; kind < LEAK_KIND_COUNT; kind++) {
        if (counts->blocks[kind] > 0)
            found |= 1u << kind;
    }
    return found & wanted;
}
