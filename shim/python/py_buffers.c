/* SPDX-License-Identifier: MIT
 *
 * Exports of buffers: who has taken one and not given it back. The functions of the buffer protocol in chosen types are replaced by
 * ones that keep an account; that reaches every user, also C code and static interpreters, because the slots are where all of
 * them end. Only types that have a release function: adding one where there is none would change what the type can do.
 *
 * Of other types (bytes, numpy.ndarray) nobody is told that a buffer was given back. There the calls of PyObject_GetBuffer and
 * PyBuffer_Release count, which the shim leads here: those of extension modules, and where libpython is a library the
 * interpreter's own. Where it is not, the interpreter's are seen neither when they take nor when they give back. */
#include "py_buffer.h"

#include "client_hooks.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#define TYPES_MAX 16
#define BUCKETS 1024u
#define LABEL_MAX 200
#define NAME_MAX_BYTES 64
#define TP_AS_BUFFER \
    160 /* offset in PyTypeObject, the same from 3.8 on where modules of the limited API can be loaded at all */

struct procs {
    py_get_buffer get;
    py_release_buffer release;
};

struct exported {
    struct exported *next;
    const struct py_buffer *view; /* where it was when it was filled: a program may copy it elsewhere */
    const PyObject *exporter;
    const void *bytes;
    struct memshim_object object;
    char label[LABEL_MAX];
};

static struct procs originals[TYPES_MAX];
static unsigned type_count;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* interpreters with locks of their own share this */
static struct exported *buckets[BUCKETS];

/* ---- the account ---- */

static struct exported **bucket_of(const PyObject *exporter)
{
    return &buckets[((uintptr_t)exporter >> 4) * 0x9e3779b1u % BUCKETS];
}

static void add_text(char *label, size_t *used, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void add_text(char *label, size_t *used, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(label + *used, LABEL_MAX - *used, format, arguments);
    va_end(arguments);
    if (length > 0)
        *used = MIN(*used + (size_t)length, (size_t)LABEL_MAX - 1);
}

/* "array.array: 40 bytes, format i, shape (10,), writable" */
static void describe(const struct py_buffer *view, const char *type, char label[LABEL_MAX])
{
    size_t used = 0;

    add_text(label, &used, "%.60s: %zd bytes", type, view->len);
    if (view->format)
        add_text(label, &used, ", format %.20s", view->format);
    if (view->shape && view->ndim > 0 && view->ndim <= 8) {
        add_text(label, &used, ", shape (");
        for (int i = 0; i < view->ndim; i++)
            add_text(label, &used, "%s%zd", i ? ", " : "", view->shape[i]);
        add_text(label, &used, view->ndim == 1 ? ",)" : ")");
    }
    add_text(label, &used, view->readonly ? ", readonly" : ", writable");
}

static void note_taken(const struct py_buffer *view, PyObject *exporter, const char *type)
{
    struct exported *entry = calloc(1, sizeof(*entry));

    if (!entry)
        return;
    entry->view = view;
    entry->exporter = exporter;
    entry->bytes = view->buf;
    describe(view, type, entry->label);
    if (&memshim_object_new)
        memshim_object_new(&entry->object, MEMSHIM_OBJECT_BUFFER, entry->label, (uintptr_t)exporter & 0xffffffffffffu,
                           0);
    pthread_mutex_lock(&mutex);
    struct exported **bucket = bucket_of(exporter);
    entry->next = *bucket;
    *bucket = entry;
    pthread_mutex_unlock(&mutex);
}

/* The entry that `view` is given back for: the same place, or the same bytes, or any of the exporter's. */
static struct exported **find(const struct py_buffer *view, const PyObject *exporter)
{
    struct exported **best = NULL;
    int best_rank = 0;

    for (struct exported **link = bucket_of(exporter); *link; link = &(*link)->next) {
        if ((*link)->exporter != exporter)
            continue;
        int rank = 1 + ((*link)->bytes == view->buf) + 2 * ((*link)->view == view);
        if (rank > best_rank) {
            best = link;
            best_rank = rank;
        }
    }
    return best;
}

static void note_released(const struct py_buffer *view, const PyObject *exporter)
{
    pthread_mutex_lock(&mutex);
    struct exported **link = find(view, exporter), *entry = link ? *link : NULL;
    if (entry)
        *link = entry->next;
    pthread_mutex_unlock(&mutex);
    if (entry && &memshim_object_free)
        memshim_object_free(&entry->object);
    free(entry);
}

/* ---- the slots ---- */

static char type_names[TYPES_MAX][NAME_MAX_BYTES];

static int take(unsigned n, PyObject *self, struct py_buffer *view, int flags)
{
    int result = originals[n].get(self, view, flags);

    /* a class with __buffer__ (3.12) gives out a wrapper's buffer, which is released past its slots */
    if (result == 0 && view->obj == self)
        note_taken(view, self, type_names[n]);
    return result;
}

static void give(unsigned n, PyObject *self, struct py_buffer *view)
{
    note_released(view, self);
    originals[n].release(self, view);
}

/* The slots get no context: a pair of functions for each type. */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define DEFINE(n) \
    static int take_##n(PyObject *self, struct py_buffer *view, int flags) \
    { \
        return take(n, self, view, flags); \
    } \
    static void give_##n(PyObject *self, struct py_buffer *view) \
    { \
        give(n, self, view); \
    }
#define PAIR(n) {take_##n, give_##n},

EACH(DEFINE)

static const struct procs ours[TYPES_MAX] = {EACH(PAIR)};

/* ---- types without a release function ---- */

static struct watched {
    PyTypeObject *type;
    char name[NAME_MAX_BYTES];
} watched[TYPES_MAX];
static unsigned watched_count;

static int (*real_get)(PyObject *exporter, struct py_buffer *view, int flags);
static void (*real_release)(struct py_buffer *view);

static const struct watched *watched_of(PyObject *object)
{
    for (unsigned i = 0; i < watched_count; i++)
        if (Py_TYPE(object) == watched[i].type || PyType_IsSubtype(Py_TYPE(object), watched[i].type))
            return &watched[i];
    return NULL;
}

static int get_watched(PyObject *exporter, struct py_buffer *view, int flags)
{
    int result = real_get(exporter, view, flags);
    const struct watched *type = result == 0 && view && view->obj ? watched_of(view->obj) : NULL;

    if (type)
        note_taken(view, view->obj, type->name);
    return result;
}

static void release_watched(struct py_buffer *view)
{
    if (view && view->obj && watched_of(view->obj))
        note_released(view, view->obj);
    real_release(view);
}

/* Returns 0, or -1 without an exception: they cannot be. */
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

static int is_ours(py_get_buffer get)
{
    for (unsigned i = 0; i < TYPES_MAX; i++)
        if (ours[i].get == get)
            return 1;
    return 0;
}

static int set_name(char *name_of, PyObject *type)
{
    PyObject *name = PyObject_GetAttrString(type, "__name__"), *module = PyObject_GetAttrString(type, "__module__");
    PyObject *full = name && module ? PyUnicode_FromFormat("%U.%U", module, name) : NULL;
    PyObject *bytes = full ? PyUnicode_AsUTF8String(full) : NULL;

    if (bytes) {
        const char *text = PyBytes_AsString(bytes);
        text += strncmp(text, "builtins.", 9) == 0 ? 9 : 0;
        snprintf(name_of, NAME_MAX_BYTES, "%s", text);
    }
    Py_XDECREF(name);
    Py_XDECREF(module);
    Py_XDECREF(full);
    Py_XDECREF(bytes);
    return bytes ? 0 : -1;
}

/* `type` gives out buffers, and hears nothing of their end. */
static int watch(PyObject *type)
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
    if (set_name(watched[watched_count].name, type) < 0)
        return -1;
    Py_INCREF(type);
    watched[watched_count++].type = (PyTypeObject *)type;
    return 0;
}

