/* SPDX-License-Identifier: MIT
 *
 * The parts of the extension module memshim._memshim. CPython's limited API of 3.8, so that one file serves all later versions;
 * what it lacks (the buffer protocol, before 3.11) is in py_buffer.h. All functions need the interpreter's lock. */
#ifndef PYTHON_MODULE_H
#define PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03080000
#include <Python.h>

#include "compiler.h"

/* What the module object keeps. */
struct module_state {
    PyObject *pool_error, *create_error, *attach_error, *leak_error;
    PyObject *pool_type, *allocation_type, *allocations_type;
    PyObject *kinds;  /* enum AllocType, set by the package, or NULL */
    PyObject *caches; /* function of the package that finds caches, or NULL */
};

/* There is one module in a process: its state is found without a module object. */
struct module_state *module_state(void);

/* Sets `exception` with a text for a negative errno of the client library. Returns NULL. */
PyObject *module_error(PyObject *exception, const char *what, int error);

/* Adds the functions and types of each part. 0 or -1. */
int module_add_process(PyObject *module);
int module_add_handles(PyObject *module);
int module_add_pools(PyObject *module);
int module_add_buffers(PyObject *module);
int module_add_labels(PyObject *module);
int module_add_scopes(PyObject *module);

/* A function of the shim, NULL where it is not loaded, or has none of this name: it may be older than this module. */
void *module_shim(const char *name);

/* The exception, also when the module is gone. */
PyObject *module_exception(PyObject *exception);

/* Adds a type under its name. 0 or -1; the reference stays the caller's. */
int module_keep_type(PyObject *module, PyObject *type, const char *name);

/* An object of a type of this module, all zero. NULL: no memory, or the module is gone. */
PyObject *module_object(PyObject *type);

/* Makes a type from its spec and adds it under its name; new reference, NULL on failure. */
PyObject *module_add_type(PyObject *module, PyType_Spec *spec, const char *name);

#endif
