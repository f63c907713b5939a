/* SPDX-License-Identifier: MIT
 *
 * Exports of buffers: who has taken one and not given it back. The functions of the buffer protocol in chosen types are replaced by
 * ones that keep an account; that reaches every user, also C code and static interpreters, because the slots are where all of
 * them end. Only types that have a release function: adding one where there is none would change what the type can do.
 * Of other types see py_watched.h. */
#include "py_account.h"
#include "py_watched.h"

#include <string.h>

#define TYPES_MAX 16
#define TP_AS_BUFFER \
    160 /* offset in PyTypeObject, the same from 3.8 on where modules of the limited API can be loaded at all */

static struct py_procs originals[TYPES_MAX];
static unsigned type_count;
static PyObject *known_types[TYPES_MAX]; /* references that somebody looks for */

/* ---- the slots ---- */

static char type_names[TYPES_MAX][ACCOUNT_NAME_MAX];

/* A class with __buffer__ (3.12) gives out the buffer of a wrapper, by whose slot it is released. */
static py_release_buffer wrapper_release;

static void give_wrapper(PyObject *self, struct py_buffer *view)
{
    account_give(view, self);
    wrapper_release(self, view);
}

static struct py_procs *procs_of(const void *type)
{
    struct py_procs *procs;

    memcpy(&procs, (const char *)type + TP_AS_BUFFER, sizeof(procs));
    return procs;
}

/* Whether the end of its buffers is heard. */
static int watch_wrapper(const PyTypeObject *type)
{
    struct py_procs *procs = procs_of(type);

    if (!procs || !procs->release || procs->get)
        return 0;
    if (!wrapper_release) {
        wrapper_release = procs->release;
        procs->release = give_wrapper;
    }
    return procs->release == give_wrapper;
}

/* Whether the type's own __buffer__ is written in Python. The interpreter calls its __release_buffer__ only where that slot is as it
 * was. */
static int is_written_in_python(PyObject *type)
{
    PyObject *method = PyObject_GetAttrString(type, "__buffer__");
    int written = method && PyObject_HasAttrString(method, "__code__");

    if (!method)
        PyErr_Clear();
    Py_XDECREF(method);
    return written;
}

static int take(unsigned n, PyObject *self, struct py_buffer *view, int flags)
{
    int result = originals[n].get(self, view, flags);

    if (result == 0 && (view->obj == self || (view->obj && watch_wrapper(Py_TYPE(view->obj)))))
        account_take(view, view->obj, type_names[n]);
    return result;
}

static void give(unsigned n, PyObject *self, struct py_buffer *view)
{
    account_give(view, self);
    originals[n].release(self, view);
}

/* The slots get no context: a pair of functions for each type. */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define DEFINE(n) \
    static int take_##n(PyObject *self, struct py_buffer *view, int flags) \
    { \
        return take(n, self, view, flags); \
    } \
    static void give_##n(PyObject *self, struct py_buffer *view) \
    { \
        give(n, self, view); \
    }
#define PAIR(n) {take_##n, give_##n},

EACH(DEFINE)

static const struct py_procs ours[TYPES_MAX] = {EACH(PAIR)};

static int is_ours(py_get_buffer get)
{
    for (unsigned i = 0; i < TYPES_MAX; i++)
        if (ours[i].get == get)
            return 1;
    return 0;
}

static int track(PyObject *type)
{
    if (!PyType_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "types are wanted");
        return -1;
    }
    struct py_procs *procs = procs_of(type);
    if (!procs || !procs->get) {
        PyErr_Format(PyExc_TypeError, "%R gives out no buffers", type);
        return -1;
    }
    int written = is_written_in_python(type);
    if (!procs->release && !written)
        return watched_add(type, procs);
    if (is_ours(procs->get))
        return 0;
    if (type_count == TYPES_MAX) {
        PyErr_SetString(PyExc_RuntimeError, "too many types");
        return -1;
    }
    if (account_name(type_names[type_count], type) < 0)
        return -1;
    Py_INCREF(type); /* its functions are ours from now on */
    known_types[type_count] = type;
    originals[type_count] = *procs;
    procs->get = ours[type_count].get;
    if (!written)
        procs->release = ours[type_count].release;
    type_count++;
    return 0;
}

PyDoc_STRVAR(track_doc, "_track_buffers(types)\n\nKeep an account of the buffers of these types. TypeError: a type "
                        "gives out none, or cannot be followed.");

static PyObject *py_track(PyObject *module, PyObject *types)
{
    Py_ssize_t count = PySequence_Size(types);

    (void)module;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *type = PySequence_GetItem(types, i);
        int result = type ? track(type) : -1;
        Py_XDECREF(type);
        if (result < 0)
            return NULL;
    }
    if (count < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(exports_doc, "buffer_exports() -> list\n\nA text for each buffer that was taken since track_buffers() and "
                          "not given back: type, length,\n"
                          "format, shape, and whether it is writable.");

static PyObject *py_exports(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return account_list(watched_is_over);
}

static PyMethodDef methods[] = {
    {"_track_buffers", py_track, METH_O, track_doc},
    {"buffer_exports", py_exports, METH_NOARGS, exports_doc},
    {NULL, NULL, 0, NULL},
};

int module_add_buffers(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
