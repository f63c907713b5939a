/* SPDX-License-Identifier: MIT
 *
 * MemoryAlloc and MemoryAllocations: allocations of a pool in Python. Views of an allocation are its shared memory itself; each of
 * them holds the mapping, so that none can outlive it. */
#include "py_buffer.h"
#include "py_pools.h"

#include "pool_use.h"

#include <errno.h>

/* ---- MemoryAlloc ---- */

memshim_pool *py_allocation_pool(struct py_allocation *self)
{
    memshim_pool *pool = self->owner ? self->owner->pool : self->pool;

    if (self->gone)
        PyErr_SetString(PyExc_RuntimeError, "the allocation was detached or freed");
    else if (!pool)
        PyErr_SetString(PyExc_RuntimeError, "the pool of the allocation was detached or destroyed");
    return self->gone ? NULL : pool;
}

static struct py_allocation *new_object(const struct memshim_allocation *allocation)
{
    struct py_allocation *self = (struct py_allocation *)module_object(module_state()->allocation_type);

    if (self) {
        self->allocation = *allocation;
        self->size = (Py_ssize_t)allocation->size;
        self->stride = 1;
    }
    return self;
}

PyObject *py_allocation_new(struct py_pool *owner, const struct memshim_allocation *allocation)
{
    struct py_allocation *self = new_object(allocation);

    if (self) {
        Py_INCREF((PyObject *)owner);
        self->owner = owner;
    }
    return (PyObject *)self;
}

