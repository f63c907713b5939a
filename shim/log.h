/* SPDX-License-Identifier: MIT
 *
 * Messages of the shim on stderr: one line, written with one write(2), no stdio. Callable anywhere in the shim. */
#ifndef SHIM_LOG_H
#define SHIM_LOG_H

#include "compiler.h"

#include <stddef.h>

/* The option verbosity; messages above it are dropped. */
extern unsigned log_verbosity;

/* Writes "memshim: " and the formatted text (cut at some hundred bytes) when `level` <= log_verbosity. Keeps errno. */
void log_line(unsigned level, const char *format, ...) _printf_format_(2, 3);

/* Writes text that is ready: all of it or, where stderr takes no more, a part. Keeps errno. */
void log_write(const char *text, size_t size);

#endif
