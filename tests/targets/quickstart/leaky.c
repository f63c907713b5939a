/* SPDX-License-Identifier: MIT
 *
 * A C extension with four leaks, one for each way in which such a module gets memory. Compiled with -DFIXED it gives
 * everything back. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

/* Keeps each function a frame of its own in the report. */
#define NOINLINE __attribute__((noinline))

/* Leak 1: malloc without free. 64 bytes. */
NOINLINE static size_t copy_header(const char *text)
{
    char *copy = malloc(64);

    if (!copy)
        return 0;
    strncpy(copy, text, 63);
    copy[63] = '\0';
    size_t length = strlen(copy);
#ifdef FIXED
    free(copy);
#endif
    return length;
}

/* Leak 2: PyMem_Malloc without PyMem_Free. 128 bytes. */
NOINLINE static int grow_buffer(void)
{
    char *buffer = PyMem_Malloc(128);

    if (!buffer)
        return -1;
    memset(buffer, 0, 128);
#ifdef FIXED
    PyMem_Free(buffer);
#endif
    return 0;
}

/* Leak 3: PyMem_RawMalloc without PyMem_RawFree. 96 bytes. */
NOINLINE static int open_journal(void)
{
    char *journal = PyMem_RawMalloc(96);

    if (!journal)
        return -1;
    memset(journal, 0, 96);
#ifdef FIXED
    PyMem_RawFree(journal);
#endif
    return 0;
}

/* Leak 4: a Python object whose reference is never dropped. bytes of 223 characters: 256 bytes with the object's head. */
NOINLINE static Py_ssize_t make_token(void)
{
    PyObject *token = PyBytes_FromStringAndSize(NULL, 223);

    if (!token)
        return -1;
    memset(PyBytes_AS_STRING(token), 'x', 223);
    Py_ssize_t size = PyBytes_GET_SIZE(token);
#ifdef FIXED
    Py_DECREF(token);
#endif
    return size;
}

/* Py_NewRef is younger than the oldest Python that this has to compile for. */
static PyObject *none(void)
{
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *parse(PyObject *module, PyObject *text)
{
    (void)module;
    const char *utf8 = PyUnicode_AsUTF8(text);

    return utf8 ? PyLong_FromSize_t(copy_header(utf8)) : NULL;
}

static PyObject *resize(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return grow_buffer() ? PyErr_NoMemory() : none();
}

static PyObject *journal(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return open_journal() ? PyErr_NoMemory() : none();
}

static PyObject *token(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    Py_ssize_t size = make_token();

    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyMethodDef functions[] = {
    {"parse", parse, METH_O, "Copies a text, and loses the copy."},
    {"resize", resize, METH_NOARGS, "Makes room for a buffer, and loses it."},
    {"journal", journal, METH_NOARGS, "Opens a journal, and loses it."},
    {"token", token, METH_NOARGS, "Makes a bytes object, and loses a reference to it."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "leaky", .m_doc = "Four leaks.", .m_size = 0, .m_methods = functions,
};

PyMODINIT_FUNC PyInit_leaky(void);

PyMODINIT_FUNC PyInit_leaky(void)
{
    return PyModule_Create(&definition);
}
