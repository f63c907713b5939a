/* SPDX-License-Identifier: MIT */
#include "errors.h"

#include "compiler.h"
#include "labels.h"
#include "ledger.h"
#include "lock.h"
#include "log.h"
#include "place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define BUCKETS 256u
#define TOLD_MAX 100u /* errors that are told on stderr */
#define FRAMES_TOLD 6u

static const char *const kind_names[ERROR_KIND_COUNT] = {
    [ERROR_OVERFLOW] = "overflow",
    [ERROR_UNDERFLOW] = "underflow",
    [ERROR_USE_AFTER_FREE] = "use-after-free",
    [ERROR_DOUBLE_FREE] = "double-free",
    [ERROR_INVALID_FREE] = "invalid-free",
    [ERROR_DOMAIN_MISMATCH] = "domain-mismatch",
    [ERROR_MISMATCHED_FREE] = "mismatched-free",
    [ERROR_GIL_NOT_HELD] = "gil-not-held",
    [ERROR_OVERFLOW_READ] = "overflow-read",
    [ERROR_UNDERFLOW_READ] = "underflow-read",
    [ERROR_USE_AFTER_FREE_READ] = "use-after-free-read",
    [ERROR_INVALID_ARGUMENT] = "invalid-argument",
    [ERROR_INVALID_HANDLE] = "invalid-handle",
    [ERROR_HANDLE_LOCKED] = "handle-locked",
    [ERROR_UNBALANCED_UNLOCK] = "unbalanced-unlock",
};

static struct lock lock;
static uint32_t buckets[BUCKETS]; /* first error of each, linked by ledger_error.reserved */
static uint32_t count;
static uint64_t limit = 1000;
static bool aborts;

void errors_init(uint64_t error_limit, bool abort_on_error)
{
    limit = error_limit;
    aborts = abort_on_error;
}

uint32_t errors_count(void)
{
    return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

void errors_fork_child(void)
{
    lock_give(&lock);
    memset(buckets, 0, sizeof(buckets));
    count = 0;
}

/* ---- on stderr ---- */

struct text {
    char bytes[4096];
    size_t used;
};

static void _printf_format_(2, 3) add(struct text *text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text->bytes + text->used, sizeof(text->bytes) - text->used, format, arguments);
    va_end(arguments);
    if (length > 0)
        text->used = MIN(text->used + (size_t)length, sizeof(text->bytes) - 1);
}

static void add_native(struct text *text, const struct ledger_node *node)
{
    const struct ledger_module *module = place_module(node->key - !(node->meta & NODE_EXACT));
    char path[512];

    place_text(module ? module->path : 0, path, sizeof(path));
    if (module)
        add(text, "memshim:     %s+0x%" PRIx64 "\n", path, node->key - module->bias);
    else
        add(text, "memshim:     0x%" PRIx64 "\n", node->key);
}

static void add_python(struct text *text, const struct ledger_node *node)
{
    const struct ledger_code *code = ledger_entry(LEDGER_CODES, (uint32_t)(node->key >> 32));
    char file[512], name[256];

    place_text(code->file, file, sizeof(file));
    place_text(code->qualname ? code->qualname : code->name, name, sizeof(name));
    add(text, "memshim:     %s (%s)\n", name, file);
}

static void add_chain(struct text *text, uint32_t id)
{
    for (unsigned frames = 0; id && frames < FRAMES_TOLD; frames++) {
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        if (node->meta & NODE_CUT)
            break;
        if (node->meta & NODE_PYTHON)
            add_python(text, node);
        else if (!(node->meta & NODE_LABEL))
            add_native(text, node);
        id = node->parent;
    }
}

static void add_stack(struct text *text, const char *title, uint32_t trace)
{
    if (!trace)
        return;
    const struct ledger_trace *entry = ledger_entry(LEDGER_TRACES, trace);
    add(text, "memshim:   %s\n", title);
    add_chain(text, entry->native);
    add_chain(text, entry->python);
}

static void tell(const struct error_note *note)
{
    struct text text = {.used = 0};

    add(&text, "memshim: %s: %s\n", kind_names[note->kind], note->detail);
    add_stack(&text, "found at", note->trace);
    add_stack(&text, "allocated at", note->alloc_trace);
    add_stack(&text, "freed at", note->free_trace);
    if (count == TOLD_MAX)
        add(&text, "memshim: further errors are in the report only\n");
    log_write(text.bytes, text.used);
}

/* ---- in the ledger ---- */

static bool is_same(const struct ledger_error *error, const struct error_note *note)
{
    return error->kind == (uint32_t)note->kind && error->trace == note->trace &&
           error->alloc_trace == note->alloc_trace && error->free_trace == note->free_trace;
}

static struct ledger_error *find(uint32_t first, const struct error_note *note)
{
    for (uint32_t id = first; id;) {
        struct ledger_error *error = ledger_entry(LEDGER_ERRORS, id);
        if (is_same(error, note))
            return error;
        id = (uint32_t)error->reserved;
    }
    return NULL;
}

static bool enter(uint32_t *bucket, const struct error_note *note)
{
    uint32_t id = count < limit ? ledger_take(LEDGER_ERRORS, 1) : 0;

    if (!id)
        return false;
    struct ledger_error *error = ledger_entry(LEDGER_ERRORS, id);
    error->domain = note->domain;
    error->address = note->address;
    error->size = note->size;
    error->count = 1;
    error->trace = note->trace;
    error->alloc_trace = note->alloc_trace;
    error->free_trace = note->free_trace;
    error->detail = ledger_text(note->detail, strlen(note->detail));
    error->reserved = *bucket;
    __atomic_store_n(&error->kind, note->kind, __ATOMIC_RELEASE);
    *bucket = id;
    __atomic_store_n(&count, count + 1, __ATOMIC_RELAXED);
    return true;
}

bool errors_note(const struct error_note *note)
{
    int saved = errno;
    uint32_t hash = note->trace * 31 + note->alloc_trace * 17 + note->free_trace * 7 + (uint32_t)note->kind;
    uint32_t *bucket = &buckets[hash % BUCKETS];

    lock_take(&lock);
    struct ledger_error *same = find(*bucket, note);
    if (same)
        same->count++;
    bool entered = !same && enter(bucket, note);
    if (entered && count <= TOLD_MAX && !labels_quiet())
        tell(note);
    lock_give(&lock);
    if (aborts)
        abort();
    errno = saved;
    return entered;
}
