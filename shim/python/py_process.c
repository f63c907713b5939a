/* SPDX-License-Identifier: MIT
 *
 * What the shim can tell of the whole process: counts, marks, snapshots. Looked up by name, since the shim that is loaded may be
 * older than this module; what it lacks answers as if it were not loaded. */
#include "module.h"

#include "memshim/memshim.h"

#include <errno.h>

/* A number, or OSError for a negative errno. */
static PyObject *number_or_error(int result)
{
    if (result >= 0)
        return PyLong_FromLong(result);
    errno = -result;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyDoc_STRVAR(check_doc,
             "check() -> int\n\n"
             "With guard=1: look at the guard bytes of all blocks. Returns the number of errors that were not\n"
             "known before; 0 while memshim is not loaded.");

static PyObject *py_check(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(&memshim_check ? memshim_check() : 0);
}

PyDoc_STRVAR(mark_doc,
             "mark(name=None) -> int\n\n"
             "Count the live blocks of each stack, under a name: the report says which stacks keep more and more from\n"
             "one mark to the next. Returns the number of the mark; 0 while memshim is not loaded.");

static PyObject *py_mark(PyObject *module, PyObject *args)
{
    int (*mark)(const char *name);
    const char *name = NULL;

    (void)module;
    if (!PyArg_ParseTuple(args, "|z:mark", &name))
        return NULL;
    *(void **)&mark = module_shim("memshim_mark");
    return number_or_error(mark ? mark(name) : 0);
}

PyDoc_STRVAR(snapshot_doc,
             "snapshot(path=None) -> int\n\n"
             "Write a leak report of this process, which goes on, to a new file (None: beside the report at the end).\n"
             "Returns the number of the snapshot; 0 while memshim is not loaded. OSError: it cannot be written.");

static PyObject *py_snapshot(PyObject *module, PyObject *args)
{
    int (*snapshot)(const char *path);
    PyObject *path = NULL, *bytes = NULL;
    int result = 0;

    (void)module;
    if (!PyArg_ParseTuple(args, "|O:snapshot", &path) ||
        (path && path != Py_None && !PyUnicode_FSConverter(path, &bytes)))
        return NULL;
    *(void **)&snapshot = module_shim("memshim_snapshot");
    if (snapshot)
        result = snapshot(bytes ? PyBytes_AsString(bytes) : NULL);
    Py_XDECREF(bytes);
    return number_or_error(result);
}

PyDoc_STRVAR(
    recording_doc,
    "recording(on) -> bool\n\n"
    "Switch the recording of new blocks off or on. Blocks that are freed meanwhile are accounted for. Returns\n"
    "what was in force; False while memshim is not loaded.");

static PyObject *py_recording(PyObject *module, PyObject *args)
{
    int (*recording)(int on);
    int on;

    (void)module;
    if (!PyArg_ParseTuple(args, "p:recording", &on))
        return NULL;
    *(void **)&recording = module_shim("memshim_recording");
    int result = recording ? recording(on) : 0;
    return result < 0 ? number_or_error(result) : PyBool_FromLong(result);
}

/* As far as the shim knows this struct: it is told its size. */
struct counts {
    unsigned long long allocations, frees, allocated_bytes, freed_bytes, live_blocks, live_bytes, dropped, errors;
};

PyDoc_STRVAR(
    counts_doc,
    "_counts() -> dict\n\nWhat this process has allocated and freed, as far as it was recorded; {} where nothing is.");

static PyObject *py_counts(PyObject *module, PyObject *unused)
{
    int (*get_stats)(struct counts * counts, unsigned long size);
    struct counts counts = {0};

    (void)module;
    (void)unused;
    *(void **)&get_stats = module_shim("memshim_get_stats");
    if (!get_stats || get_stats(&counts, sizeof(counts)) < 0)
        return PyDict_New();
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "allocations", counts.allocations, "frees", counts.frees,
                         "allocated_bytes", counts.allocated_bytes, "freed_bytes", counts.freed_bytes, "live_blocks",
                         counts.live_blocks, "live_bytes", counts.live_bytes, "dropped", counts.dropped, "errors",
                         counts.errors);
}

static PyMethodDef methods[] = {
    {"check", py_check, METH_NOARGS, check_doc},           {"mark", py_mark, METH_VARARGS, mark_doc},
    {"snapshot", py_snapshot, METH_VARARGS, snapshot_doc}, {"recording", py_recording, METH_VARARGS, recording_doc},
    {"_counts", py_counts, METH_NOARGS, counts_doc},       {NULL, NULL, 0, NULL},
};

int module_add_process(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
