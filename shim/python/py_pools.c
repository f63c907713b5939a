/* SPDX-License-Identifier: MIT
 *
 * MemoryPool: shared pools in Python. The stack of an allocation must be read while the interpreter's lock is held, so blocking
 * calls allocate with it and wait without it. */
#include "py_pools.h"

#include "pool_use.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

static PyObject *fail(const char *what, int error)
{
    const char *text = NULL;

    switch (error) {
    case -EIDRM:
        text = "the pool was destroyed by another process";
        break;
    case -ENOENT:
        text = "there is no such allocation";
        break;
    case -ENOMEM:
        text = "there is no free piece of that size in the pool";
        break;
    case -E2BIG:
        text = "the pool is smaller than that";
        break;
    case -EEXIST:
        text = "there is an allocation with that type and id";
        break;
    case -ETIMEDOUT:
        text = "no memory became free in time";
        break;
    default:
        return module_error(module_state()->pool_error, what, error);
    }
    return PyErr_Format(module_exception(module_state()->pool_error), "%s: %s", what, text);
}

/* The pool of an object that is attached, or NULL with PoolError set. */
static memshim_pool *pool_of(struct py_pool *self)
{
    if (!self->pool)
        PyErr_SetString(module_exception(module_state()->pool_error),
                        "the pool was detached or destroyed, or never made");
    return self->pool;
}

/* ---- a pool's life ---- */

static int pool_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"size", "fname", "uid", "mattr", NULL};
    struct py_pool *self = (struct py_pool *)object;
    long long size;
    unsigned long long uid;
    const char *name;
    PyObject *attributes = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "LsK|O:MemoryPool", names, &size, &name, &uid, &attributes))
        return -1;
    if (self->pool) {
        PyErr_SetString(module_exception(module_state()->create_error), "the pool was made before");
        return -1;
    }
    int result = size <= 0 ? -EINVAL : memshim_pool_create((uint64_t)size, name, uid, &self->pool);
    if (!result)
        return 0;
    self->pool = NULL;
    module_error(module_state()->create_error, "MemoryPool", result);
    return -1;
}

/* A pool that is neither detached nor destroyed stays attached, for the report: the program has forgotten it. */
static void pool_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    Py_XDECREF(((struct py_pool *)object)->serialized);
    release(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    attach_doc,
    "attach(pool_serialized)\n\nAttach to the pool that serialize() described, maybe in another process. It is to\n"
    "be detached. PoolAttachFail: there is none, or the bytes are damaged.");

static PyObject *pool_attach(PyObject *unused, PyObject *serialized)
{
    char *bytes;
    Py_ssize_t length;
    memshim_pool *pool;

    (void)unused;
    if (!PyBytes_Check(serialized)) {
        PyErr_SetString(PyExc_TypeError, "a bytes object is wanted");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(serialized, &bytes, &length) < 0)
        return NULL;
    int result = memshim_pool_attach(bytes, (size_t)length, &pool);
    if (result)
        return module_error(module_state()->attach_error, "MemoryPool.attach", result);
    struct py_pool *self = (struct py_pool *)module_object(module_state()->pool_type);
    if (!self) {
        memshim_pool_detach(pool);
        return NULL;
    }
    self->pool = pool;
    Py_INCREF(serialized);
    self->serialized = serialized;
    return (PyObject *)self;
}

PyDoc_STRVAR(serialize_doc, "serialize() -> bytes\n\nThe pool as bytes, for MemoryPool.attach in another process.");

static PyObject *pool_serialize(PyObject *object, PyObject *unused)
{
    struct py_pool *self = (struct py_pool *)object;
    uint8_t bytes[MEMSHIM_POOL_SERIALIZED];

    (void)unused;
    if (!self->serialized) {
        int result = pool_of(self) ? memshim_pool_serialize(self->pool, bytes) : 1;
        if (result)
            return result > 0 ? NULL : fail("serialize", result);
        self->serialized = PyBytes_FromStringAndSize((const char *)bytes, sizeof(bytes));
    }
    Py_XINCREF(self->serialized);
    return self->serialized;
}

