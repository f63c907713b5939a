/* SPDX-License-Identifier: MIT */
#include "py_account.h"

#include "client_hooks.h"

#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#define BUCKETS 1024u
#define LABEL_MAX 200

struct exported {
    struct exported *next;
    const struct py_buffer *view; /* where it was when it was filled: a program may copy it elsewhere */
    const void *key;
    const void *bytes;
    struct memshim_object object;
    char label[LABEL_MAX];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* interpreters with locks of their own share this */
static struct exported *buckets[BUCKETS];

static struct exported **bucket_of(const void *key)
{
    return &buckets[((uintptr_t)key >> 4) * 0x9e3779b1u % BUCKETS];
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

void account_take(const struct py_buffer *view, const void *key, const char *type)
{
    struct exported *entry = calloc(1, sizeof(*entry));

    if (!entry)
        return;
    entry->view = view;
    entry->key = key;
    entry->bytes = view->buf;
    describe(view, type, entry->label);
    if (&memshim_object_new)
        memshim_object_new(&entry->object, MEMSHIM_OBJECT_BUFFER, entry->label, (uintptr_t)key & 0xffffffffffffu, 0);
    pthread_mutex_lock(&mutex);
    struct exported **bucket = bucket_of(key);
    entry->next = *bucket;
    *bucket = entry;
    pthread_mutex_unlock(&mutex);
}

/* The entry that `view` is given back for: the same place, or the same bytes, or any with the key. */
static struct exported **find(const struct py_buffer *view, const void *key)
{
    struct exported **best = NULL;
    int best_rank = 0;

    for (struct exported **link = bucket_of(key); *link; link = &(*link)->next) {
        if ((*link)->key != key)
            continue;
        int rank = 1 + ((*link)->bytes == view->buf) + 2 * ((*link)->view == view);
        if (rank > best_rank) {
            best = link;
            best_rank = rank;
        }
    }
    return best;
}

void account_give(const struct py_buffer *view, const void *key)
{
    pthread_mutex_lock(&mutex);
    struct exported **link = find(view, key), *entry = link ? *link : NULL;
    if (entry)
        *link = entry->next;
    pthread_mutex_unlock(&mutex);
    if (entry && &memshim_object_free)
        memshim_object_free(&entry->object);
    free(entry);
}

PyObject *account_list(int (*is_over)(const struct py_buffer *view, const void *key))
{
    PyObject *list = PyList_New(0);

    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; list && i < BUCKETS; i++) {
        for (const struct exported *entry = buckets[i]; list && entry; entry = entry->next) {
            if (is_over && is_over(entry->view, entry->key))
                continue;
            PyObject *text = PyUnicode_DecodeUTF8(entry->label, (Py_ssize_t)strlen(entry->label), "replace");
            if (!text || PyList_Append(list, text) < 0)
                Py_CLEAR(list);
            Py_XDECREF(text);
        }
    }
    pthread_mutex_unlock(&mutex);
    return list;
}

void account_settle(int (*is_over)(const struct py_buffer *view, const void *key))
{
    if (pthread_mutex_trylock(&mutex))
        return;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct exported *entry = buckets[i]; entry; entry = entry->next)
            if (is_over(entry->view, entry->key) && &memshim_object_free)
                memshim_object_free(&entry->object);
    pthread_mutex_unlock(&mutex);
}

int account_name(char name_of[ACCOUNT_NAME_MAX], PyObject *type)
{
    PyObject *name = PyObject_GetAttrString(type, "__name__"), *module = PyObject_GetAttrString(type, "__module__");
    PyObject *full = name && module ? PyUnicode_FromFormat("%U.%U", module, name) : NULL;
    PyObject *bytes = full ? PyUnicode_AsUTF8String(full) : NULL;

    if (bytes) {
        const char *text = PyBytes_AsString(bytes);
        text += strncmp(text, "builtins.", 9) == 0 ? 9 : 0;
        snprintf(name_of, ACCOUNT_NAME_MAX, "%s", text);
    }
    Py_XDECREF(name);
    Py_XDECREF(module);
    Py_XDECREF(full);
    Py_XDECREF(bytes);
    return bytes ? 0 : -1;
}
