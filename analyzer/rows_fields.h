/* SPDX-License-Identifier: MIT
 *
 * The values of a line as the model keeps them: checked, and texts in the pool of the process. For rows.c. Functions that return
 * int return 0, -ENOMEM, or -EINVAL: the line is damaged. */
#ifndef ANALYZER_ROWS_FIELDS_H
#define ANALYZER_ROWS_FIELDS_H

#include "rows.h"

/* A text; `otherwise` when it is not there or is no text. */
int get_text(struct rows *rows, struct line *line, const char *key, const char *otherwise, const char **ret);

/* A number that must be there and below `limit`. False: it is not; *ret is untouched. */
bool get_id(struct line *line, const char *key, size_t limit, uint32_t *ret);

/* A number that must be there, of no sign. False: it is not; *ret is untouched. */
bool get_count(struct line *line, const char *key, uint64_t *ret);

/* Numbers that may be missing, and flags, which are false then. */
uint64_t get_count_or_0(struct line *line, const char *key);
int get_int(struct line *line, const char *key, int otherwise);
bool get_bool(struct line *line, const char *key);

/* The texts of a list, and a NULL behind them; anything else in it is left out. */
int get_list(struct rows *rows, struct line *line, const char *key, const char ***ret, size_t *ret_count);

/* Bytes in hexadecimal digits; NULL and 0 without. */
int get_bytes(struct rows *rows, struct line *line, const char *key, const uint8_t **ret, size_t *ret_size);

/* Takes the symbols that the line brings along for the frame that was added last. */
int rows_add_symbols(struct rows *rows, struct line *line);

#endif
