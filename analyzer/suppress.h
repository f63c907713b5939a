/* SPDX-License-Identifier: MIT
 *
 * Suppressions: rules for leaks that are known and accepted. A file has LeakSanitizer's lines (leak:PATTERN, # comments), with
 * more words than it knows, and Valgrind's blocks of kind Memcheck:Leak, in any order:
 *
 *     WORD:PATTERN [WORD:PATTERN...] [KEY=VALUE...]
 *
 *     leak:PATTERN       some frame's function, source file or module
 *     py:PATTERN         some Python frame's function or file
 *     type:NAME          the type of the Python object; NAME as a whole, * for anything
 *     domain:NAME        the allocator, likewise
 *     kind:LIST          definite, indirect, possible, reachable; without it all but the last. Or kinds of memory errors
 *                        (overflow, double-free, ..; errors stands for all): only with them a rule is about errors
 *     fingerprint:1:HEX  the leak's fingerprint, of version 1 (fingerprint.h)
 *     max-bytes=N, max-blocks=N   the rule holds only as long as all that it matches is no more
 *     until=YYYY-MM-DD            the rule holds up to that day
 *
 * All of a line must be true of a leak. PATTERN is a part of the text unless it begins with ^ or ends with $; * is anything.
 * A baseline is a file of fingerprint rules with limits (out_suppressions.c writes it). Layer: above leaks. */
#ifndef ANALYZER_SUPPRESS_H
#define ANALYZER_SUPPRESS_H

#include "leaks.h"

/* A condition on the frames of a leak. */
enum suppress_word {
    SUPPRESS_LEAK,
    SUPPRESS_PY,
    SUPPRESS_TYPE,
    SUPPRESS_DOMAIN,
    SUPPRESS_FINGERPRINT,
    SUPPRESS_WORD_COUNT
};

enum suppress_part { PART_FUNCTION, PART_OBJECT, PART_SOURCE, PART_ELLIPSIS };

/* One frame line of a Valgrind block. */
struct suppress_frame {
    enum suppress_part part;
    char *glob;
};

struct suppression {
    char *words[SUPPRESS_WORD_COUNT]; /* patterns, NULL = any */
    struct suppress_frame *frames;    /* of a Valgrind block, innermost first */
    size_t frame_count;
    unsigned int kinds; /* bits 1 << enum leak_kind; 0: no leaks at all */
    char *error_kinds;  /* comma list of memory errors, or NULL: none */
    uint64_t max_bytes, max_blocks;
    char until[11];     /* "" = for ever */
    char *text;         /* as it stands in the file; of a block its name */
    const char *source; /* path of the file */
    unsigned long line;
    bool baseline; /* from a file that was named as a baseline */
    bool builtin;  /* of suppressions/python.supp */

    size_t leak_pattern, py_pattern; /* numbers of pattern_memo_has */

    /* What suppressions_apply found. */
    uint64_t leaks, blocks, bytes; /* that it matched */
    bool used;                     /* it has matched something, now or earlier */
    bool over;                     /* its limits, so that it does not hold */
    bool expired;
};

struct suppressions {
    struct suppression *items;
    size_t count, capacity;
    struct pattern_memo *memo; /* only while suppressions_apply is at work */
    struct rule_index *index;  /* for suppressions_apply, which makes it (suppress_index.c) */
    size_t skipped;            /* Valgrind blocks that are not about leaks */
};

/* Why a file could not be read. */
struct suppress_error {
    unsigned long line; /* 0: the file as a whole */
    const char *text;   /* static */
};

/* Adds the rules of the file at `path`, which must outlive *suppressions. Returns 0 or -errno; -EINVAL: *error says where and why. */
int suppressions_read(struct suppressions *suppressions, const char *path, bool baseline, struct suppress_error *error);

/* Adds the rules that are always in force (analyzer/suppressions/python.supp). Returns as suppressions_read. */
int suppressions_read_builtin(struct suppressions *suppressions, struct suppress_error *error);

