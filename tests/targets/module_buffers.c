/* SPDX-License-Identifier: MIT
 *
 * An extension that takes buffers, and forgets to give some back. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *keep(PyObject *module, PyObject *object)
{
    Py_buffer view;

    (void)module;
    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The Py_buffer is copied before it is given back, as programs do. */
static PyObject *borrow(PyObject *module, PyObject *object)
{
    Py_buffer view, copy;

    (void)module;
    if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    copy = view;
    PyBuffer_Release(&copy);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"keep", keep, METH_O, "Takes a buffer, and loses it."},
    {"borrow", borrow, METH_O, "Takes a buffer, and gives it back."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "buffers", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_buffers(void);

PyMODINIT_FUNC PyInit_buffers(void)
{
    return PyModule_Create(&definition);
}