/* One that was attached and not detached stays so, for the report. */
static void allocation_dealloc(PyObject *object)
{
    struct py_allocation *self = (struct py_allocation *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    Py_XDECREF((PyObject *)self->owner);
    release(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(attach_doc, "attach(serialized_bytes)\n\nAttach to an allocation that serialize() described, maybe in "
                         "another process. It is to be\n"
                         "detached. RuntimeError: there is none (any more), or the bytes are damaged.");

static PyObject *allocation_attach(PyObject *unused, PyObject *serialized)
{
    struct memshim_allocation allocation;
    memshim_pool *pool;
    char *bytes;
    Py_ssize_t length;

    (void)unused;
    if (!PyBytes_Check(serialized)) {
        PyErr_SetString(PyExc_TypeError, "a bytes object is wanted");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(serialized, &bytes, &length) < 0)
        return NULL;
    int result = memshim_allocation_attach(bytes, (size_t)length, &pool, &allocation);
    if (result)
        return module_error(PyExc_RuntimeError, "MemoryAlloc.attach", result);
    struct py_allocation *self = new_object(&allocation);
    if (self)
        self->pool = pool;
    else
        memshim_pool_detach(pool);
    return (PyObject *)self;
}

PyDoc_STRVAR(detach_doc,
             "detach()\n\nEnd this use of the allocation, which stays. Views of it stay valid as long as they live.");

static PyObject *allocation_detach(PyObject *object, PyObject *unused)
{
    struct py_allocation *self = (struct py_allocation *)object;

    (void)unused;
    if (self->pool) {
        int result = memshim_pool_detach(self->pool);
        if (result)
            return module_error(PyExc_RuntimeError, "detach", result);
        self->pool = NULL;
    } else if (self->gone) {
        PyErr_SetString(PyExc_RuntimeError, "the allocation was detached or freed");
        return NULL;
    }
    self->gone = 1;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(serialize_doc,
             "serialize() -> bytes\n\nThe allocation as bytes, for MemoryAlloc.attach in another process.");

static PyObject *allocation_serialize(PyObject *object, PyObject *unused)
{
    struct py_allocation *self = (struct py_allocation *)object;
    uint8_t bytes[MEMSHIM_ALLOCATION_SERIALIZED];
    memshim_pool *pool = py_allocation_pool(self);

    (void)unused;
    if (!pool)
        return NULL;
    int result = memshim_allocation_serialize(pool, &self->allocation, bytes);
    return result ? module_error(PyExc_RuntimeError, "serialize", result)
                  : PyBytes_FromStringAndSize((const char *)bytes, sizeof(bytes));
}

PyDoc_STRVAR(memview_doc,
             "get_memview() -> memoryview\n\nThe memory itself: what is written is seen by all processes.");

static PyObject *allocation_memview(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyMemoryView_FromObject(object);
}

/* ---- the buffer protocol ---- */

/* PyMemoryView_FromObject and its like let through what is set here: RuntimeError. */
static int get_buffer(PyObject *object, struct py_buffer *view, int flags)
{
    struct py_allocation *self = (struct py_allocation *)object;
    memshim_pool *pool = py_allocation_pool(self);
    struct pool_mapping *mapping = pool ? pool_use_mapping(pool) : NULL;
    void *p = NULL;

    view->obj = NULL;
    if (pool && !mapping)
        PyErr_SetString(PyExc_RuntimeError, "the pool of the allocation is not attached");
    int result = mapping ? memshim_pool_memory(pool, &self->allocation, &p) : 1;
    if (result) {
        if (result < 0)
            module_error(PyExc_RuntimeError, "the allocation has no memory", result);
        if (mapping)
            pool_mapping_release(mapping);
        return -1;
    }
    Py_INCREF(object);
    *view = (struct py_buffer){
        .buf = p,
        .obj = object,
        .len = self->size,
        .itemsize = 1,
        .ndim = 1,
        .format = flags & PY_BUFFER_FORMAT ? (char *)(uintptr_t) "B" : NULL,
        .shape = flags & PY_BUFFER_ND ? &self->size : NULL,
        .strides = (flags & PY_BUFFER_STRIDES) == PY_BUFFER_STRIDES ? &self->stride : NULL,
        .internal = mapping,
    };
    return 0;
}

static void release_buffer(PyObject *object, struct py_buffer *view)
{
    (void)object;
    pool_mapping_release(view->internal);
}

/* ---- what it is ---- */

static PyObject *kind_object(uint32_t type)
{
    PyObject *kinds = module_state()->kinds;
    PyObject *kind = kinds ? PyObject_CallFunction(kinds, "I", type) : NULL;

    if (kind)
        return kind;
    PyErr_Clear(); /* a number of the program's own */
    return PyLong_FromUnsignedLong(type);
}

static PyObject *allocation_type_of(PyObject *object, void *unused)
{
    (void)unused;
    return kind_object(((struct py_allocation *)object)->allocation.type);
}

static PyObject *allocation_id(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct py_allocation *)object)->allocation.id);
}

static PyObject *allocation_size(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(((struct py_allocation *)object)->size);
}

static PyGetSetDef allocation_fields[] = {
    {"alloc_type", allocation_type_of, NULL, "Its type, an AllocType or a number.", NULL},
    {"alloc_id", allocation_id, NULL, "Its id, unique for its type in the pool.", NULL},
    {"size", allocation_size, NULL, "Its size in bytes.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef allocation_methods[] = {
    {"attach", allocation_attach, METH_O | METH_STATIC, attach_doc},
    {"detach", allocation_detach, METH_NOARGS, detach_doc},
    {"serialize", allocation_serialize, METH_NOARGS, serialize_doc},
    {"get_memview", allocation_memview, METH_NOARGS, memview_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- MemoryAllocations ---- */

struct py_allocations {
    PyObject_HEAD struct memshim_allocation *rows;
    Py_ssize_t count;
};

static void allocations_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    free(((struct py_allocations *)object)->rows);
    release(object);
    Py_DECREF(type);
}

/* Others may allocate between the two calls. */
static int list_all(memshim_pool *pool, struct memshim_allocation **ret, size_t *ret_count)
{
    struct memshim_allocation *rows = NULL, *larger;
    size_t count = 0;
    int result;

    while ((result = memshim_pool_allocations(pool, rows, &count)) == -ENOBUFS) {
        count += 16;
        larger = reallocarray(rows, count, sizeof(*rows));
        if (!larger) {
            result = -ENOMEM;
            break;
        }
        rows = larger;
    }
    if (result)
        free(rows);
    *ret = rows;
    *ret_count = count;
    return result;
}

PyObject *py_allocations_new(memshim_pool *pool)
{
    struct memshim_allocation *rows;
    size_t count;
    int result = list_all(pool, &rows, &count);

    if (result)
        return module_error(module_state()->pool_error, "get_allocations", result);
    struct py_allocations *self = (struct py_allocations *)module_object(module_state()->allocations_type);
    if (!self) {
        free(rows);
        return NULL;
    }
    self->rows = rows;
    self->count = (Py_ssize_t)count;
    return (PyObject *)self;
}

static const struct memshim_allocation *row_at(PyObject *object, PyObject *index)
{
    const struct py_allocations *self = (const struct py_allocations *)object;
    Py_ssize_t at = PyNumber_AsSsize_t(index, NULL); /* clipped to what a Py_ssize_t holds */

    if (at == -1 && PyErr_Occurred())
        return NULL;
    if (at < 0 || at >= self->count) {
        PyErr_SetString(PyExc_RuntimeError, "index out of bounds");
        return NULL;
    }
    return &self->rows[at];
}

PyDoc_STRVAR(alloc_type_doc, "alloc_type(idx) -> AllocType\n\nRuntimeError: index out of bounds.");

static PyObject *allocations_type(PyObject *object, PyObject *index)
{
    const struct memshim_allocation *row = row_at(object, index);
    return row ? kind_object(row->type) : NULL;
}

PyDoc_STRVAR(alloc_id_doc, "alloc_id(idx) -> int\n\nRuntimeError: index out of bounds.");

static PyObject *allocations_id(PyObject *object, PyObject *index)
{
    const struct memshim_allocation *row = row_at(object, index);
    return row ? PyLong_FromUnsignedLongLong(row->id) : NULL;
}

static PyObject *allocations_count(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(((struct py_allocations *)object)->count);
}

static Py_ssize_t allocations_length(PyObject *object)
{
    return ((struct py_allocations *)object)->count;
}

static PyGetSetDef allocations_fields[] = {
    {"num_allocs", allocations_count, NULL, "How many there are.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef allocations_methods[] = {
    {"alloc_type", allocations_type, METH_O, alloc_type_doc},
    {"alloc_id", allocations_id, METH_O, alloc_id_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- the types ---- */

/* Neither is made by calling its type: an object without its C part must not exist. */
static PyObject *no_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)type;
    (void)args;
    (void)keywords;
    PyErr_SetString(PyExc_TypeError, "made by a MemoryPool or by attach() only");
    return NULL;
}

static int add_allocation_type(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t) "An allocation in a MemoryPool. Supports the buffer protocol."},
        {Py_tp_dealloc, (void *)allocation_dealloc},
        {Py_tp_new, (void *)no_new},
        {Py_tp_methods, allocation_methods},
        {Py_tp_getset, allocation_fields},
        {0, NULL},
    };
    static PyType_Spec spec = {.name = "memshim.MemoryAlloc",
                               .basicsize = sizeof(struct py_allocation),
                               .flags = Py_TPFLAGS_DEFAULT,
                               .slots = slots};
    PyObject *type = py_buffer_type(&spec, get_buffer, release_buffer);

    module_state()->allocation_type = type;
    return type ? module_keep_type(module, type, "MemoryAlloc") : -1;
}

int module_add_allocations(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t) "The allocations that a MemoryPool had at one moment."},
        {Py_tp_dealloc, (void *)allocations_dealloc},
        {Py_tp_new, (void *)no_new},
        {Py_tp_methods, allocations_methods},
        {Py_tp_getset, allocations_fields},
        {Py_sq_length, (void *)allocations_length},
        {0, NULL},
    };
    static PyType_Spec spec = {.name = "memshim.MemoryAllocations",
                               .basicsize = sizeof(struct py_allocations),
                               .flags = Py_TPFLAGS_DEFAULT,
                               .slots = slots};

    module_state()->allocations_type = module_add_type(module, &spec, "MemoryAllocations");
    return module_state()->allocations_type ? add_allocation_type(module) : -1;
}
