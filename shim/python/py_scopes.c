/* SPDX-License-Identifier: MIT
 *
 * Scopes in Python: what a piece of code leaves allocated. In C to the last step, because a Python function that measured would
 * measure its own frames. Garbage is collected before a scope begins and before it ends, which also empties the free lists
 * of the interpreter. What is left then is told from what caches keep: the shim knows those of the interpreter, the package
 * (_caches.py) those of its library. */
#include "memshim/scope.h"

#include "module.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define LEAKS_MAX 256
#define STACK_MAX 16384

struct scope_options {
    unsigned long long max_bytes, max_blocks;
    int all_threads, collect, raise;
    char label[64]; /* "" = any */
};

struct py_scope {
    PyObject_HEAD struct scope_options options;
    PyObject *collector; /* gc.collect */
    struct memshim_scope scope;
    int error; /* of the begin; 0 */
    int measured;
    struct memshim_scope_sum sum, kept;
    PyObject *leaks; /* list of (domain, blocks, bytes, [frame]), or NULL */
};

/* ---- frames ---- */

static PyObject *text_of(const char *start, size_t length)
{
    return PyUnicode_DecodeUTF8(start, (Py_ssize_t)length, "backslashreplace");
}

/* One line of memshim_trace_text: (language, function, file, line, module, offset). */
static PyObject *frame_of(const char *line, size_t length)
{
    const char *fields[3] = {"", "", ""}, *at = line + MIN(length, 2u), *end = line + length;
    size_t lengths[3] = {0};
    char number[32];

    for (int i = 0; i < 3 && at < end; i++) {
        const char *stop = memchr(at, '\t', (size_t)(end - at));
        fields[i] = at;
        lengths[i] = (size_t)((stop ? stop : end) - at);
        at = stop ? stop + 1 : end;
    }
    snprintf(number, sizeof(number), "%.*s", (int)MIN(lengths[2], sizeof(number) - 1), fields[2]);
    int is_python = *line == 'p' || *line == 'e';
    PyObject *first = text_of(fields[0], lengths[0]), *second = text_of(fields[1], lengths[1]), *frame = NULL;
    if (first && second && is_python)
        frame = Py_BuildValue("sOOKOO", "python", second, first, strtoull(number, NULL, 10), Py_None, Py_None);
    else if (first && second)
        frame = Py_BuildValue("sOOiOK", "native", Py_None, Py_None, 0, first, strtoull(number, NULL, 16));
    Py_XDECREF(first);
    Py_XDECREF(second);
    return frame;
}

static int append_new(PyObject *list, PyObject *item)
{
    int result = item ? PyList_Append(list, item) : -1;

    Py_XDECREF(item);
    return result;
}

static PyObject *frames_of(uint32_t trace)
{
    char text[STACK_MAX];
    size_t length = memshim_trace_text(trace, text, sizeof(text));
    PyObject *list = PyList_New(0);

    for (size_t at = 0; list && at < length;) {
        const char *stop = memchr(text + at, '\n', length - at);
        size_t size = stop ? (size_t)(stop - text) - at : length - at;
        if (append_new(list, frame_of(text + at, size)) < 0) {
            Py_DECREF(list);
            return NULL;
        }
        at += size + 1;
    }
    return list;
}

static int append_leak(PyObject *list, const struct memshim_scope_leak *leak)
{
    PyObject *frames = frames_of(leak->trace);
    PyObject *row = frames ? Py_BuildValue("sKKN", leak->domain, (unsigned long long)leak->blocks,
                                           (unsigned long long)leak->bytes, frames)
                           : NULL;
    return append_new(list, row);
}

/* ---- measuring ---- */

static int collect(struct py_scope *self)
{
    if (!self->options.collect)
        return 0;
    PyObject *count = PyObject_CallObject(self->collector, NULL);
    Py_XDECREF(count);
    return count ? 0 : -1;
}

static int warn(int error)
{
    static int warned;

    if (warned)
        return 0;
    warned = 1;
    const char *text =
        error == -ENODEV
            ? "memshim is not loaded, nothing is measured: start with `memshim run` or `python3 -m memshim run`"
        : error == -ENOTSUP ? "memshim records a sample of the blocks only, nothing is measured"
                            : "memshim cannot measure here";
    return PyErr_WarnEx(PyExc_RuntimeWarning, text, 1);
}

