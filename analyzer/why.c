/* SPDX-License-Identifier: MIT
 *
 * See why.h. */
#include "why.h"

#include "compiler.h"
#include "fingerprint.h"
#include "out_json.h"
#include "out_text.h"
#include "place.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const struct leak *why_next(const struct leaks *leaks, const char *digits, size_t *at)
{
    size_t length = strlen(digits);

    while (*at < leaks->count) {
        const struct leak *leak = &leaks->items[(*at)++];
        if (length < FINGERPRINT_SIZE && strncasecmp(leak->fingerprint, digits, length) == 0)
            return leak;
    }
    return NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

int why_fingerprint(const struct process *process, const struct link *link, struct symbols *symbols,
                    char ret[static FINGERPRINT_SIZE])
{
    struct stack stack = {0};
    int r = stack_build(process, link->trace, symbols, &stack);

    if (r < 0)
        return r;
    fingerprint_stack(&(struct fingerprint_of){link->domain, link->type, process->traces[link->trace].label},
                      stack.frames, stack.size, ret);
    stack_clear(&stack);
    return 0;
}

/* Whether the block of this link is one of the leak's. */
static int is_of(const struct leak *leak, const struct link *link, struct symbols *symbols, bool *ret)
{
    char fingerprint[FINGERPRINT_SIZE];

    *ret = false;
    if (link->kind != leak->kind || !same_text(link->domain, leak->domain) || !same_text(link->type, leak->type))
        return 0;
    int r = why_fingerprint(leak->process, link, symbols, fingerprint);
    *ret = r == 0 && strcmp(fingerprint, leak->fingerprint) == 0;
    return r;
}

/* The number of an explanation; 0: there is none. */
static int find_explanation(const struct leak *leak, struct symbols *symbols, uint32_t *ret)
{
    const struct process *process = leak->process;
    bool found = false;
    int r = 0;

    *ret = 0;
    for (size_t i = 0; r == 0 && !found && i < process->link_count; i++) {
        if (process->links[i].role != WAY_BLOCK)
            continue;
        r = is_of(leak, &process->links[i], symbols, &found);
        if (found)
            *ret = process->links[i].of;
    }
    return r;
}

/* ---- text ---- */

static void put_place(struct output_job *job, const struct stack *stack)
{
    struct place place;

    place_find(job, stack, &place);
    if (!place.frame || place.frame->runtime)
        return;
    fputs(", allocated in ", job->out);
    text_escape(job->out, place.frame->function);
    fputs(" (", job->out);
    text_escape(job->out, place.file);
    fprintf(job->out, ":%d)", place.line);
}

static int put_block(struct output_job *job, const struct process *process, const struct link *link,
                     struct symbols *symbols)
{
    char number[TEXT_NUMBER_SIZE];
    struct stack stack = {0};
    int r = stack_build(process, link->trace, symbols, &stack);

    if (r < 0)
        return r;
    text_escape(job->out, link->type ? link->type : "memory");
    fprintf(job->out, " (%s, %s byte%s)", link->domain, text_number(number, link->size), text_plural(link->size));
    if (link->role != WAY_BLOCK && link->name) {
        bool index = link->name[0] == '[';
        fputs(index ? " at " : " as \"", job->out);
        text_escape(job->out, link->name);
        fputs(index ? "" : "\"", job->out);
    } else if (link->role != WAY_BLOCK && link->placed) {
        fprintf(job->out, " at +0x%" PRIx64, link->offset);
    }
    put_place(job, &stack);
    fputc('\n', job->out);
    stack_clear(&stack);
    return 0;
}

static const char *variable_of(const struct process *process, const struct link *root, struct symbols *symbols,
                               uint64_t *ret_offset)
{
    const struct module *module = &process->modules[root->module];

    return root->root == WAY_FROM_DATA && module->path ? symbols_variable(symbols, module, root->offset, ret_offset)
                                                       : NULL;
}

static void put_root(struct output_job *job, const struct process *process, const struct link *root,
                     struct symbols *symbols)
{
    uint64_t offset = 0;
    const char *variable = variable_of(process, root, symbols, &offset);
    const char *path = process->modules[root->module].path;

    if (root->root == WAY_FROM_STACK) {
        fputs("the stack of the thread that ended the process\n", job->out);
    } else if (root->root == WAY_FROM_DATA && path) {
        fputs(variable ? "variable " : "data", job->out);
        if (variable)
            text_escape(job->out, variable);
        if (variable && offset)
            fprintf(job->out, "+0x%" PRIx64, offset);
        fputs(" of ", job->out);
        text_escape(job->out, text_base(path));
        if (!variable)
            fprintf(job->out, " at 0x%" PRIx64, root->offset);
        fputc('\n', job->out);
    } else {
        fprintf(job->out, "memory at 0x%" PRIx64 " that no allocator recorded: of a thread, or of a library\n",
                root->address);
    }
}

/* From the root or the first block that was lost down to the block itself. */
static int put_way(struct output_job *job, const struct process *process, enum leak_kind kind, uint32_t of,
                   struct symbols *symbols)
{
    bool lost = kind == LEAK_DEFINITE || kind == LEAK_INDIRECT;
    size_t depth = 0;
    int r = 0;

    fprintf(job->out, "  %s\n", lost ? "one of them, and what it was lost with:" : "the shortest way to one of them:");
    for (size_t i = process->link_count; r == 0 && i-- > 0;) {
        const struct link *link = &process->links[i];
        if (link->of != of || link->role == WAY_REFERRER)
            continue;
        fputs(depth++ ? "    -> " : "    ", job->out);
        if (link->role == WAY_ROOT)
            put_root(job, process, link, symbols);
        else
            r = put_block(job, process, link, symbols);
    }
    return r == 0 && symbols_failed(symbols) ? -ENOMEM : r;
}

static int put_referrers(struct output_job *job, const struct process *process, uint32_t of, struct symbols *symbols)
{
    bool any = false;
    int r = 0;

    for (size_t i = 0; r == 0 && i < process->link_count; i++) {
        const struct link *link = &process->links[i];
        if (link->of != of || link->role != WAY_REFERRER)
            continue;
        fputs(any ? "" : "  lost blocks that point to it:\n", job->out);
        fputs("    ", job->out);
        r = put_block(job, process, link, symbols);
        any = true;
    }
    return r;
}

int why_write_explanation(struct output_job *job, const struct process *process, enum leak_kind kind, uint32_t of,
                          struct symbols *symbols)
{
    int r = put_way(job, process, kind, of, symbols);

    return r == 0 ? put_referrers(job, process, of, symbols) : r;
}

int why_write_text(struct output_job *job, const struct leak *leak, struct symbols *symbols)
{
    uint32_t of;
    int r = find_explanation(leak, symbols, &of);

    job->leaks_written++;
    if (r == 0)
        r = out_text.leak(job, leak);
    fprintf(job->out, "  fingerprint %s\n", leak->fingerprint);
    if (r == 0 && of)
        r = why_write_explanation(job, leak->process, leak->kind, of, symbols);
    else if (r == 0)
        fputs("  why it is there is not known: it was not among those that were looked at, or no look was possible\n",
              job->out);
    return r;
}

/* ---- JSON ---- */

static json_t *json_of(struct output_job *job, const struct process *process, const struct link *link,
                       struct symbols *symbols)
{
    static const char *const roles[WAY_ROLES] = {"block", "holder", "root", "referrer"};
    static const char *const roots[WAY_ROOTS] = {"memory", "data", "stack"};
    struct stack stack = {0};
    uint64_t offset = 0;

    if (link->role == WAY_ROOT) {
        const char *variable = variable_of(process, link, symbols, &offset);
        return json_pack("{s:s, s:s, s:o, s:o, s:o}", "role", roles[link->role], "root", roots[link->root], "module",
                         out_json_string(process->modules[link->module].path), "variable", out_json_string(variable),
                         "offset", out_json_number(variable ? offset : link->offset));
    }
    if (stack_build(process, link->trace, symbols, &stack) < 0)
        return NULL;
    json_t *object = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "role", roles[link->role], "kind",
                               leak_kind_name(link->kind), "domain", out_json_string(link->domain), "type",
                               out_json_string(link->type), "size", out_json_number(link->size), "offset",
                               link->placed ? out_json_number(link->offset) : json_null(), "name",
                               out_json_string(link->name), "stack", out_json_stack(job->options, &stack));
    stack_clear(&stack);
    return object;
}

int why_write_json(struct output_job *job, const struct leak *leak, struct symbols *symbols)
{
    const struct process *process = leak->process;
    json_t *links = json_array(), *object;
    uint32_t of;
    int r = find_explanation(leak, symbols, &of);

    for (size_t i = 0; r == 0 && of && i < process->link_count; i++)
        if (process->links[i].of == of &&
            json_array_append_new(links, json_of(job, process, &process->links[i], symbols)))
            r = -ENOMEM;
    if (r < 0) {
        json_decref(links);
        return r;
    }
    object = json_pack("{s:o, s:o}", "leak", out_json_leak(job->options, leak), "why", links);
    return out_json_item(job->out, ++job->leaks_written, object);
}
