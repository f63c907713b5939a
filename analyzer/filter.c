/* SPDX-License-Identifier: MIT
 *
 * See filter.h. */
#include "filter.h"

#include "compiler.h"
#include "suppress.h"

#include <errno.h>
#include <string.h>

static const char *const names[FILTER_WORD_COUNT] = {
    [FILTER_MODULE] = "module", [FILTER_FUNCTION] = "function", [FILTER_FILE] = "file",
    [FILTER_TYPE] = "type",     [FILTER_DOMAIN] = "domain",     [FILTER_LABEL] = "label",
};

const char *filter_parse(struct filters *filters, const char *text)
{
    const char *equals = strchr(text, '=');

    for (unsigned int word = 0; equals && word < FILTER_WORD_COUNT; word++) {
        if (strlen(names[word]) != (size_t)(equals - text) || memcmp(names[word], text, (size_t)(equals - text)) != 0)
            continue;
        if (!equals[1])
            return "there is nothing after '='";
        if (filters->count == FILTERS_MAX)
            return "too many filters";
        filters->items[filters->count].word = (enum filter_word)word;
        filters->items[filters->count++].pattern = equals + 1;
        return NULL;
    }
    return "want module, function, file, type, domain or label, '=' and a pattern";
}

static const char *part_of(const struct frame *frame, enum filter_word word)
{
    switch (word) {
    case FILTER_MODULE:
        return frame->module;
    case FILTER_FUNCTION:
        return frame->function;
    default:
        return frame->file;
    }
}

static bool any_frame(const struct stack *stack, enum filter_word word, const char *pattern)
{
    for (size_t i = 0; i < stack->size; i++) {
        const char *part = part_of(stack->frames[i], word);
        if (stack->frames[i]->language != FRAME_CUT && part && suppress_pattern_matches(pattern, part))
            return true;
    }
    return false;
}

/* What a filter may ask for besides frames; NULL where there is none. */
struct owner {
    const char *domain, *type, *label;
};

/* Of an error the stacks are those of where it was found and where the block came from. */
static bool passes(const struct filters *filters, const struct owner *owner, const struct stack *const *stacks,
                   size_t stack_count)
{
    for (size_t i = 0; i < filters->count; i++) {
        enum filter_word word = filters->items[i].word;
        const char *pattern = filters->items[i].pattern;
        bool passed = false;
        const char *text = word == FILTER_TYPE ? owner->type : word == FILTER_DOMAIN ? owner->domain : owner->label;
        if (word >= FILTER_TYPE)
            passed = text && suppress_pattern_matches(pattern, text);
        for (size_t j = 0; word < FILTER_TYPE && j < stack_count && !passed; j++)
            passed = any_frame(stacks[j], word, pattern);
        if (!passed)
            return false;
    }
    return true;
}

static int error_passes(const struct filters *filters, const struct process *process, const struct memory_error *error,
                        struct symbols *symbols, bool *ret)
{
    struct stack found = {0}, allocated = {0};
    int r = error->trace ? stack_build(process, error->trace, symbols, &found) : 0;

    if (r == 0 && error->alloc_trace)
        r = stack_build(process, error->alloc_trace, symbols, &allocated);
    if (r == 0)
        *ret = passes(filters, &(struct owner){.domain = error->domain},
                      (const struct stack *const[]){&found, &allocated}, 2);
    stack_clear(&found);
    stack_clear(&allocated);
    return r;
}

static int apply_to_errors(const struct filters *filters, struct process *process, struct symbols *symbols)
{
    size_t kept = 0;

    for (size_t i = 0; i < process->error_count; i++) {
        bool passed = false;
        int r = error_passes(filters, process, &process->errors[i], symbols, &passed);
        if (r < 0)
            return r;
        if (passed)
            process->errors[kept++] = process->errors[i];
    }
    process->error_count = kept;
    return 0;
}

int filters_apply(const struct filters *filters, struct model *model, struct leaks *leaks, struct symbols *symbols)
{
    size_t kept = 0;
    int r = 0;

    if (filters->count == 0)
        return 0;
    for (size_t i = 0; i < leaks->count; i++) {
        const struct leak *leak = &leaks->items[i];
        if (passes(filters, &(struct owner){leak->domain, leak->type, leak->label},
                   (const struct stack *const[]){leak_stack(leak)}, 1))
            leaks->items[kept++] = *leak;
    }
    leaks->count = kept;
    for (size_t i = 0; i < model->process_count && r == 0; i++)
        r = apply_to_errors(filters, model->processes[i], symbols);
    return r;
}