static int track(PyObject *type)
{
    struct procs *procs = NULL;

    if (!PyType_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "types are wanted");
        return -1;
    }
    memcpy(&procs, (const char *)type + TP_AS_BUFFER, sizeof(procs));
    if (!procs || !procs->get) {
        PyErr_Format(PyExc_TypeError, "%R gives out no buffers", type);
        return -1;
    }
    if (!procs->release)
        return watch(type);
    if (is_ours(procs->get))
        return 0;
    if (type_count == TYPES_MAX) {
        PyErr_SetString(PyExc_RuntimeError, "too many types");
        return -1;
    }
    if (set_name(type_names[type_count], type) < 0)
        return -1;
    Py_INCREF(type); /* its functions are ours from now on */
    originals[type_count] = *procs;
    *procs = ours[type_count++];
    return 0;
}

PyDoc_STRVAR(track_doc, "_track_buffers(types)\n\nKeep an account of the buffers of these types. TypeError: a type "
                        "gives out none, or cannot be followed.");

static PyObject *py_track(PyObject *module, PyObject *types)
{
    Py_ssize_t count = PySequence_Size(types);

    (void)module;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *type = PySequence_GetItem(types, i);
        int result = type ? track(type) : -1;
        Py_XDECREF(type);
        if (result < 0)
            return NULL;
    }
    if (count < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(exports_doc, "buffer_exports() -> list\n\nA text for each buffer that was taken since track_buffers() and "
                          "not given back: type, length,\n"
                          "format, shape, and whether it is writable.");

static PyObject *py_exports(PyObject *module, PyObject *unused)
{
    PyObject *list = PyList_New(0);

    (void)module;
    (void)unused;
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; list && i < BUCKETS; i++) {
        for (const struct exported *entry = buckets[i]; list && entry; entry = entry->next) {
            PyObject *text = PyUnicode_DecodeUTF8(entry->label, (Py_ssize_t)strlen(entry->label), "replace");
            if (!text || PyList_Append(list, text) < 0)
                Py_CLEAR(list);
            Py_XDECREF(text);
        }
    }
    pthread_mutex_unlock(&mutex);
    return list;
}

static PyMethodDef methods[] = {
    {"_track_buffers", py_track, METH_O, track_doc},
    {"buffer_exports", py_exports, METH_NOARGS, exports_doc},
    {NULL, NULL, 0, NULL},
};

int module_add_buffers(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
