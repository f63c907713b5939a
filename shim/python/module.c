/* SPDX-License-Identifier: MIT
 *
 * The extension module memshim._memshim: what the package memshim is made of. Everything works without the shim; what only it
 * can tell is then zero, and `loaded` is False. */
#include "module.h"

#include "memshim/memshim.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static struct module_state state;

struct module_state *module_state(void)
{
    return &state;
}

PyObject *module_error(PyObject *exception, const char *what, int error)
{
    return PyErr_Format(module_exception(exception), "%s: %s", what, strerror(-error));
}

void *module_shim(const char *name)
{
    return memshim_is_loaded() ? dlsym(RTLD_DEFAULT, name) : NULL;
}

PyObject *module_exception(PyObject *exception)
{
    return exception ? exception : PyExc_RuntimeError;
}

PyObject *module_object(PyObject *type)
{
    if (!type) {
        PyErr_SetString(PyExc_RuntimeError, "the interpreter is about to end");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_alloc);
    return allocate((PyTypeObject *)type, 0);
}

int module_keep_type(PyObject *module, PyObject *type, const char *name)
{
    Py_INCREF(type);
    if (PyModule_AddObject(module, name, type) == 0)
        return 0;
    Py_DECREF(type);
    return -1;
}

PyObject *module_add_type(PyObject *module, PyType_Spec *spec, const char *name)
{
    PyObject *type = PyType_FromSpec(spec);

    if (type && module_keep_type(module, type, name) == 0)
        return type;
    Py_XDECREF(type);
    return NULL;
}

PyDoc_STRVAR(kinds_doc, "_set_kinds(enum)\n\nThe enum whose members alloc_type() returns.");

static PyObject *py_set_kinds(PyObject *module, PyObject *kinds)
{
    (void)module;
    Py_INCREF(kinds);
    Py_XDECREF(state.kinds);
    state.kinds = kinds;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(caches_doc, "_set_caches(function)\n\nThe function that lists the library's caches for scopes.");

static PyObject *py_set_caches(PyObject *module, PyObject *function)
{
    (void)module;
    Py_INCREF(function);
    Py_XDECREF(state.caches);
    state.caches = function;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_set_caches", py_set_caches, METH_O, caches_doc},
    {"_set_kinds", py_set_kinds, METH_O, kinds_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- the module ---- */

static int add_exception(PyObject *module, const char *name, const char *full, const char *doc, PyObject *base,
                         PyObject **ret)
{
    *ret = PyErr_NewExceptionWithDoc(full, doc, base, NULL);
    if (!*ret)
        return -1;
    Py_INCREF(*ret);
    if (PyModule_AddObject(module, name, *ret) < 0) {
        Py_DECREF(*ret);
        return -1;
    }
    return 0;
}

static int add_exceptions(PyObject *module)
{
    if (add_exception(module, "PoolError", "memshim.PoolError", "An operation of a memory pool failed.",
                      PyExc_RuntimeError, &state.pool_error) < 0 ||
        add_exception(module, "PoolCreateFail", "memshim.PoolCreateFail", "A memory pool could not be made.",
                      state.pool_error, &state.create_error) < 0 ||
        add_exception(module, "PoolAttachFail", "memshim.PoolAttachFail", "A memory pool could not be attached to.",
                      state.pool_error, &state.attach_error) < 0)
        return -1;
    return add_exception(module, "LeakError", "memshim.LeakError", "A piece of a program left memory allocated.",
                         PyExc_AssertionError, &state.leak_error);
}

static int add_facts(PyObject *module)
{
    int loaded = memshim_is_loaded();
    PyObject *flag = PyBool_FromLong(loaded);

    if (!flag || PyModule_AddObject(module, "loaded", flag) < 0) {
        Py_XDECREF(flag);
        return -1;
    }
    return PyModule_AddStringConstant(module, "version", loaded ? memshim_version() : MEMSHIM_VERSION) < 0 ||
                   PyModule_AddStringConstant(module, "_program", MEMSHIM_PROGRAM) < 0
               ? -1
               : 0;
}

/* At the end of the interpreter. What is called after that finds exceptions, and no types. */
static void module_free(void *module)
{
    PyObject **references[] = {&state.pool_error,       &state.create_error, &state.attach_error,
                               &state.leak_error,       &state.pool_type,    &state.allocation_type,
                               &state.allocations_type, &state.kinds,        &state.caches};

    (void)module;
    for (size_t i = 0; i < ARRAY_SIZE(references); i++)
        Py_CLEAR(*references[i]);
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_memshim", .m_doc = "The C part of the package memshim.",
    .m_size = -1,          .m_methods = methods, .m_free = module_free,
};

_exported_ PyObject *PyInit__memshim(void);

PyMODINIT_FUNC PyInit__memshim(void)
{
    PyObject *module = PyModule_Create(&definition);

    if (module && (add_exceptions(module) < 0 || add_facts(module) < 0 || module_add_process(module) < 0 ||
                   module_add_handles(module) < 0 || module_add_pools(module) < 0 || module_add_scopes(module) < 0 ||
                   module_add_buffers(module) < 0 || module_add_labels(module) < 0)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