PyDoc_STRVAR(destroy_doc, "destroy()\n\nRemove the pool, for all. What is still allocated in it is reported.");

static PyObject *pool_destroy(PyObject *object, PyObject *unused)
{
    struct py_pool *self = (struct py_pool *)object;
    memshim_pool *pool = pool_of(self);

    (void)unused;
    if (!pool)
        return NULL;
    int result = memshim_pool_destroy(pool);
    if (result && result != -EIDRM)
        return fail("destroy", result);
    if (result == -EIDRM) /* somebody else did: what is left here is the use of it */
        memshim_pool_detach(pool);
    self->pool = NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    detach_doc,
    "detach(serialize=False)\n\nEnd this use of the pool, which stays. With serialize=True, serialize() still answers\n"
    "afterwards. Views of its memory stay valid as long as they live.");

static PyObject *pool_detach(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"serialize", NULL};
    struct py_pool *self = (struct py_pool *)object;
    int serialize = 0;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|p:detach", names, &serialize) || !pool_of(self))
        return NULL;
    if (serialize) {
        PyObject *bytes = pool_serialize(object, NULL);
        if (!bytes)
            return NULL;
        Py_DECREF(bytes);
    }
    int result = memshim_pool_detach(self->pool);
    if (result)
        return fail("detach", result);
    self->pool = NULL;
    Py_RETURN_NONE;
}

/* ---- allocations ---- */

/* What alloc and alloc_blocking take. */
struct request {
    long long size;
    unsigned type;
    unsigned long long id;
};

static int check_size(const char *what, long long size)
{
    if (size > 0)
        return 0;
    PyErr_Format(module_exception(module_state()->pool_error), "%s: size must be 1 or more", what);
    return -1;
}

static PyObject *allocate(struct py_pool *self, const struct request *request, const char *what, int *ret_result)
{
    struct memshim_allocation allocation;

    *ret_result = memshim_pool_alloc(self->pool, (uint64_t)request->size, request->type, request->id, &allocation);
    return *ret_result ? fail(what, *ret_result) : py_allocation_new(self, &allocation);
}

PyDoc_STRVAR(alloc_doc, "alloc(size, alloc_type=AllocType.DATA, alloc_id=0) -> MemoryAlloc\n\nAllocate `size` bytes. "
                        "alloc_id 0 draws an id\n"
                        "that is unique for its type. PoolError: there is no room.");

static PyObject *pool_alloc(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"size", "alloc_type", "alloc_id", NULL};
    struct py_pool *self = (struct py_pool *)object;
    struct request request = {.type = MEMSHIM_POOL_DATA};
    int result;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "L|IK:alloc", names, &request.size, &request.type, &request.id) ||
        !pool_of(self) || check_size("alloc", request.size) < 0)
        return NULL;
    return allocate(self, &request, "alloc", &result);
}

