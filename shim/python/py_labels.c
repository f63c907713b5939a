/* SPDX-License-Identifier: MIT
 *
 * What a program says of its work and of its memory: labels, quiet and ignored scopes, tracked regions. Looked up by name, as in
 * py_process.c; without the shim nothing happens. */
#include "module.h"

#include "memshim/memshim.h"

#include <errno.h>

/* None, or an exception for a negative errno. That the process is not traced is none. */
static PyObject *none_or_error(int result, const char *what)
{
    if (result == -EINVAL)
        return PyErr_Format(PyExc_ValueError, "%s", what);
    if (result == 0 || result == -ENODEV)
        Py_RETURN_NONE;
    errno = -result;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyDoc_STRVAR(push_doc,
             "_label_push(what)\n\nBlocks of this thread have the label from now on. ValueError: it is empty or "
             "longer than 63 bytes.");

static PyObject *py_label_push(PyObject *module, PyObject *args)
{
    int (*push)(const char *what);
    const char *what;

    (void)module;
    if (!PyArg_ParseTuple(args, "s:label", &what))
        return NULL;
    *(void **)&push = module_shim("memshim_label_push");
    return none_or_error(push ? push(what) : 0, "a label has 1 to 63 bytes");
}

/* The functions without an argument, by number. */
static const char *const scopes[] = {"memshim_label_pop", "memshim_quiet_push", "memshim_quiet_pop",
                                     "memshim_ignore_push", "memshim_ignore_pop"};

PyDoc_STRVAR(scope_doc,
             "_change_scope(number)\n\n0: the label that came last ends; 1, 2: a quiet scope begins, ends; 3, 4: an "
             "ignored one.");

static PyObject *py_change_scope(PyObject *module, PyObject *args)
{
    int (*change)(void);
    int number;

    (void)module;
    if (!PyArg_ParseTuple(args, "i:_change_scope", &number))
        return NULL;
    if (number < 0 || number >= (int)ARRAY_SIZE(scopes))
        return PyErr_Format(PyExc_ValueError, "there is no such scope");
    *(void **)&change = module_shim(scopes[number]);
    return none_or_error(change ? change() : 0, "no such scope is open in this thread");
}

PyDoc_STRVAR(
    domain_doc,
    "domain(name) -> int\n\n"
    "The number of the domain called name, for track(). 0, which is the domain \"tracked\": it cannot be had, or\n"
    "memshim is not loaded.");

static PyObject *py_domain(PyObject *module, PyObject *args)
{
    unsigned (*domain)(const char *name);
    const char *name;

    (void)module;
    if (!PyArg_ParseTuple(args, "s:domain", &name))
        return NULL;
    *(void **)&domain = module_shim("memshim_domain");
    return PyLong_FromUnsignedLong(domain ? domain(name) : 0);
}

PyDoc_STRVAR(
    track_doc,
    "track(domain, address, size)\n\n"
    "The memory is in use from now on: a block of the domain in reports and counts, with this stack. For memory\n"
    "that does not come from an allocator that memshim sees (mmap, a device), or is a part of a larger block.");

static PyObject *py_track(PyObject *module, PyObject *args)
{
    int (*track)(unsigned domain, const void *p, size_t size);
    unsigned long long address;
    unsigned domain;
    Py_ssize_t size;

    (void)module;
    if (!PyArg_ParseTuple(args, "IKn:track", &domain, &address, &size))
        return NULL;
    *(void **)&track = module_shim("memshim_track");
    return none_or_error(track ? track(domain, (const void *)(uintptr_t)address, (size_t)size) : 0,
                         "no such memory can be");
}

PyDoc_STRVAR(untrack_doc,
             "untrack(domain, address) -> bool\n\n"
             "It is not in use any more. Returns whether it was tracked; False while memshim is not loaded.");

static PyObject *py_untrack(PyObject *module, PyObject *args)
{
    int (*untrack)(unsigned domain, const void *p);
    unsigned long long address;
    unsigned domain;

    (void)module;
    if (!PyArg_ParseTuple(args, "IK:untrack", &domain, &address))
        return NULL;
    *(void **)&untrack = module_shim("memshim_untrack");
    return PyBool_FromLong(untrack && untrack(domain, (const void *)(uintptr_t)address) == 0);
}

static PyMethodDef methods[] = {
    {"_label_push", py_label_push, METH_VARARGS, push_doc}, {"_change_scope", py_change_scope, METH_VARARGS, scope_doc},
    {"domain", py_domain, METH_VARARGS, domain_doc},        {"track", py_track, METH_VARARGS, track_doc},
    {"untrack", py_untrack, METH_VARARGS, untrack_doc},     {NULL, NULL, 0, NULL},
};

int module_add_labels(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
