/* SPDX-License-Identifier: MIT */
#include "suppress.h"

#include "compiler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- patterns ---- */

/* Not fnmatch: brackets are part of names here. After a mismatch only the last * can take more. */
bool suppress_glob_matches(const char *glob, const char *text)
{
    const char *star = NULL, *rest = text;

    while (*text) {
        if (*glob == '*') {
            star = ++glob;
            rest = text;
        } else if (*glob == '?' || *glob == *text) {
            glob++;
            text++;
        } else if (star) {
            glob = star;
            text = ++rest;
        } else {
            return false;
        }
    }
    return glob[strspn(glob, "*")] == '\0';
}

/* The first place from `text` on where the `length` bytes of a piece are, or NULL. */
static const char *find_piece(const char *text, const char *piece, size_t length)
{
    size_t rest = strlen(text);

    return memmem(text, rest, piece, length);
}

bool suppress_pattern_matches(const char *pattern, const char *text)
{
    size_t length = strlen(pattern);
    bool from_start = length > 0 && pattern[0] == '^';
    bool to_end = length > (from_start ? 1 : 0) && pattern[length - 1] == '$';
    const char *piece = pattern + from_start, *end = pattern + length - to_end;
    bool anchored = from_start;

    for (;;) {
        const char *star = memchr(piece, '*', (size_t)(end - piece));
        size_t size = (size_t)((star ? star : end) - piece);
        if (!star && to_end && !anchored) {
            size_t rest = strlen(text);
            return rest >= size && memcmp(text + rest - size, piece, size) == 0;
        }
        const char *found = anchored ? (strncmp(text, piece, size) == 0 ? text : NULL) : find_piece(text, piece, size);
        if (!found)
            return false;
        text = found + size;
        if (!star)
            return !to_end || *text == '\0';
        piece = star + 1;
        anchored = false;
    }
}

/* ---- the list ---- */

struct suppression *suppressions_add(struct suppressions *suppressions, const char *source, unsigned long line)
{
    if (suppressions->count == suppressions->capacity) {
        size_t capacity = suppressions->capacity ? 2 * suppressions->capacity : 16;
        struct suppression *items = reallocarray(suppressions->items, capacity, sizeof(*items));
        if (!items)
            return NULL;
        suppressions->items = items;
        suppressions->capacity = capacity;
    }
    struct suppression *rule = &suppressions->items[suppressions->count++];
    *rule = (struct suppression){
        .kinds = 1u << LEAK_DEFINITE | 1u << LEAK_INDIRECT | 1u << LEAK_POSSIBLE,
        .max_bytes = UINT64_MAX,
        .max_blocks = UINT64_MAX,
        .source = source,
        .line = line,
    };
    return rule;
}

static void rule_clear(struct suppression *rule)
{
    for (size_t i = 0; i < SUPPRESS_WORD_COUNT; i++)
        free(rule->words[i]);
    for (size_t i = 0; i < rule->frame_count; i++)
        free(rule->frames[i].glob);
    free(rule->frames);
    free(rule->error_kinds);
    free(rule->text);
}

void suppressions_clear(struct suppressions *suppressions)
{
    for (size_t i = 0; i < suppressions->count; i++)
        rule_clear(&suppressions->items[i]);
    free(suppressions->items);
    rule_index_free(suppressions->index);
    *suppressions = (struct suppressions){0};
}

/* ---- reading ---- */

static char *trim(char *line)
{
    line += strspn(line, " \t\r\n");
    size_t length = strlen(line);
    while (length > 0 && strchr(" \t\r\n", line[length - 1]))
        length--;
    line[length] = '\0';
    return line;
}

struct reader {
    struct suppressions *suppressions;
    const char *path;
    bool baseline, builtin;
    bool in_block;
    unsigned long block_start;
    struct suppress_block block;
};

static const char out_of_memory[] = "out of memory";

/* The line `}` after a block. */
static const char *end_block(struct reader *reader)
{
    struct suppression *read = &reader->block.rule;

    reader->in_block = false;
    if (reader->block.lines < 2) {
        rule_clear(read);
        return "the block has no name or no kind";
    }
    if (!reader->block.leak) {
        rule_clear(read);
        reader->suppressions->skipped++;
        return NULL;
    }
    if (read->frame_count == 0) {
        rule_clear(read);
        return "the block has no frames";
    }
    struct suppression *rule = suppressions_add(reader->suppressions, reader->path, reader->block_start);
    if (!rule) {
        rule_clear(read);
        return out_of_memory;
    }
    rule->frames = read->frames;
    rule->frame_count = read->frame_count;
    rule->text = read->text;
    rule->baseline = reader->baseline;
    rule->builtin = reader->builtin;
    if (read->kinds)
        rule->kinds = read->kinds;
    return NULL;
}

