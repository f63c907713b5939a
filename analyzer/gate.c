/* SPDX-License-Identifier: MIT
 *
 * Limits and the verdict. See gate.h. */
#include "gate.h"

#include "growth.h"

#include "compiler.h"
#include "text.h"

#include <errno.h>
#include <string.h>

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

const char *gate_scope_name(size_t scope)
{
    return scope < LEAK_KIND_COUNT    ? leak_kind_name((enum leak_kind)scope)
           : scope == GATE_STACK      ? "stack"
           : scope == GATE_REFERENCED ? "over-referenced"
                                      : "";
}

/* The scope called `name`, or GATE_SCOPES. */
static size_t scope_find(const char *name, size_t length)
{
    for (size_t scope = 0; scope < GATE_SCOPES; scope++) {
        if (scope != GATE_TOTAL && is_word(name, length, gate_scope_name(scope)))
            return scope;
    }
    return GATE_SCOPES;
}

const char *gate_limit_parse(struct gate_limits *limits, enum gate_rule rule, const char *text)
{
    size_t scope = GATE_TOTAL;
    const char *equals = rule == GATE_ERRORS ? NULL : strchr(text, '=');
    if (equals) {
        scope = scope_find(text, (size_t)(equals - text));
        if (scope >= GATE_REFERENCED)
            return "not a kind: want definite, indirect, possible, reachable or stack before '='";
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
        if (scope < LEAK_KIND_COUNT || scope == GATE_REFERENCED)
            kinds |= 1u << scope;
        else if (is_word(text, length, "errors"))
            kinds |= GATE_ERRORS_BIT;
        else if (is_word(text, length, "growth"))
            kinds |= GATE_GROWTH_BIT;
        else
            return -EINVAL;
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    *ret = kinds;
    return 0;
}

static void count_stack(struct gate_counts *counts, const struct leak *leak)
{
    if (!counts->first[GATE_STACK] || leak->bytes > counts->bytes[GATE_STACK])
        counts->first[GATE_STACK] = leak;
    counts->leaks[GATE_STACK] = 1;
    counts->blocks[GATE_STACK] = MAX(counts->blocks[GATE_STACK], leak->blocks);
    counts->bytes[GATE_STACK] = MAX(counts->bytes[GATE_STACK], leak->bytes);
}

static void count_references(struct gate_counts *counts, const struct leak *leak)
{
    if (!leak_is_over_referenced(leak))
        return;
    if (!counts->first[GATE_REFERENCED])
        counts->first[GATE_REFERENCED] = leak;
    counts->leaks[GATE_REFERENCED]++;
    counts->blocks[GATE_REFERENCED] += leak->references->objects + leak->references->cycles;
    counts->bytes[GATE_REFERENCED] += leak->bytes;
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
            if (!ret->first[scopes[j]])
                ret->first[scopes[j]] = leak;
        }
        count_stack(ret, leak);
        count_references(ret, leak);
        ret->known |= leak->known;
    }
    ret->known |= ret->leaks[GATE_TOTAL] == 0;
    for (size_t i = 0; i < model->process_count; i++) {
        ret->errors += model->processes[i]->error_count;
        ret->marked |= model->processes[i]->mark_count >= growth_least_marks(model->processes[i]);
    }
}

int gate_count_growth(const struct model *model, struct symbols *symbols, struct gate_counts *counts)
{
    struct growths growths;
    int r = counts->marked ? growths_build(model, symbols, &growths) : 0;

    if (r < 0 || !counts->marked)
        return r;
    counts->growing = growths.count;
    growths_clear(&growths);
    return 0;
}

static void add_reason(struct gate_verdict *verdict, const struct gate_reason *reason)
{
    verdict->passed = false;
    verdict->reasons[verdict->reason_count++] = *reason;
}

static bool is_limited(const struct gate_limits *limits, size_t scope)
{
    return limits->leaks[GATE_BYTES][scope].set || limits->leaks[GATE_BLOCKS][scope].set;
}

