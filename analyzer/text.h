/* SPDX-License-Identifier: MIT
 *
 * Small things done to text on its way to and from people: numbers with separators, sizes with suffixes, escaping of what
 * a terminal must not receive, shorter paths. No state; nothing here prints on its own. */
#ifndef ANALYZER_TEXT_H
#define ANALYZER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_NUMBER_SIZE 27 /* 20 digits, 6 separators, NUL */

/* Writes `value` with a comma between thousands into `buffer` and returns it. */
const char *text_number(char buffer[static TEXT_NUMBER_SIZE], uint64_t value);

/* "s" unless `count` is 1. */
const char *text_plural(uint64_t count);

/* Parses decimal digits alone. Returns 0, -EINVAL or -ERANGE; *ret is untouched on failure. */
int text_parse_count(const char *text, uint64_t *ret);

/* The same with an optional suffix k, M or G (any case): times 1024, 1024^2, 1024^3. */
int text_parse_size(const char *text, uint64_t *ret);

/* Writes `text` to `out` with everything replaced that could steer a terminal or mislead a reader: control characters
 * (newlines too), bytes that are not UTF-8, and the marks that change the direction of writing. NULL writes "??". */
void text_escape(FILE *out, const char *text);

/* Decodes the UTF-8 sequence (RFC 3629) at `text`, which must not be at its end. Returns its length, or 0 if there is none;
 * *ret_point is untouched then. */
size_t text_decode(const char *text, uint32_t *ret_point);

/* A malloc'ed copy of `text` in which every byte that is not part of valid UTF-8 is U+FFFD; NULL without memory. */
char *text_utf8(const char *text);

/* The part of `path` below `folder` if it lies in it, else `path`. `folder` may be NULL. */
const char *text_below(const char *path, const char *folder);

/* The part of `path` after its last slash. */
const char *text_base(const char *path);

/* True for the name of a report of a process that ran on: STEM.snapshot-N.jsonl. *ret_stem, *ret_number (may be NULL) receive the
 * length of STEM and N. */
bool text_is_snapshot(const char *name, size_t *ret_stem, unsigned long *ret_number);

/* True if `text` (may be NULL) ends in `suffix`. */
bool text_ends_with(const char *text, const char *suffix);

#endif
