/* SPDX-License-Identifier: MIT
 *
 * Memory handles in Python: the functions of memshim/handles.h, with exceptions for error codes. */
#include "memshim/handles.h"

#include "module.h"

#include <errno.h>

/* Arguments that are never valid are ValueErrors, what fails otherwise is a RuntimeError. */
static PyObject *fail(const char *what, int error)
{
    static const struct {
        int error;
        const char *text;
    } texts[] = {{-EINVAL, "the handle is null"},
                 {-ENOENT, "the handle was freed"},
                 {-EBADF, "there never was such a handle"},
                 {-EBUSY, "the handle is locked"},
                 {-EPERM, "the handle is not locked"}};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].error == error)
            return PyErr_Format(error == -EINVAL ? PyExc_ValueError : PyExc_RuntimeError, "%s: %s", what,
                                texts[i].text);
    return module_error(PyExc_RuntimeError, what, error);
}

static PyObject *fail_argument(const char *what, const char *text)
{
    return PyErr_Format(PyExc_ValueError, "%s: %s", what, text);
}

/* A handle as a number. Numbers that no handle ever is are passed on as such a one. */
static int to_handle(PyObject *object, void *ret)
{
    memshim_handle handle = PyLong_AsUnsignedLongLong(object);

    if (handle == (memshim_handle)-1 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return 0;
        PyErr_Clear();
        handle = UINT64_MAX;
    }
    *(memshim_handle *)ret = handle;
    return 1;
}

/* A size: what is beyond the numbers of C is taken as the largest of them. */
static int to_size(PyObject *object, void *ret)
{
    int overflow = 0;
    long long size = PyLong_AsLongLongAndOverflow(object, &overflow);

    if (size == -1 && PyErr_Occurred())
        return 0;
    *(int64_t *)ret = overflow > 0 ? INT64_MAX : overflow < 0 ? INT64_MIN : size;
    return 1;
}

PyDoc_STRVAR(new_doc,
             "AEGP_NewMemHandle(what, size, flags=0) -> int\n\n"
             "Make a block of `size` bytes and return its handle. `what` names it in reports. ValueError: the\n"
             "size is below 1; RuntimeError: there is no memory.");

static PyObject *py_new(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"what", "size", "flags", NULL};
    const char *what;
    int64_t size;
    unsigned flags = 0;
    memshim_handle handle;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "sO&|I:AEGP_NewMemHandle", names, &what, to_size, &size, &flags))
        return NULL;
    int result = memshim_handle_new(what, size, flags, &handle);
    if (result == -EINVAL)
        return fail_argument("AEGP_NewMemHandle", size <= 0 ? "size must be 1 or more" : "unknown flags");
    return result ? fail("AEGP_NewMemHandle", result) : PyLong_FromUnsignedLongLong(handle);
}

/* The functions that take a handle alone. */
static int parse_handle(PyObject *args, PyObject *keywords, const char *function, memshim_handle *ret)
{
    static char *names[] = {"memH", NULL};
    char format[64];

    snprintf(format, sizeof(format), "O&:%s", function);
    if (!PyArg_ParseTupleAndKeywords(args, keywords, format, names, to_handle, ret))
        return -1;
    return 0;
}

PyDoc_STRVAR(free_doc,
             "AEGP_FreeMemHandle(memH)\n\nFree the block of a handle, which is not valid any more. ValueError: the\n"
             "handle is 0; RuntimeError: it was freed, is locked, or is none.");

