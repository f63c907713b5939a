/* SPDX-License-Identifier: MIT
 *
 * The buffer protocol for modules of the limited API of 3.8. Since 3.11 the layout of Py_buffer is part of the stable ABI; it was
 * the same before. 3.9 takes the slots of a type's spec; in 3.8 they are written into the type. */
#ifndef PYTHON_PY_BUFFER_H
#define PYTHON_PY_BUFFER_H

#include "module.h"

struct py_buffer {
    void *buf;
    PyObject *obj;
    Py_ssize_t len, itemsize;
    int readonly, ndim;
    char *format;
    Py_ssize_t *shape, *strides, *suboffsets;
    void *internal;
};

enum {
    PY_BUFFER_FORMAT = 0x4,
    PY_BUFFER_ND = 0x8,
    PY_BUFFER_STRIDES = 0x10 | PY_BUFFER_ND,
    PY_SLOT_GET_BUFFER = 1,     /* Py_bf_getbuffer */
    PY_SLOT_RELEASE_BUFFER = 2, /* Py_bf_releasebuffer */
};

typedef int (*py_get_buffer)(PyObject *self, struct py_buffer *view, int flags);
typedef void (*py_release_buffer)(PyObject *self, struct py_buffer *view);

/* Makes the type of `spec` with these two functions. New reference. */
PyObject *py_buffer_type(PyType_Spec *spec, py_get_buffer get, py_release_buffer release);

#endif
