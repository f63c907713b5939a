/* SPDX-License-Identifier: MIT
 *
 * The Python interpreters of this machine, and the example extension compiled for each of them. */
#ifndef TESTS_PYTHONS_H
#define TESTS_PYTHONS_H

#include <stddef.h>

struct python {
    char path[512];
    char version[32]; /* "3.11.2" */
    int minor;
    char include[512]; /* folder of Python.h, "" when there are no headers */
    char library[512]; /* libpython, "" when there is none */
    char linked[16];   /* "shared" or "static": whether the executable needs libpython */
};

#define PYTHONS_MAX 32

/* Finds /usr/bin/python3, those of pyenv, and those that TEST_PYTHONS names (paths joined by ':'), from 3.8 on, one of
 * each version and path. Returns their number. */
size_t pythons_find(struct python pythons[PYTHONS_MAX]);

/* Compiles tests/targets/SOURCE_NAME (C, or .pyx by cython3) for this interpreter to NAME.so, when it is not there yet. Returns the
 * folder that has it, the caller's to free; NULL when there is no Python.h. */
char *python_compile(const struct python *python, const char *source_name, const char *name);

/* The folder that has leaky.so for this interpreter, which is compiled when it is not there yet. NULL when there is no
 * Python.h. The caller frees it. */
char *python_extension(const struct python *python);

#endif
