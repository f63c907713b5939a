/* SPDX-License-Identifier: MIT
 *
 * An extension module's ways to lose what belongs to CPython, one function each; lose_references.py calls them by name. It
 * is compiled once for all versions: only what the stable ABI has, declared here. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct object PyObject;

struct object {
    intptr_t references;
    PyObject *type;
};

struct slot {
    int slot;
    void *function;
};

struct spec {
    const char *name;
    int basic_size, item_size;
    unsigned int flags;
    struct slot *slots;
};

#define SLOT_CLEAR 51
#define SLOT_DEALLOC 52
#define SLOT_TRAVERSE 71
#define FLAG_GC (1u << 14)

typedef int (*visitor)(PyObject *, void *);

struct buffer {
    void *words[10]; /* Py_buffer */
};

extern PyObject *PyExc_ValueError;

PyObject *PyBytes_FromString(const char *);
PyObject *PyByteArray_FromStringAndSize(const char *, intptr_t);
PyObject *PyCapsule_New(void *, const char *, void (*)(PyObject *));
PyObject *PyCode_NewEmpty(const char *, const char *, int);
PyObject *PyDict_New(void);
int PyDict_SetItemString(PyObject *, const char *, PyObject *);
PyObject *PyFloat_FromDouble(double);
PyObject *PyList_New(intptr_t);
int PyList_Append(PyObject *, PyObject *);
PyObject *PyLong_FromLong(long);
void *PyMem_Malloc(size_t);
void *PyMem_RawMalloc(size_t);
PyObject *PyMethod_New(PyObject *, PyObject *);
PyObject *PyModule_New(const char *);
PyObject *PyObject_CallFunction(PyObject *, const char *, ...);
int PyObject_GetBuffer(PyObject *, struct buffer *, int);
void PyObject_GC_Del(void *);
void PyObject_GC_Track(void *);
void PyObject_Free(void *);
PyObject *PyType_FromSpec(struct spec *);
PyObject *PyUnicode_FromFormat(const char *, ...);
PyObject *_PyObject_New(PyObject *);
PyObject *_PyObject_GC_New(PyObject *);
void Py_DecRef(PyObject *);
void Py_IncRef(PyObject *);

#define COUNT 10
#define LOSE __attribute__((noinline, noclone, visibility("default"))) void

/* ---- references that are not given back ---- */

LOSE lose_str(void)
{
    for (int i = 0; i < COUNT; i++)
        PyUnicode_FromFormat("lost string %d", i);
}

LOSE lose_bytes(void)
{
    for (int i = 0; i < COUNT; i++)
        PyBytes_FromString("lost bytes");
}

LOSE lose_list(void)
{
    for (int i = 0; i < COUNT; i++)
        PyList_New(0);
}

LOSE lose_dict(void)
{
    for (int i = 0; i < COUNT; i++)
        PyDict_New();
}

LOSE lose_exception(void)
{
    for (int i = 0; i < COUNT; i++)
        PyObject_CallFunction(PyExc_ValueError, "s", "lost");
}

LOSE lose_code(void)
{
    for (int i = 0; i < COUNT; i++)
        PyCode_NewEmpty("lost.c", "lost", 1);
}

LOSE lose_module(void)
{
    for (int i = 0; i < COUNT; i++)
        PyModule_New("lost");
}

LOSE lose_method(PyObject *function)
{
    for (int i = 0; i < COUNT; i++)
        PyMethod_New(function, PyExc_ValueError);
}

/* The exporter stays locked, and alive. */
LOSE lose_buffer(void)
{
    for (int i = 0; i < COUNT; i++) {
        struct buffer buffer;
        PyObject *array = PyByteArray_FromStringAndSize("lost", 4);
        PyObject_GetBuffer(array, &buffer, 0);
        Py_DecRef(array);
    }
}

static void free_object(PyObject *object)
{
    PyObject *type = object->type;
    PyObject_Free(object);
    Py_DecRef(type);
}

static struct slot plain_slots[] = {{SLOT_DEALLOC, free_object}, {0, NULL}};