static int begin(struct py_scope *self)
{
    self->measured = 0;
    self->sum = self->kept = (struct memshim_scope_sum){0};
    Py_XDECREF(self->leaks);
    self->leaks = NULL;
    self->error = &memshim_scope_begin ? 0 : -ENODEV;
    if (!self->error && collect(self) < 0)
        return -1;
    if (!self->error)
        self->error = memshim_scope_begin(&self->scope, self->options.all_threads ? 0 : MEMSHIM_SCOPE_THREAD);
    if (!self->error && *self->options.label) {
        int (*restrict_to)(struct memshim_scope * scope, const char *label);
        *(void **)&restrict_to = module_shim("memshim_scope_label");
        self->error = restrict_to ? restrict_to(&self->scope, self->options.label) : -ENOSYS;
    }
    return self->error ? warn(self->error) : 0;
}

/* ---- what is left ---- */

/* Of a list of (role, object). Returns their number, and an array to be freed; what it has no memory for, or cannot read, is
 * nothing. */
static size_t read_known(PyObject *list, const void *except, struct memshim_scope_known **ret_known)
{
    Py_ssize_t size = list ? PyList_Size(list) : 0;
    struct memshim_scope_known *known = PyMem_Malloc(((size_t)size + 2) * sizeof(*known));
    size_t count = 0;

    *ret_known = known;
    if (known && except)
        known[count++] = (struct memshim_scope_known){except, MEMSHIM_SCOPE_EXCEPT};
    if (known && list)
        known[count++] = (struct memshim_scope_known){list, MEMSHIM_SCOPE_EXCEPT};
    for (Py_ssize_t i = 0; known && i < size; i++) {
        PyObject *pair = PyList_GetItem(list, i);
        if (PyTuple_Check(pair) && PyTuple_Size(pair) == 2)
            known[count++] = (struct memshim_scope_known){PyTuple_GetItem(pair, 1),
                                                          (unsigned)PyLong_AsLong(PyTuple_GetItem(pair, 0))};
    }
    return count;
}

/* `except`, or NULL, is an object whose block does not count. */
static int read_all(struct py_scope *self, const void *except, struct memshim_scope_leak *leaks, size_t *count)
{
    *count = LEAKS_MAX;
    return memshim_scope_leaks(&self->scope, &except, except != NULL, leaks, count, &self->sum);
}

/* Without what caches keep; with them where the shim cannot tell. */
static int read_own(struct py_scope *self, const void *except, struct memshim_scope_leak *leaks, size_t *count)
{
    int (*leaks_but)(const struct memshim_scope *scope, const struct memshim_scope_known *known, size_t known_count,
                     struct memshim_scope_leak *leaks, size_t *count, struct memshim_scope_sum *sum,
                     struct memshim_scope_sum *kept);
    PyObject *find = module_state()->caches, *list = find ? PyObject_CallObject(find, NULL) : NULL;
    struct memshim_scope_known *known;

    if (list && !PyList_Check(list))
        Py_CLEAR(list);
    PyErr_Clear();
    size_t known_count = read_known(list, except, &known);
    *(void **)&leaks_but = module_shim("memshim_scope_leaks_but");
    *count = LEAKS_MAX;
    int error =
        leaks_but ? leaks_but(&self->scope, known, known_count, leaks, count, &self->sum, &self->kept) : -ENOSYS;
    PyMem_Free(known);
    Py_XDECREF(list);
    return error < 0 ? read_all(self, except, leaks, count) : 0;
}

static void read_leaks(struct py_scope *self, const void *except, struct memshim_scope_leak leaks[LEAKS_MAX],
                       size_t *count)
{
    self->error = read_all(self, except, leaks, count);
    if (!self->error && self->sum.blocks)
        self->error = read_own(self, except, leaks, count);
    self->measured = !self->error;
}