static const char *take_line(struct reader *reader, char *line, unsigned long number)
{
    char *text = trim(line);

    if (*text == '\0' || *text == '#')
        return NULL;
    if (reader->in_block)
        return strcmp(text, "}") == 0 ? end_block(reader) : suppress_block_line(&reader->block, text);
    if (strcmp(text, "{") == 0) {
        reader->in_block = true;
        reader->block_start = number;
        reader->block = (struct suppress_block){0};
        return NULL;
    }
    struct suppression *rule = suppressions_add(reader->suppressions, reader->path, number);
    if (!rule || !(rule->text = strdup(text)))
        return out_of_memory;
    rule->baseline = reader->baseline;
    rule->builtin = reader->builtin;
    return suppress_parse_line(rule, text);
}

static int read_rules(struct reader *reader, FILE *file, struct suppress_error *error)
{
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    unsigned long number = 0;
    const char *wrong = NULL;
    errno = 0;
    for (ssize_t length; !wrong && (length = getline(&line, &size, file)) >= 0;) {
        number++;
        wrong = memchr(line, '\0', (size_t)length) ? "a NUL byte" : take_line(reader, line, number);
    }
    if (!wrong && !feof(file)) /* an error of reading, or no memory for a line */
        return errno ? -errno : -EIO;
    if (reader->in_block) {
        rule_clear(&reader->block.rule);
        if (!wrong) {
            wrong = "the block has no end";
            number = reader->block_start;
        }
    }
    *error = (struct suppress_error){number, wrong};
    return !wrong ? 0 : strcmp(wrong, out_of_memory) == 0 ? -ENOMEM : -EINVAL;
}

int suppressions_read(struct suppressions *suppressions, const char *path, bool baseline, struct suppress_error *error)
{
    *error = (struct suppress_error){0};
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    struct reader reader = {.suppressions = suppressions, .path = path, .baseline = baseline};
    return read_rules(&reader, file, error);
}

int suppressions_read_builtin(struct suppressions *suppressions, struct suppress_error *error)
{
    static char text[] =
#include "python.supp.h"
        ;
    _cleanup_fclose_ FILE *file = fmemopen(text, sizeof(text) - 1, "r");
    if (!file)
        return -errno;
    struct reader reader = {.suppressions = suppressions, .path = "python.supp", .builtin = true};
    return read_rules(&reader, file, error);
}

/* ---- matching ---- */

bool suppress_frame_matches(const struct frame *frame, const char *pattern, bool python_only)
{
    if (frame->language == FRAME_CUT || (python_only && frame->language != FRAME_PYTHON))
        return false;
    return suppress_pattern_matches(pattern, frame->function) ||
           (frame->file && suppress_pattern_matches(pattern, frame->file)) ||
           (frame->module && suppress_pattern_matches(pattern, frame->module));
}

bool suppress_stack_matches(const struct stack *stack, const char *pattern, bool python_only)
{
    for (size_t i = 0; i < stack->size; i++)
        if (suppress_frame_matches(stack->frames[i], pattern, python_only))
            return true;
    return false;
}

/* `memo` has the stack of the leak. */
static bool rule_matches(const struct suppression *rule, const struct leak *leak, const struct pattern_memo *memo)
{
    char *const *words = rule->words;

    if (rule->kinds == 0 || (!(rule->kinds >> leak->kind & 1u) && leak->known))
        return false;
    return (!words[SUPPRESS_FINGERPRINT] || strcmp(words[SUPPRESS_FINGERPRINT], leak->fingerprint) == 0) &&
           (!words[SUPPRESS_TYPE] || (leak->type && suppress_glob_matches(words[SUPPRESS_TYPE], leak->type))) &&
           (!words[SUPPRESS_DOMAIN] || suppress_glob_matches(words[SUPPRESS_DOMAIN], leak->domain)) &&
           (!words[SUPPRESS_LEAK] || pattern_memo_has(memo, rule->leak_pattern)) &&
           (!words[SUPPRESS_PY] || pattern_memo_has(memo, rule->py_pattern)) &&
           (!rule->frame_count || suppress_block_matches(rule, leak_stack(leak)));
}

/* The first rule of the list, before number `limit`, that holds for the leak; its number, or `limit`. */
static uint32_t first_match(const struct suppressions *suppressions, struct rule_list list, const struct leak *leak,
                            uint32_t limit)
{
    for (size_t i = 0; i < list.count && list.items[i] < limit; i++) {
        const struct suppression *rule = &suppressions->items[list.items[i]];
        if (!rule->expired && !rule->over && rule_matches(rule, leak, suppressions->memo))
            return list.items[i];
    }
    return limit;
}