LOSE lose_type(void)
{
    struct spec spec = {"lost.Type", sizeof(struct object), 0, 0, plain_slots};
    for (int i = 0; i < COUNT; i++)
        PyType_FromSpec(&spec);
}

/* PyObject_New without PyObject_Del. */
LOSE lose_object(void)
{
    struct spec spec = {"lost.Object", sizeof(struct object), 0, 0, plain_slots};
    PyObject *type = PyType_FromSpec(&spec);
    for (int i = 0; i < COUNT; i++)
        _PyObject_New(type);
    Py_DecRef(type);
}

/* ---- memory ---- */

/* Cleared, so that what was in it before points to none of the others. */
LOSE lose_mem(void)
{
    for (int i = 0; i < COUNT; i++)
        memset(PyMem_Malloc(40), 0, 40);
}

LOSE lose_raw(void)
{
    for (int i = 0; i < COUNT; i++)
        memset(PyMem_RawMalloc(40), 0, 40);
}

LOSE lose_capsule(void)
{
    for (int i = 0; i < COUNT; i++)
        Py_DecRef(PyCapsule_New(calloc(1, 40), NULL, NULL));
}

/* Nobody frees what is in it. */
__attribute__((noinline, noclone, visibility("default"))) PyObject *make_capsule(void)
{
    return PyCapsule_New(calloc(1, 48), NULL, NULL);
}

/* ---- still pointed at ---- */

PyObject *kept[COUNT], *held[COUNT];

LOSE keep_too_many(void)
{
    for (int i = 0; i < COUNT; i++) {
        kept[i] = PyUnicode_FromFormat("kept string %d", i);
        Py_IncRef(kept[i]);
        Py_IncRef(kept[i]);
    }
}

LOSE keep_rightly(void)
{
    for (int i = 0; i < COUNT; i++)
        held[i] = PyUnicode_FromFormat("held string %d", i);
}

/* ---- cycles that the collector does not see ---- */

struct holder {
    struct object object;
    PyObject *other;
};

static int traverse_nothing(PyObject *self, visitor visit, void *argument)
{
    (void)self;
    (void)visit;
    (void)argument;
    return 0;
}

static int clear_holder(PyObject *self)
{
    PyObject *other = ((struct holder *)self)->other;
    ((struct holder *)self)->other = NULL;
    Py_DecRef(other);
    return 0;
}

static void free_holder(PyObject *self)
{
    PyObject *type = self->type;
    clear_holder(self);
    PyObject_GC_Del(self);
    Py_DecRef(type);
}

static void free_plain_holder(PyObject *self)
{
    PyObject *type = self->type;
    clear_holder(self);
    PyObject_Free(self);
    Py_DecRef(type);
}

/* tp_traverse leaves out what the object holds. */
LOSE lose_in_blind_cycles(void)
{
    struct slot slots[] = {
        {SLOT_DEALLOC, free_holder}, {SLOT_TRAVERSE, traverse_nothing}, {SLOT_CLEAR, clear_holder}, {0, NULL}};
    struct spec spec = {"lost.Blind", sizeof(struct holder), 0, FLAG_GC, slots};
    PyObject *type = PyType_FromSpec(&spec);
    for (int i = 0; i < COUNT; i++) {
        PyObject *list = PyList_New(0);
        struct holder *holder = (struct holder *)_PyObject_GC_New(type);
        holder->other = list;
        PyList_Append(list, (PyObject *)holder);
        PyObject_GC_Track(holder);
        Py_DecRef((PyObject *)holder);
    }
    Py_DecRef(type);
}

/* The type takes no part in collection at all. */
LOSE lose_in_plain_cycles(void)
{
    struct slot slots[] = {{SLOT_DEALLOC, free_plain_holder}, {0, NULL}};
    struct spec spec = {"lost.Plain", sizeof(struct holder), 0, 0, slots};
    PyObject *type = PyType_FromSpec(&spec);
    for (int i = 0; i < COUNT; i++) {
        PyObject *list = PyList_New(0);
        struct holder *holder = (struct holder *)_PyObject_New(type);
        holder->other = list;
        PyList_Append(list, (PyObject *)holder);
        Py_DecRef((PyObject *)holder);
    }
    Py_DecRef(type);
}
