/* SPDX-License-Identifier: MIT
 *
 * The examples of documents about memory in C extensions, as they stand there: buffers in each allocator domain, references that
 * are owned, borrowed and forgotten, and an object that gives out a memory array by the buffer protocol. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- buffers for I/O ---- */

static PyObject *io_malloc(PyObject *self, PyObject *unused)
{
    PyObject *res;
    char *buf = (char *)malloc(BUFSIZ); /* for I/O */

    (void)self, (void)unused;
    if (buf == NULL)
        return PyErr_NoMemory();
    strcpy(buf, "malloc");
    res = PyBytes_FromString(buf);
    free(buf); /* malloc'ed */
    return res;
}

static PyObject *io_mem(PyObject *self, PyObject *unused)
{
    PyObject *res;
    char *buf = (char *)PyMem_Malloc(BUFSIZ); /* for I/O */

    (void)self, (void)unused;
    if (buf == NULL)
        return PyErr_NoMemory();
    strcpy(buf, "PyMem_Malloc");
    res = PyBytes_FromString(buf);
    PyMem_Free(buf); /* allocated with PyMem_Malloc */
    return res;
}

static PyObject *io_new(PyObject *self, PyObject *unused)
{
    PyObject *res;
    char *buf = PyMem_New(char, BUFSIZ); /* for I/O */

    (void)self, (void)unused;
    if (buf == NULL)
        return PyErr_NoMemory();
    strcpy(buf, "PyMem_New");
    res = PyBytes_FromString(buf);
    PyMem_Del(buf); /* allocated with PyMem_New */
    return res;
}

static PyObject *three_buffers(PyObject *self, PyObject *wrong)
{
    char *buf1 = PyMem_New(char, 400);
    char *buf2 = (char *)malloc(BUFSIZ);
    char *buf3 = (char *)PyMem_Malloc(BUFSIZ);

    (void)self;
    PyMem_Del(buf3); /* the same as PyMem_Free() */
    free(buf2);      /* Right -- allocated via malloc() */
    if (PyObject_IsTrue(wrong))
        free(buf1); /* Fatal -- should be PyMem_Del() */
    else
        PyMem_Del(buf1);
    Py_RETURN_NONE;
}

/* A request for no bytes gives a pointer of its own, in each domain. */
static PyObject *no_bytes(PyObject *self, PyObject *unused)
{
    void *raw = PyMem_RawMalloc(0), *mem = PyMem_Malloc(0), *obj = PyObject_Malloc(0), *none = PyMem_Calloc(0, 5);
    int distinct = raw && mem && obj && none && raw != mem && mem != obj && obj != none;

    (void)self, (void)unused;
    raw = PyMem_RawRealloc(raw, 10);
    mem = PyMem_Realloc(mem, 1000);
    obj = PyObject_Realloc(obj, 600);
    PyMem_RawFree(raw);
    PyMem_Free(mem);
    PyObject_Free(obj);
    PyMem_Free(none);
    PyMem_Free(NULL);
    return PyBool_FromLong(distinct);
}

/* ---- references ---- */

static PyObject *incref_example(PyObject *self, PyObject *object)
{
    (void)self;
    Py_INCREF(object); /* the caller owns the reference */
    return object;
}

static PyObject *create_and_return(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return PyUnicode_FromString("hello");
}

static PyObject *create_and_use(PyObject *self, PyObject *unused)
{
    PyObject *number = PyLong_FromLong(4200000);
    long value = PyLong_AsLong(number);

    (void)self, (void)unused;
    Py_DECREF(number);
    return PyLong_FromLong(value * 2);
}

static PyObject *add_to_list(PyObject *self, PyObject *forget)
{
    PyObject *list = PyList_New(0), *item = PyFloat_FromDouble(42.5);

    (void)self;
    PyList_Append(list, item); /* takes a reference of its own */
    if (!PyObject_IsTrue(forget))
        Py_DECREF(item);
    return list;
}

static PyObject *leak_example(PyObject *self, PyObject *unused)
{
    PyObject *text = PyUnicode_FromString("leaked");

    (void)self, (void)unused;
    (void)text; /* never given back */
    Py_RETURN_NONE;
}

static PyObject *count_references(PyObject *self, PyObject *unused)
{
    PyObject *text = PyUnicode_FromString("counted");
    Py_ssize_t first = Py_REFCNT(text);

    (void)self, (void)unused;
    Py_INCREF(text);
    Py_ssize_t second = Py_REFCNT(text);
    Py_DECREF(text);
    Py_DECREF(text);
    return Py_BuildValue("nn", first, second);
}

static PyObject *use_weak_ref(PyObject *self, PyObject *object)
{
    PyObject *module = PyImport_ImportModule("weakref");
    PyObject *function = module ? PyObject_GetAttrString(module, "ref") : NULL;
    PyObject *weak = function ? PyObject_CallFunctionObjArgs(function, object, NULL) : NULL;

    (void)self;
    Py_XDECREF(module);
    Py_XDECREF(function);
    return weak;
}

/* ---- native memory ---- */

static PyObject *multiple_buffers(PyObject *self, PyObject *unused)
{
    void *buf1 = PyMem_Malloc(1024), *buf2 = PyMem_Malloc(2048), *buf3 = PyMem_Malloc(512), *aligned = NULL;

    (void)self, (void)unused;
    int result = posix_memalign(&aligned, 64, 1024);
    buf1 = PyMem_Realloc(buf1, 4096);
    memset(buf1, 0, 4096);
    PyMem_Free(buf3);
    PyMem_Free(buf2);
    PyMem_Free(buf1);
    int right = result == 0 && (size_t)aligned % 64 == 0;
    free(aligned);
    return PyBool_FromLong(right);
}