static PyObject *py_free(PyObject *module, PyObject *args, PyObject *keywords)
{
    memshim_handle handle;

    (void)module;
    if (parse_handle(args, keywords, "AEGP_FreeMemHandle", &handle) < 0)
        return NULL;
    int result = memshim_handle_free(handle);
    if (result)
        return fail("AEGP_FreeMemHandle", result);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(lock_doc,
             "AEGP_LockMemHandle(memH) -> int\n\nLock a handle and return the address of its block, valid up to the\n"
             "matching AEGP_UnlockMemHandle. Locks nest.");

static PyObject *py_lock(PyObject *module, PyObject *args, PyObject *keywords)
{
    memshim_handle handle;
    void *p;

    (void)module;
    if (parse_handle(args, keywords, "AEGP_LockMemHandle", &handle) < 0)
        return NULL;
    int result = memshim_handle_lock(handle, &p);
    return result ? fail("AEGP_LockMemHandle", result) : PyLong_FromVoidPtr(p);
}

PyDoc_STRVAR(unlock_doc, "AEGP_UnlockMemHandle(memH)\n\nRelease one lock. RuntimeError: the handle is not locked.");

static PyObject *py_unlock(PyObject *module, PyObject *args, PyObject *keywords)
{
    memshim_handle handle;

    (void)module;
    if (parse_handle(args, keywords, "AEGP_UnlockMemHandle", &handle) < 0)
        return NULL;
    int result = memshim_handle_unlock(handle);
    if (result)
        return fail("AEGP_UnlockMemHandle", result);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(size_doc, "AEGP_GetMemHandleSize(memH) -> int\n\nThe size of the block in bytes.");

static PyObject *py_size(PyObject *module, PyObject *args, PyObject *keywords)
{
    memshim_handle handle;
    uint64_t size;

    (void)module;
    if (parse_handle(args, keywords, "AEGP_GetMemHandleSize", &handle) < 0)
        return NULL;
    int result = memshim_handle_size(handle, &size);
    return result ? fail("AEGP_GetMemHandleSize", result) : PyLong_FromUnsignedLongLong(size);
}

PyDoc_STRVAR(
    resize_doc,
    "AEGP_ResizeMemHandle(what, new_size, memH)\n\nMake the block `new_size` bytes (0 or more) long; it moves.\n"
    "ValueError: the size is negative or the handle is 0; RuntimeError: it is locked, freed, or none.");

static PyObject *py_resize(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"what", "new_size", "memH", NULL};
    const char *what;
    int64_t size;
    memshim_handle handle;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "sO&O&:AEGP_ResizeMemHandle", names, &what, to_size, &size,
                                     to_handle, &handle))
        return NULL;
    int result = memshim_handle_resize(what, size, handle);
    if (result == -EINVAL)
        return fail_argument("AEGP_ResizeMemHandle", handle ? "new_size must not be negative" : "the handle is null");
    if (result)
        return fail("AEGP_ResizeMemHandle", result);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(stats_doc, "AEGP_GetMemStats() -> dict\n\nhandle_count: handles not freed; total_size: their bytes.");

static PyObject *py_stats(PyObject *module, PyObject *unused)
{
    struct memshim_handle_stats stats;

    (void)module;
    (void)unused;
    int result = memshim_handle_stats(&stats);
    return result ? fail("AEGP_GetMemStats", result)
                  : Py_BuildValue("{s:K,s:K}", "handle_count", (unsigned long long)stats.handle_count, "total_size",
                                  (unsigned long long)stats.total_size);
}

PyDoc_STRVAR(reporting_doc,
             "AEGP_SetMemReportingOn(enable)\n\nTurn the reporting of handles on (as it is at the start) or off.");

static PyObject *py_reporting(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"enable", NULL};
    int on;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "p:AEGP_SetMemReportingOn", names, &on))
        return NULL;
    memshim_handle_reporting(on);
    Py_RETURN_NONE;
}

#define METHOD(name, function, doc) \
    { \
        name, (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS, doc \
    }

static PyMethodDef methods[] = {
    METHOD("AEGP_NewMemHandle", py_new, new_doc),
    METHOD("AEGP_FreeMemHandle", py_free, free_doc),
    METHOD("AEGP_LockMemHandle", py_lock, lock_doc),
    METHOD("AEGP_UnlockMemHandle", py_unlock, unlock_doc),
    METHOD("AEGP_GetMemHandleSize", py_size, size_doc),
    METHOD("AEGP_ResizeMemHandle", py_resize, resize_doc),
    METHOD("AEGP_SetMemReportingOn", py_reporting, reporting_doc),
    {"AEGP_GetMemStats", py_stats, METH_NOARGS, stats_doc},
    {NULL, NULL, 0, NULL},
};

int module_add_handles(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "AEGP_MemFlag_NONE", MEMSHIM_HANDLE_NONE) < 0 ||
        PyModule_AddIntConstant(module, "AEGP_MemFlag_CLEAR", MEMSHIM_HANDLE_CLEAR) < 0 ||
        PyModule_AddIntConstant(module, "AEGP_MemFlag_QUIET", MEMSHIM_HANDLE_QUIET) < 0)
        return -1;
    return PyModule_AddFunctions(module, methods);
}
