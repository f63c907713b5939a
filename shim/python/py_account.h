/* SPDX-License-Identifier: MIT
 *
 * The account of buffers that were taken and not given back: for Python, and for the shim's report. Thread-safe. */
#ifndef PYTHON_PY_ACCOUNT_H
#define PYTHON_PY_ACCOUNT_H

#include "py_buffer.h"

#define ACCOUNT_NAME_MAX 64

/* *view has been filled by an object of the type with this name. `key`: by what it will be known when it is given back, the exporter
 * as a rule. */
void account_take(const struct py_buffer *view, const void *key, const char *type);

/* One with this key is given back: that at this place, or with the same bytes (a program may have copied it), or any. */
void account_give(const struct py_buffer *view, const void *key);

/* A text for each that was not given back; new reference. Those for which `is_over` says so (NULL: none) are left out. */
PyObject *account_list(int (*is_over)(const struct py_buffer *view, const void *key));

/* The process ends: the report shall not have those for which is_over says so. Waits for nobody. */
void account_settle(int (*is_over)(const struct py_buffer *view, const void *key));

/* "numpy.ndarray", cut; without "builtins.". 0, or -1 with an exception. */
int account_name(char name_of[ACCOUNT_NAME_MAX], PyObject *type);

#endif