/* None: without end; otherwise seconds, in nanoseconds. */
static int to_timeout(PyObject *object, void *ret)
{
    int64_t *timeout = ret;

    *timeout = MEMSHIM_POOL_FOREVER;
    if (object == Py_None)
        return 1;
    double seconds = PyFloat_AsDouble(object);
    if (seconds == -1.0 && PyErr_Occurred())
        return 0;
    if (!(seconds >= 0)) {
        PyErr_SetString(PyExc_ValueError, "timeout must not be negative");
        return 0;
    }
    *timeout = seconds > 9e9 ? INT64_MAX : (int64_t)(seconds * 1e9);
    return 1;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Waits a little, without the interpreter's lock, and lets signal handlers run. Returns 0, or -1 with an exception set. */
static int wait_a_little(memshim_pool *pool, uint32_t freed, int64_t left)
{
    int result;

    Py_BEGIN_ALLOW_THREADS result = pool_wait_freed(pool, freed, left);
    Py_END_ALLOW_THREADS if (result == -EBADF)
    {
        fail("alloc_blocking", result);
        return -1;
    }
    return PyErr_CheckSignals();
}

static PyObject *allocate_until(struct py_pool *self, const struct request *request, int64_t deadline)
{
    memshim_pool *pool = self->pool;

    for (;;) {
        uint32_t freed = pool_freed(pool);
        int64_t left = deadline < 0 ? -1 : MAX(deadline - now(), (int64_t)0);
        int result;
        PyObject *allocation = allocate(self, request, "alloc_blocking", &result);
        if (allocation || result != -ENOMEM)
            return allocation;
        PyErr_Clear();
        if (left == 0)
            return fail("alloc_blocking", -ETIMEDOUT);
        if (wait_a_little(pool, freed, left) < 0)
            return NULL;
        if (self->pool != pool)
            return pool_of(self) ? fail("alloc_blocking", -EBADF) : NULL;
    }
}

PyDoc_STRVAR(alloc_blocking_doc,
             "alloc_blocking(size, timeout=None, alloc_type=AllocType.DATA, alloc_id=0) -> MemoryAlloc\n\n"
             "The same, but wait up to `timeout` seconds (None: without end) for memory.");

static PyObject *pool_alloc_blocking(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"size", "timeout", "alloc_type", "alloc_id", NULL};
    struct py_pool *self = (struct py_pool *)object;
    struct request request = {.type = MEMSHIM_POOL_DATA};
    int64_t timeout = MEMSHIM_POOL_FOREVER, deadline = -1;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "L|O&IK:alloc_blocking", names, &request.size, to_timeout,
                                     &timeout, &request.type, &request.id) ||
        !pool_of(self) || check_size("alloc_blocking", request.size) < 0)
        return NULL;
    if (timeout >= 0 && __builtin_add_overflow(now(), timeout, &deadline))
        deadline = INT64_MAX;
    return allocate_until(self, &request, deadline);
}

PyDoc_STRVAR(free_doc,
             "free(mem_obj)\n\nFree an allocation of this pool, whoever made it. RuntimeError: it was freed before.");

static PyObject *pool_free(PyObject *object, PyObject *argument)
{
    struct py_pool *self = (struct py_pool *)object;
    struct py_allocation *allocation = (struct py_allocation *)argument;

    if (!module_state()->allocation_type ||
        !PyObject_TypeCheck(argument, (PyTypeObject *)module_state()->allocation_type)) {
        PyErr_SetString(PyExc_TypeError, "a MemoryAlloc is wanted");
        return NULL;
    }
    if (!pool_of(self))
        return NULL;
    if (allocation->owner != self && allocation->owner && pool_of(allocation->owner)) {
        struct memshim_allocation found;
        /* two objects may stand for one pool */
        if (memshim_pool_find(self->pool, allocation->allocation.type, allocation->allocation.id, &found) ||
            found.serial != allocation->allocation.serial) {
            PyErr_SetString(PyExc_RuntimeError, "free: the allocation is not of this pool");
            return NULL;
        }
    }
    int result = memshim_pool_free(self->pool, &allocation->allocation);
    if (result)
        return module_error(PyExc_RuntimeError, "free", result);
    allocation->gone = 1;
    Py_RETURN_NONE;
}

/* ---- the manifest ---- */

PyDoc_STRVAR(get_allocations_doc,
             "get_allocations() -> MemoryAllocations\n\nAll allocations there are now, whoever made them.");

static PyObject *pool_get_allocations(PyObject *object, PyObject *unused)
{
    (void)unused;
    memshim_pool *pool = pool_of((struct py_pool *)object);
    return pool ? py_allocations_new(pool) : NULL;
}

static int parse_name(PyObject *args, PyObject *keywords, const char *format, unsigned *type, unsigned long long *id)
{
    static char *names[] = {"alloc_type", "alloc_id", NULL};
    return PyArg_ParseTupleAndKeywords(args, keywords, format, names, type, id);
}

