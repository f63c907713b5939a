/* SPDX-License-Identifier: MIT
 *
 * How far a long task has come, for a person who waits: one line on a terminal, which goes when the task is done. There is one
 * for the whole program, so that the modules that do the work need no word about it; until a command has begun it, and where
 * nobody looks, it is silent. Not thread-safe. */
#ifndef ANALYZER_PROGRESS_H
#define ANALYZER_PROGRESS_H

#include <stdint.h>

/* Begins to measure, if stderr is a terminal of which this program has the foreground: from a second on, it shows. */
void progress_begin(void);

/* What is done now, and how much of it there is (0: not known). `what` is a static text. */
void progress_step(const char *what, uint64_t total);

/* So much more is done. Cheap enough for every few kilobytes, not for every line. */
void progress_add(uint64_t done);

/* Wipes what is shown. */
void progress_end(void);

#endif
