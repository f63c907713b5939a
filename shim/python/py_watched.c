/* SPDX-License-Identifier: MIT */
#include "py_watched.h"

#include "client_hooks.h"
#include "py_account.h"

#include <dlfcn.h>
#include <string.h>

#define TYPES_MAX 16
#define TP_DEALLOC 48   /* offset in PyTypeObject */
#define MANAGED_VIEW 32 /* offset of the Py_buffer in what memoryviews share */
#define PAGE 4096u

static struct watched {
    PyTypeObject *type;
    py_get_buffer original; /* NULL: the slot is as it was */
    char name[ACCOUNT_NAME_MAX];
} watched[TYPES_MAX];
static unsigned watched_count;

static int (*real_get)(PyObject *exporter, struct py_buffer *view, int flags);
static void (*real_release)(struct py_buffer *view);
static int heard; /* a call came here */

static const struct watched *watched_of(PyObject *object)
{
    const struct watched *found = NULL;

    for (unsigned i = 0; i < watched_count; i++) {
        if (Py_TYPE(object) == watched[i].type)
            return &watched[i];
        if (PyType_IsSubtype(Py_TYPE(object), watched[i].type))
            found = &watched[i];
    }
    return found;
}

/* ---- calls ---- */

static int get_watched(PyObject *exporter, struct py_buffer *view, int flags)
{
    heard = 1;
    int result = real_get(exporter, view, flags);
    const struct watched *type = result == 0 && view && view->obj ? watched_of(view->obj) : NULL;

    if (type)
        account_take(view, view->obj, type->name);
    return result;
}

static void release_watched(struct py_buffer *view)
{
    if (view && view->obj && watched_of(view->obj))
        account_give(view, view->obj);
    real_release(view);
}

/* Returns 0, or -1 without an exception: they cannot be led here. */
static int watch_calls(void)
{
    if (real_get)
        return 0;
    void *get = dlsym(RTLD_DEFAULT, "PyObject_GetBuffer"), *release = dlsym(RTLD_DEFAULT, "PyBuffer_Release");
    if (!get || !release || !&memshim_redirect)
        return -1;
    *(void **)&real_release = release;
    *(void **)&real_get = get;
    /* what was taken before is given back without an entry, and not the other way round */
    return memshim_redirect("PyBuffer_Release", (void *)release_watched) < 0 ||
                   memshim_redirect("PyObject_GetBuffer", (void *)get_watched) < 0
               ? -1
               : 0;
}

/* ---- memoryviews, where the interpreter's own calls are not heard ---- */

static PyTypeObject *managed_type;
static destructor managed_dealloc;

/* Whether *view stands in the object that memoryviews share. What is before it can be read, but perhaps at the start of a page. */
static int is_managed(const struct py_buffer *view)
{
    const PyTypeObject *type;

    if (!managed_type || ((uintptr_t)view & (PAGE - 1)) < MANAGED_VIEW)
        return 0;
    memcpy(&type, (const char *)view - MANAGED_VIEW + sizeof(Py_ssize_t), sizeof(type));
    return type == managed_type;
}

static int get_by_slot(PyObject *self, struct py_buffer *view, int flags)
{
    const struct watched *type = watched_of(self);

    if (!type || !type->original) {
        PyErr_SetString(PyExc_BufferError, "the buffer of another type");
        return -1;
    }
    int result = type->original(self, view, flags);
    if (result == 0 && view && view->obj == self && is_managed(view))
        account_take(view, view, type->name);
    return result;
}

static void dealloc_managed(PyObject *object)
{
    const struct py_buffer *view = (const struct py_buffer *)(const void *)((const char *)object + MANAGED_VIEW);

    account_give(view, view);
    managed_dealloc(object);
}

/* memoryview.release() is not heard, but seen: the object is there as long as it has an entry. */
int watched_is_over(const struct py_buffer *view, const void *key)
{
    return key == view && !view->obj;
}

static void settle(void)
{
    if (Py_IsInitialized())
        account_settle(watched_is_over);
}

/* Whether calls of the interpreter itself come here. */
static int hears_interpreter(void)
{
    PyObject *bytes = PyBytes_FromString("probe"), *view = NULL;

    heard = 0;
    if (bytes)
        view = PyMemoryView_FromObject(bytes);
    Py_XDECREF(view);
    Py_XDECREF(bytes);
    PyErr_Clear();
    return heard;
}

static void hook_managed(void)
{
    static int tried;
    char *type = dlsym(RTLD_DEFAULT, "_PyManagedBuffer_Type");

    if (tried || hears_interpreter() || !type)
        return;
    tried = 1;
    memcpy(&managed_dealloc, type + TP_DEALLOC, sizeof(managed_dealloc));
    destructor ours = dealloc_managed;
    memcpy(type + TP_DEALLOC, &ours, sizeof(ours));
    managed_type = (PyTypeObject *)(void *)type;
    if (&memshim_at_end)
        memshim_at_end(settle);
}

/* ---- types ---- */

/* What a type has inherited the slot of. */
static py_get_buffer original_of(PyObject *type)
{
    for (unsigned i = 0; i < watched_count; i++)
        if (PyType_IsSubtype((PyTypeObject *)type, watched[i].type))
            return watched[i].original;
    return NULL;
}

int watched_add(PyObject *type, struct py_procs *procs)
{
    for (unsigned i = 0; i < watched_count; i++)
        if (watched[i].type == (PyTypeObject *)type)
            return 0;
    if (watched_count == TYPES_MAX) {
        PyErr_SetString(PyExc_RuntimeError, "too many types");
        return -1;
    }
    if (watch_calls() < 0) {
        PyErr_Format(PyExc_TypeError, "%R is not told when its buffers are given back: only memshim can hear of it",
                     type);
        return -1;
    }
    hook_managed();
    struct watched *added = &watched[watched_count];
    if (account_name(added->name, type) < 0)
        return -1;
    Py_INCREF(type); /* its function is ours from now on */
    added->type = (PyTypeObject *)type;
    added->original = procs->get == get_by_slot ? original_of(type) : procs->get;
    watched_count++;
    if (managed_type && procs->get != get_by_slot)
        procs->get = get_by_slot;
    return 0;
}
