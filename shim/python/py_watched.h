/* SPDX-License-Identifier: MIT
 *
 * Buffers of types without a release function (bytes, numpy.ndarray), which are not told that a buffer was given back. There the
 * calls of PyObject_GetBuffer and PyBuffer_Release count, which the shim leads here: those of extension modules, and where
 * libpython is a library the interpreter's own. Where it is not, the interpreter's are seen neither when they take nor when they
 * give back, but for memoryviews: the object in which these keep the buffer is known by where the buffer stands, and its end can be
 * heard. */
#ifndef PYTHON_PY_WATCHED_H
#define PYTHON_PY_WATCHED_H

#include "py_buffer.h"

/* PyBufferProcs. */
struct py_procs {
    py_get_buffer get;
    py_release_buffer release;
};

/* Keeps an account of the type's buffers from now on; `procs` are its. 0, or -1 with an exception: TypeError without the shim. */
int watched_add(PyObject *type, struct py_procs *procs);

/* For account_list. */
int watched_is_over(const struct py_buffer *view, const void *key);

#endif