/* True if there must be no leak of this kind: what nobody limits otherwise. */
static bool is_strict(const struct gate_limits *limits, size_t scope)
{
    if (scope == GATE_REFERENCED)
        return limits->fail_on & GATE_REFERENCED_BIT;
    if (scope >= LEAK_KIND_COUNT || is_limited(limits, scope))
        return false;
    if (limits->fail_on)
        return limits->fail_on >> scope & 1u;
    return (scope == LEAK_DEFINITE || scope == LEAK_POSSIBLE) && !is_limited(limits, GATE_TOTAL) &&
           !is_limited(limits, GATE_STACK);
}

static void judge_scope(const struct gate_limits *limits, size_t scope, struct gate_verdict *verdict)
{
    const struct gate_counts *counts = &verdict->counts;
    const uint64_t found[GATE_ERRORS] = {[GATE_BYTES] = counts->bytes[scope], [GATE_BLOCKS] = counts->blocks[scope]};
    for (int rule = 0; rule < GATE_ERRORS; rule++) {
        struct gate_limit limit = limits->leaks[rule][scope];
        if (limit.set && found[rule] > limit.value)
            add_reason(verdict, &(struct gate_reason){.rule = rule, .scope = scope, .limit = limit.value});
    }
    /* Blocks, not bytes: a lost malloc(0) is a leak. */
    if (is_strict(limits, scope) && found[GATE_BLOCKS] > 0)
        add_reason(verdict, &(struct gate_reason){.rule = GATE_BLOCKS,
                                                  .scope = scope,
                                                  .by_default = !limits->fail_on,
                                                  .by_kind = limits->fail_on != 0});
}

static void judge_errors(const struct gate_limits *limits, struct gate_verdict *verdict)
{
    bool strict = !limits->errors.set && limits->fail_on & GATE_ERRORS_BIT;
    if (!limits->errors.set && limits->fail_on && !strict)
        return;
    if (verdict->counts.errors > limits->errors.value)
        add_reason(verdict, &(struct gate_reason){.rule = GATE_ERRORS,
                                                  .scope = GATE_TOTAL,
                                                  .limit = limits->errors.value,
                                                  .by_default = !limits->errors.set && !strict,
                                                  .by_kind = strict});
}

static void judge_growth(const struct gate_limits *limits, struct gate_verdict *verdict)
{
    if (limits->fail_on & GATE_GROWTH_BIT && verdict->counts.growing > 0)
        add_reason(verdict, &(struct gate_reason){.rule = GATE_GROWTH, .scope = GATE_TOTAL, .by_kind = true});
}

static bool covers_unknown(const struct gate_limits *limits)
{
    return is_limited(limits, LEAK_REACHABLE) || is_limited(limits, GATE_TOTAL) || is_limited(limits, GATE_STACK) ||
           is_strict(limits, LEAK_REACHABLE);
}

bool gate_covers_reachable(const struct gate_limits *limits)
{
    return covers_unknown(limits) || is_strict(limits, GATE_REFERENCED);
}

void gate_decide(const struct gate_limits *limits, const struct gate_counts *counts, struct gate_verdict *ret)
{
    *ret = (struct gate_verdict){.passed = true, .counts = *counts};
    judge_errors(limits, ret);
    judge_growth(limits, ret);
    for (size_t scope = 0; scope < GATE_SCOPES; scope++)
        judge_scope(limits, scope, ret);
    ret->blind = ret->passed && !counts->known && !covers_unknown(limits);
}

unsigned int gate_findings(const struct gate_counts *counts, unsigned int wanted)
{
    unsigned int found = counts->errors > 0 ? GATE_ERRORS_BIT : 0;
    for (unsigned int kind = 0; kind < LEAK_KIND_COUNT; kind++) {
        if (counts->blocks[kind] > 0)
            found |= 1u << kind;
    }
    if (counts->growing > 0)
        found |= GATE_GROWTH_BIT;
    if (counts->leaks[GATE_REFERENCED] > 0)
        found |= GATE_REFERENCED_BIT;
    return found & wanted;
}
