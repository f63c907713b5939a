/* SPDX-License-Identifier: MIT */
#include "py_buffer.h"

#include <string.h>

#define SLOTS_MAX 24
#define TP_AS_BUFFER 160 /* offset in PyTypeObject of 3.8, on 64 bits */

/* "3.8.18 (...": the minor version. */
static long minor_version(void)
{
    const char *dot = strchr(Py_GetVersion(), '.');
    return dot ? strtol(dot + 1, NULL, 10) : 0;
}

/* In 3.8 the type has its PyBufferProcs (two pointers) inside, and no way to it but the pointer. */
static int set_in_type(PyObject *type, py_get_buffer get, py_release_buffer release)
{
    struct procs {
        py_get_buffer get;
        py_release_buffer release;
    } * procs;

    if (sizeof(void *) != 8) {
        PyErr_SetString(PyExc_SystemError, "no buffer protocol in this build of Python 3.8");
        return -1;
    }
    memcpy(&procs, (const char *)type + TP_AS_BUFFER, sizeof(procs));
    if (!procs) {
        PyErr_SetString(PyExc_SystemError, "the type has no room for the buffer protocol");
        return -1;
    }
    procs->get = get;
    procs->release = release;
    return 0;
}

PyObject *py_buffer_type(PyType_Spec *spec, py_get_buffer get, py_release_buffer release)
{
    PyType_Slot slots[SLOTS_MAX];
    PyType_Spec full = *spec;
    int count = 0, is_old = minor_version() < 9;

    while (spec->slots[count].slot && count < SLOTS_MAX - 3) {
        slots[count] = spec->slots[count];
        count++;
    }
    if (!is_old) {
        slots[count++] = (PyType_Slot){PY_SLOT_GET_BUFFER, (void *)get};
        slots[count++] = (PyType_Slot){PY_SLOT_RELEASE_BUFFER, (void *)release};
    }
    slots[count] = (PyType_Slot){0, NULL};
    full.slots = slots;
    PyObject *type = PyType_FromSpec(&full);
    if (type && is_old && set_in_type(type, get, release) < 0) {
        Py_DECREF(type);
        return NULL;
    }
    return type;
}
