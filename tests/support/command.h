/* SPDX-License-Identifier: MIT
 *
 * Running memshim, and the files that it reads and writes. All fail the test when they cannot do their work; texts returned are
 * the caller's to free. */
#ifndef TESTS_COMMAND_H
#define TESTS_COMMAND_H

#include "spawn.h"

struct outcome memshim(const char *const *arguments);
#define MEMSHIM(...) memshim(LIST(__VA_ARGS__))

/* The command ends with `status`, and says on stderr what `text` (may be NULL) has in it. */
void assert_ends(const char *const *arguments, int status, const char *text);
#define ASSERT_ENDS(status, text, ...) assert_ends(LIST(__VA_ARGS__), status, text)

char *file_in(const char *folder, const char *name);
void write_file(const char *path, const void *bytes, size_t size);

/* All bytes and a NUL behind them. */
char *read_file(const char *path, size_t *size);

/* The only file in the folder that ends in `suffix`. */
char *only_file(const char *folder, const char *suffix);

#endif