PyDoc_STRVAR(exists_doc, "allocation_exists(alloc_type, alloc_id) -> bool");

static PyObject *pool_exists(PyObject *object, PyObject *args, PyObject *keywords)
{
    struct py_pool *self = (struct py_pool *)object;
    unsigned type;
    unsigned long long id;

    if (!parse_name(args, keywords, "IK:allocation_exists", &type, &id) || !pool_of(self))
        return NULL;
    int result = memshim_pool_exists(self->pool, type, id);
    return result < 0 ? fail("allocation_exists", result) : PyBool_FromLong(result);
}

PyDoc_STRVAR(find_doc,
             "get_alloc_by_id(alloc_type, alloc_id) -> MemoryAlloc\n\nPoolError: there is no such allocation.");

static PyObject *pool_find(PyObject *object, PyObject *args, PyObject *keywords)
{
    struct py_pool *self = (struct py_pool *)object;
    struct memshim_allocation allocation;
    unsigned type;
    unsigned long long id;

    if (!parse_name(args, keywords, "IK:get_alloc_by_id", &type, &id) || !pool_of(self))
        return NULL;
    int result = memshim_pool_find(self->pool, type, id, &allocation);
    return result ? fail("get_alloc_by_id", result) : py_allocation_new(self, &allocation);
}

PyDoc_STRVAR(stats_doc, "stats() -> dict\n\nsize, used, largest_free (bytes), allocations, attachments, recoveries.");

static PyObject *pool_stats(PyObject *object, PyObject *unused)
{
    struct py_pool *self = (struct py_pool *)object;
    struct memshim_pool_stats stats;

    (void)unused;
    if (!pool_of(self))
        return NULL;
    int result = memshim_pool_stats(self->pool, &stats);
    if (result)
        return fail("stats", result);
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:I,s:I}", "size", (unsigned long long)stats.size, "used",
                         (unsigned long long)stats.used, "largest_free", (unsigned long long)stats.largest_free,
                         "allocations", (unsigned long long)stats.allocations, "attachments", stats.attachments,
                         "recoveries", stats.recoveries);
}

#define METHOD(name, function, doc) \
    { \
        name, (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS, doc \
    }

static PyMethodDef methods[] = {
    {"attach", pool_attach, METH_O | METH_STATIC, attach_doc},
    {"serialize", pool_serialize, METH_NOARGS, serialize_doc},
    {"destroy", pool_destroy, METH_NOARGS, destroy_doc},
    METHOD("detach", pool_detach, detach_doc),
    METHOD("alloc", pool_alloc, alloc_doc),
    METHOD("alloc_blocking", pool_alloc_blocking, alloc_blocking_doc),
    {"free", pool_free, METH_O, free_doc},
    {"get_allocations", pool_get_allocations, METH_NOARGS, get_allocations_doc},
    METHOD("allocation_exists", pool_exists, exists_doc),
    METHOD("get_alloc_by_id", pool_find, find_doc),
    {"stats", pool_stats, METH_NOARGS, stats_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(pool_doc, "MemoryPool(size, fname, uid, mattr=None)\n\nMake a pool of `size` bytes in shared memory "
                       "called `fname`. It is to be\n"
                       "destroyed (for all) or detached (for this process). PoolCreateFail: it cannot be made.");

int module_add_pools(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)pool_doc},
        {Py_tp_init, (void *)pool_init},
        {Py_tp_dealloc, (void *)pool_dealloc},
        {Py_tp_new, (void *)PyType_GenericNew},
        {Py_tp_methods, methods},
        {0, NULL},
    };
    static PyType_Spec spec = {.name = "memshim.MemoryPool",
                               .basicsize = sizeof(struct py_pool),
                               .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                               .slots = slots};

    module_state()->pool_type = module_add_type(module, &spec, "MemoryPool");
    return module_state()->pool_type ? module_add_allocations(module) : -1;
}