static PyObject *allocation_leak(PyObject *self, PyObject *unused)
{
    char *buffer = PyMem_Malloc(1024);

    (void)self, (void)unused;
    strcpy(buffer, "never freed");
    Py_RETURN_NONE;
}

#define BLOCKS 20

static PyObject *pool_example(PyObject *self, PyObject *unused)
{
    char *blocks[BLOCKS];

    (void)self, (void)unused;
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = PyMem_RawMalloc(1024);
    for (int i = 0; i < BLOCKS; i++)
        PyMem_RawFree(blocks[i]);
    Py_RETURN_NONE;
}

/* Without the lock while it waits, and with it again. */
static PyObject *io_operation(PyObject *self, PyObject *unused)
{
    PyObject *data = PyUnicode_FromString("data");
    void *raw;

    (void)self, (void)unused;
    Py_BEGIN_ALLOW_THREADS raw = PyMem_RawMalloc(100);
    PyMem_RawFree(raw);
    PyGILState_STATE state = PyGILState_Ensure();
    Py_XDECREF(PyUnicode_FromString("test"));
    PyGILState_Release(state);
    Py_END_ALLOW_THREADS Py_DECREF(data);
    Py_RETURN_NONE;
}

/* ---- a memory array ---- */

#define PLANE 12

struct plane {
    PyObject_HEAD int samples[PLANE];
    Py_ssize_t shape[2], strides[2];
    int exports;
};

static int plane_get(PyObject *object, Py_buffer *view, int flags)
{
    struct plane *self = (struct plane *)object;

    if (PyBuffer_FillInfo(view, object, self->samples, sizeof(self->samples), 0, flags & ~PyBUF_FORMAT) < 0)
        return -1;
    self->shape[0] = 3;
    self->shape[1] = PLANE / 3;
    self->strides[0] = (Py_ssize_t)sizeof(int) * PLANE / 3;
    self->strides[1] = sizeof(int);
    view->itemsize = sizeof(int);
    view->ndim = 2;
    view->format = flags & PyBUF_FORMAT ? "i" : NULL;
    view->shape = self->shape;
    view->strides = self->strides;
    self->exports++;
    return 0;
}

static void plane_release(PyObject *object, Py_buffer *view)
{
    (void)view;
    ((struct plane *)object)->exports--;
}

static PyBufferProcs plane_buffer = {plane_get, plane_release};

static PyTypeObject plane_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "documented.Plane",
    .tp_basicsize = sizeof(struct plane),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_as_buffer = &plane_buffer,
};

static PyObject *exports(PyObject *self, PyObject *plane)
{
    (void)self;
    return PyLong_FromLong(((struct plane *)plane)->exports);
}

static PyObject *take_buffer(PyObject *self, PyObject *args)
{
    PyObject *object;
    Py_buffer view;
    int release;

    (void)self;
    if (!PyArg_ParseTuple(args, "Op", &object, &release) || !PyObject_CheckBuffer(object) ||
        PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0)
        return NULL;
    Py_ssize_t size = view.len;
    if (release)
        PyBuffer_Release(&view);
    return PyLong_FromSsize_t(size);
}

static PyObject *memory_view(PyObject *self, PyObject *unused)
{
    static char memory[64] = "static memory";

    (void)self, (void)unused;
    return PyMemoryView_FromMemory(memory, sizeof(memory), PyBUF_READ);
}

static PyMethodDef functions[] = {
    {"io_malloc", io_malloc, METH_NOARGS, NULL},
    {"io_mem", io_mem, METH_NOARGS, NULL},
    {"io_new", io_new, METH_NOARGS, NULL},
    {"three_buffers", three_buffers, METH_O, NULL},
    {"no_bytes", no_bytes, METH_NOARGS, NULL},
    {"incref_example", incref_example, METH_O, NULL},
    {"create_and_return", create_and_return, METH_NOARGS, NULL},
    {"create_and_use", create_and_use, METH_NOARGS, NULL},
    {"add_to_list", add_to_list, METH_O, NULL},
    {"leak_example", leak_example, METH_NOARGS, NULL},
    {"count_references", count_references, METH_NOARGS, NULL},
    {"use_weak_ref", use_weak_ref, METH_O, NULL},
    {"multiple_buffers", multiple_buffers, METH_NOARGS, NULL},
    {"allocation_leak", allocation_leak, METH_NOARGS, NULL},
    {"pool_example", pool_example, METH_NOARGS, NULL},
    {"io_operation", io_operation, METH_NOARGS, NULL},
    {"exports", exports, METH_O, NULL},
    {"take_buffer", take_buffer, METH_VARARGS, NULL},
    {"memory_view", memory_view, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "documented", .m_size = -1,
                                        .m_methods = functions};

PyMODINIT_FUNC PyInit_documented(void);

PyMODINIT_FUNC PyInit_documented(void)
{
    PyObject *module = PyType_Ready(&plane_type) < 0 ? NULL : PyModule_Create(&definition);

    Py_INCREF(&plane_type);
    if (module && PyModule_AddObject(module, "Plane", (PyObject *)&plane_type) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