/* Ends the scope and reads what is left; caches only if it is to be looked at `closely`. */
static int end(struct py_scope *self, const void *except, bool closely, struct memshim_scope_leak leaks[LEAKS_MAX],
               size_t *count)
{
    *count = 0;
    if (self->error)
        return 0;
    if (collect(self) < 0)
        return -1;
    memshim_scope_end(&self->scope);
    if (closely) {
        read_leaks(self, except, leaks, count);
        return 0;
    }
    self->error = read_all(self, except, leaks, count);
    self->measured = !self->error;
    return 0;
}

static int keep_leaks(struct py_scope *self, const struct memshim_scope_leak *leaks, size_t count)
{
    self->leaks = PyList_New(0);
    for (size_t i = 0; self->leaks && i < count; i++)
        if (append_leak(self->leaks, &leaks[i]) < 0)
            return -1;
    return self->leaks ? 0 : -1;
}

static int is_too_much(const struct py_scope *self)
{
    return self->measured && self->sum.bytes + self->sum.blocks > 0 &&
           (self->sum.bytes > self->options.max_bytes || self->sum.blocks > self->options.max_blocks);
}

/* ---- with ---- */

static PyObject *scope_enter(PyObject *object, PyObject *unused)
{
    (void)unused;
    Py_INCREF(object);
    if (begin((struct py_scope *)object) < 0) {
        Py_DECREF(object);
        return NULL;
    }
    return object;
}

/* The tuple of arguments was made in the scope, by the way out of it. */
static PyObject *scope_exit(PyObject *object, PyObject *args)
{
    struct py_scope *self = (struct py_scope *)object;
    struct memshim_scope_leak leaks[LEAKS_MAX];
    int failed = PyTuple_Size(args) > 0 && PyTuple_GetItem(args, 0) != Py_None;
    size_t count;

    if (end(self, args, true, leaks, &count) < 0 || keep_leaks(self, leaks, count) < 0)
        return NULL;
    if (!failed && self->options.raise && is_too_much(self)) {
        PyObject *text = PyObject_Str(object);
        if (text)
            PyErr_SetObject(module_exception(module_state()->leak_error), text);
        Py_XDECREF(text);
        return NULL;
    }
    Py_RETURN_FALSE;
}

/* ---- again and again ---- */

static int call(PyObject *function)
{
    PyObject *result = PyObject_CallObject(function, NULL);

    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* What is left is looked at again after some more calls: a cache of the last results, for one, has others then. */
static int confirm(struct py_scope *self, PyObject *function, int calls, struct memshim_scope_leak leaks[LEAKS_MAX],
                   size_t *count)
{
    for (int i = 0; i < calls; i++)
        if (call(function) < 0)
            return -1;
    if (collect(self) < 0)
        return -1;
    read_leaks(self, NULL, leaks, count);
    return 0;
}

/* One round. */
static int measure_once(struct py_scope *self, PyObject *function, int calls,
                        struct memshim_scope_leak leaks[LEAKS_MAX], size_t *count)
{
    if (begin(self) < 0 || call(function) < 0 || end(self, NULL, false, leaks, count) < 0)
        return -1;
    if (!self->measured || self->sum.blocks == 0)
        return 0;
    return confirm(self, function, calls, leaks, count);
}

PyDoc_STRVAR(
    measure_doc,
    "_measure(function, warmup, rounds, confirm)\n\nCall the function `warmup` times, then up to `rounds` times until "
    "it "
    "leaves\n"
    "nothing; keep the round that left least. What it leaves each time is a leak: what it leaves once is a cache.");

static PyObject *scope_measure(PyObject *object, PyObject *args)
{
    struct py_scope *self = (struct py_scope *)object;
    struct memshim_scope_leak leaks[LEAKS_MAX], best[LEAKS_MAX];
    struct memshim_scope_sum best_sum = {0};
    PyObject *function;
    int warmup, rounds, calls;
    size_t count = 0, best_count = 0;

    if (!PyArg_ParseTuple(args, "Oiii:_measure", &function, &warmup, &rounds, &calls))
        return NULL;
    for (int i = 0; i < warmup; i++)
        if (call(function) < 0)
            return NULL;
    for (int i = 0; i < MAX(rounds, 1); i++) {
        if (measure_once(self, function, calls, leaks, &count) < 0)
            return NULL;
        if (i == 0 || self->sum.bytes < best_sum.bytes) {
            memcpy(best, leaks, count * sizeof(*leaks));
            best_count = count;
            best_sum = self->sum;
        }
        if (!self->measured || best_sum.blocks == 0)
            break;
    }
    self->sum = best_sum;
    if (keep_leaks(self, best, best_count) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- the object ---- */

static int scope_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"max_bytes", "max_blocks", "all_threads", "collect", "raise_on_leak", "label", NULL};
    struct py_scope *self = (struct py_scope *)object;
    struct scope_options options = {.collect = 1, .raise = 1};
    PyObject *blocks = NULL;
    const char *label = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$KOpppz:check_leaks", names, &options.max_bytes, &blocks,
                                     &options.all_threads, &options.collect, &options.raise, &label))
        return -1;
    if (label && strlen(label) >= sizeof(options.label)) {
        PyErr_SetString(PyExc_ValueError, "a label has 1 to 63 bytes");
        return -1;
    }
    snprintf(options.label, sizeof(options.label), "%s", label ? label : "");
    /* a limit in bytes alone is no limit of blocks */
    options.max_blocks = options.max_bytes ? ~0ull : 0;
    if (blocks && blocks != Py_None) {
        options.max_blocks = PyLong_AsUnsignedLongLong(blocks);
        if (PyErr_Occurred())
            return -1;
    }
    PyObject *gc = PyImport_ImportModule("gc");
    Py_XDECREF(self->collector);
    self->collector = gc ? PyObject_GetAttrString(gc, "collect") : NULL;
    Py_XDECREF(gc);
    self->options = options;
    self->error = -EINVAL;
    return self->collector ? 0 : -1;
}