/* The first of all rules that holds for the leak, or NULL. Returns 0 or -ENOMEM. */
static int find_rule(struct suppressions *suppressions, const struct leak *leak, struct suppression **ret)
{
    uint32_t count = (uint32_t)suppressions->count, found;
    int r = pattern_memo_take(suppressions->memo, leak);

    *ret = NULL;
    if (r < 0)
        return r;
    found = first_match(suppressions, rule_index_find(suppressions->index, leak->fingerprint), leak, count);
    found = first_match(suppressions, rule_index_others(suppressions->index), leak, found);
    *ret = found < count ? &suppressions->items[found] : NULL;
    return 0;
}

static void add(uint64_t *sum, uint64_t value)
{
    if (__builtin_add_overflow(*sum, value, sum))
        *sum = UINT64_MAX;
}

/* The rule of blocks that the program itself does not take for leaks. */
static const struct suppression ignored = {.text = (char *)(uintptr_t) "memshim_ignore_push()", .source = ""};

/* Gives each leak its rule. Returns 1 if a rule has gone over its limits by that (then later rules may hold), 0, or -ENOMEM. */
static int assign(struct suppressions *suppressions, struct leaks *leaks)
{
    int over = 0;

    for (size_t i = 0; i < suppressions->count; i++) {
        struct suppression *rule = &suppressions->items[i];
        if (!rule->over)
            rule->leaks = rule->blocks = rule->bytes = 0;
    }
    for (size_t i = 0; i < leaks->count; i++) {
        struct leak *leak = &leaks->items[i];
        leak->suppressed = leak->ignored ? &ignored : NULL;
        struct suppression *rule = NULL;
        int r = leak_is_background(leak) ? 0 : find_rule(suppressions, leak, &rule);
        if (r < 0)
            return r;
        if (!rule)
            continue;
        leak->suppressed = rule;
        rule->leaks++;
        add(&rule->blocks, leak->blocks);
        add(&rule->bytes, leak->bytes);
    }
    for (size_t i = 0; i < suppressions->count; i++) {
        struct suppression *rule = &suppressions->items[i];
        if (!rule->over && (rule->bytes > rule->max_bytes || rule->blocks > rule->max_blocks)) {
            rule->over = true;
            over = 1;
        }
    }
    return over;
}

static bool has_baseline(const struct suppressions *suppressions)
{
    for (size_t i = 0; i < suppressions->count; i++)
        if (suppressions->items[i].baseline)
            return true;
    return false;
}

/* What the baseline says of a leak. */
static enum baseline_state state_of(const struct suppressions *suppressions, const struct leak *leak)
{
    struct rule_list list = rule_index_find(suppressions->index, leak->fingerprint);

    if (leak->suppressed && leak->suppressed->baseline)
        return BASELINE_UNCHANGED;
    for (size_t i = 0; i < list.count; i++)
        if (suppressions->items[list.items[i]].baseline)
            return BASELINE_UPDATED;
    return BASELINE_NEW;
}

int suppressions_apply(struct suppressions *suppressions, struct leaks *leaks, const char *today)
{
    if (suppressions->count >= UINT32_MAX)
        return -ENOMEM;
    rule_index_free(suppressions->index);
    suppressions->index = rule_index_new(suppressions);
    if (!suppressions->index)
        return -ENOMEM;
    for (size_t i = 0; i < suppressions->count; i++) {
        struct suppression *rule = &suppressions->items[i];
        rule->over = false;
        rule->expired = rule->until[0] && strcmp(today, rule->until) > 0;
    }
    suppressions->memo = pattern_memo_new(suppressions, leaks);
    int r = suppressions->memo ? 1 : -ENOMEM;
    while (r > 0)
        r = assign(suppressions, leaks);
    pattern_memo_free(suppressions->memo);
    suppressions->memo = NULL;
    if (r < 0)
        return r;
    for (size_t i = 0; i < suppressions->count; i++)
        suppressions->items[i].used = suppressions->items[i].used || suppressions->items[i].leaks;
    if (has_baseline(suppressions))
        for (size_t i = 0; i < leaks->count; i++)
            leaks->items[i].baseline = state_of(suppressions, &leaks->items[i]);
    return 0;
}

void suppressions_drop_baseline(struct suppressions *suppressions)
{
    size_t kept = 0;

    for (size_t i = 0; i < suppressions->count; i++) {
        if (suppressions->items[i].baseline)
            rule_clear(&suppressions->items[i]);
        else
            suppressions->items[kept++] = suppressions->items[i];
    }
    suppressions->count = kept;
}