/* Takes the rules of baselines out, before suppressions_apply: what they accept belongs into a new baseline, too. */
void suppressions_drop_baseline(struct suppressions *suppressions);

/* Sets `suppressed` of every leak that a rule holds for, and, where there is a baseline, `baseline`; and what the rules found.
 * `today`: YYYY-MM-DD. Returns 0 or -ENOMEM. */
int suppressions_apply(struct suppressions *suppressions, struct leaks *leaks, const char *today);

/* Takes the errors out of the model for which a rule holds; they are counted in process.suppressed_errors. After
 * suppressions_apply. Returns 0 or -ENOMEM. */
int suppressions_apply_to_errors(struct suppressions *suppressions, struct model *model, struct symbols *symbols);

/* Harmless on a zeroed one. Leaks that it was applied to must not be used afterwards. */
void suppressions_clear(struct suppressions *suppressions);

/* Whether LeakSanitizer's `pattern` matches `text`. */
bool suppress_pattern_matches(const char *pattern, const char *text);

/* Whether `glob` (* and ?) matches the whole `text`. */
bool suppress_glob_matches(const char *glob, const char *text);

/* ---- suppress_index.c, suppress_memo.c, suppress_parse.c and suppress_valgrind.c: for suppress.c ---- */

/* Which rules a leak can match: those with its fingerprint, of which a baseline has thousands, and those without any. */
struct rule_index *rule_index_new(const struct suppressions *suppressions); /* NULL without memory */
void rule_index_free(struct rule_index *index);                             /* NULL is fine */

/* Rules in the order of the list: their numbers. */
struct rule_list {
    const uint32_t *items;
    size_t count;
};
struct rule_list rule_index_others(const struct rule_index *index);
struct rule_list rule_index_find(const struct rule_index *index, const char fingerprint[static FINGERPRINT_SIZE]);

/* A rule more, zeroed but for its place in the file; NULL without memory. */
struct suppression *suppressions_add(struct suppressions *suppressions, const char *source, unsigned long line);

/* Parses a line of the native grammar, which is changed by it. Returns NULL, or what is wrong with it. */
const char *suppress_parse_line(struct suppression *rule, char *line);

/* Parses a comma list of kinds into bits. Returns false if it is none. */
bool suppress_parse_kinds(const char *text, unsigned int *ret);

/* Whether it names a kind of memory errors, or all of them. */
bool suppress_is_error_kind(const char *name, size_t length);

/* Which of all rules' leak: and py: patterns match some frame of the stack of one of the leaks (suppress_memo.c): each frame is
 * looked at once, and stacks without any such frame are not made at all. The rules and the leaks must outlive it. NULL without
 * memory. */
struct pattern_memo *pattern_memo_new(struct suppressions *suppressions, const struct leaks *leaks);
void pattern_memo_free(struct pattern_memo *memo); /* NULL is fine */

/* Looks at the stack of one of the leaks. Returns 0 or -ENOMEM. */
int pattern_memo_take(struct pattern_memo *memo, const struct leak *leak);

/* Whether the pattern of a rule (leak_pattern or py_pattern, not 0) matches that stack. */
bool pattern_memo_has(const struct pattern_memo *memo, size_t pattern);

bool suppress_frame_matches(const struct frame *frame, const char *pattern, bool python_only);

/* Whether a frame, or a Python frame, has a function, file or module that LeakSanitizer's `pattern` matches. */
bool suppress_stack_matches(const struct stack *stack, const char *pattern, bool python_only);

/* One line of a Valgrind block, without blanks around it. */
struct suppress_block {
    unsigned int lines; /* so far */
    bool leak;          /* of kind Memcheck:Leak */
    struct suppression rule;
};

/* Takes the next line. Returns NULL, or what is wrong with it. */
const char *suppress_block_line(struct suppress_block *block, char *line);

/* Whether the block's frames match the stack. */
bool suppress_block_matches(const struct suppression *rule, const struct stack *stack);

#endif