static void scope_dealloc(PyObject *object)
{
    struct py_scope *self = (struct py_scope *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    Py_XDECREF(self->collector);
    Py_XDECREF(self->leaks);
    release(object);
    Py_DECREF(type);
}

static PyObject *get_bytes(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct py_scope *)object)->sum.bytes);
}

static PyObject *get_blocks(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct py_scope *)object)->sum.blocks);
}

static PyObject *get_kept_bytes(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct py_scope *)object)->kept.bytes);
}

static PyObject *get_kept_blocks(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct py_scope *)object)->kept.blocks);
}

static PyObject *get_measured(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct py_scope *)object)->measured);
}

static PyObject *get_leaks(PyObject *object, void *unused)
{
    PyObject *leaks = ((struct py_scope *)object)->leaks;

    (void)unused;
    if (!leaks)
        return PyList_New(0);
    Py_INCREF(leaks);
    return leaks;
}

static PyGetSetDef fields[] = {
    {"bytes_leaked", get_bytes, NULL, "Bytes that were allocated in the scope and were there at its end.", NULL},
    {"blocks", get_blocks, NULL, "Blocks of them.", NULL},
    {"bytes_cached", get_kept_bytes, NULL,
     "Bytes that only the interpreter and caches of its library keep for the next time: no leak, not counted.", NULL},
    {"blocks_cached", get_kept_blocks, NULL, "Blocks of them.", NULL},
    {"measured", get_measured, NULL, "False: memshim is not loaded, and the numbers mean nothing.", NULL},
    {"_leaks", get_leaks, NULL, "(domain, blocks, bytes, frames) of each stack.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"__enter__", scope_enter, METH_NOARGS, "The scope begins."},
    {"__exit__", scope_exit, METH_VARARGS, "The scope ends. LeakError: it left too much."},
    {"_measure", scope_measure, METH_VARARGS, measure_doc},
    {NULL, NULL, 0, NULL},
};

int module_add_scopes(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t) "What a piece of code leaves allocated."},
        {Py_tp_init, (void *)scope_init},
        {Py_tp_dealloc, (void *)scope_dealloc},
        {Py_tp_new, (void *)PyType_GenericNew},
        {Py_tp_methods, methods},
        {Py_tp_getset, fields},
        {0, NULL},
    };
    static PyType_Spec spec = {.name = "memshim._memshim.Scope",
                               .basicsize = sizeof(struct py_scope),
                               .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                               .slots = slots};

    PyObject *type = module_add_type(module, &spec, "Scope");

    Py_XDECREF(type); /* the module has it */
    return type ? 0 : -1;
}
