/* SPDX-License-Identifier: MIT
 *
 * A library for pyframes_check.py (ctypes): captures Python stacks with the shim's own code, outside the shim, and
 *   - gives the calling thread's stack as text, to be compared with sys._getframe();
 *   - hooks CPython's allocators and compares each capture with a plain walk over the same frames that remembers nothing.
 * Never loaded together with libmemshim.so. */
#include "arena.h"
#include "compiler.h"
#include "ledger.h"
#include "pyapi.h"
#include "pycompat.h"
#include "pyframes.h"
#include "pylines.h"
#include "stacks.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRAMES_MAX 600
#define TEXT_MAX (256 << 10)

/* What the script calls. */
int check_start(const char *ledger, unsigned frames);
void check_end(void);
void check_hook(void);
uint64_t check_captures(void);
uint64_t check_frames(void);
uint64_t check_differences(void);
const char *check_first_difference(void);
uint32_t check_codes(void);
int check_program_started(void);
const char *check_stack(void);
double check_speed(unsigned rounds);

static struct pyapi api;
static struct pycompat compat;
static struct py_allocator saved[PY_DOMAIN_COUNT];
static unsigned depth;
static bool hooked;
static uint64_t captures, frames_seen, differences;
static char first_difference[1024];

/* One frame as the plain walk finds it. */
struct plain {
    uintptr_t code;
    uint32_t offset;
    bool entry;
};

struct plain_stack {
    unsigned count; /* kept */
    unsigned total;
    struct plain frames[FRAMES_MAX];
};

/* Little of it may be thread-local: the library is loaded late, and the shim's code uses static TLS. */
struct state {
    struct pyframes_thread *frames;
    struct plain_stack stack;
    char text[TEXT_MAX];
    char in_ledger[1 << 16], in_memory[1 << 16];
};

static _Thread_local struct state *own;
static _Thread_local bool busy;

static struct state *state_of_thread(void)
{
    if (!own) {
        own = arena_alloc(sizeof(*own));
        own->frames = pyframes_thread_new();
    }
    return own;
}

/* ---- the plain walk ---- */

/* A thread that has given up the GIL keeps its frames. */
static uintptr_t plain_top(void)
{
    uintptr_t state = (uintptr_t)api.current_thread_state();

    if (!pyframes_attached())
        state = (uintptr_t)api.own_thread_state();
    if (!state)
        return 0;
    if (compat.thread_cframe)
        state = pycompat_load(state, compat.thread_cframe);
    return pycompat_load(state, compat.thread_frame);
}

static bool plain_is_entry_frame(uintptr_t frame)
{
    return compat.shape == SHAPE_312 && pycompat_load8(frame, compat.frame_owner) >= compat.entry_owner;
}

static bool plain_is_entered(uintptr_t frame)
{
    uintptr_t back = pycompat_load(frame, compat.frame_back);

    if (compat.shape == SHAPE_311)
        return pycompat_load8(frame, compat.frame_entry);
    return compat.shape == SHAPE_OBJECTS || !back || plain_is_entry_frame(back);
}

static uint32_t plain_offset(uintptr_t frame, uintptr_t code)
{
    if (compat.shape == SHAPE_OBJECTS) {
        int32_t lasti = (int32_t)pycompat_load32(frame, compat.frame_instr);
        return lasti < 0 ? NODE_NOT_BEGUN : (uint32_t)lasti * compat.lasti_unit;
    }
    int64_t offset = (int64_t)(pycompat_load(frame, compat.frame_instr) - code - compat.code_bytes);
    return offset < 0 ? NODE_NOT_BEGUN : (uint32_t)offset;
}

static void plain_walk(struct plain_stack *stack)
{
    stack->count = stack->total = 0;
    for (uintptr_t frame = plain_top(); frame; frame = pycompat_load(frame, compat.frame_back)) {
        struct pycompat_code code;
        uintptr_t address = pycompat_load(frame, compat.frame_code) & ~(uintptr_t)compat.tag_mask;

        if (plain_is_entry_frame(frame))
            continue;
        bool readable = pycompat_code_read(&compat, address, &code);
        if (readable && pycompat_code_internal(&compat, &code))
            continue;
        stack->total++;
        if (stack->total > depth || !readable)
            continue;
        stack->frames[stack->count++] = (struct plain){address, plain_offset(frame, address), plain_is_entered(frame)};
    }
}

/* ---- comparing ---- */

static size_t ledger_bytes(uint32_t ref, char *buffer, size_t size)
{
    size_t used = 0;

    while (ref) {
        const struct ledger_text *piece = ledger_entry(LEDGER_TEXT, ref);
        size_t length = piece->length_plus_1 - 1;
        if (length > size - used)
            length = size - used;
        memcpy(buffer + used, piece->bytes, length);
        used += length;
        ref = piece->next;
    }
    return used;
}

static bool same_text(uint32_t ref, uintptr_t string)
{
    ssize_t length = pycompat_text(&compat, string, own->in_memory, 4096);
    return length >= 0 && ledger_bytes(ref, own->in_ledger, sizeof(own->in_ledger)) == (size_t)length &&
           memcmp(own->in_ledger, own->in_memory, (size_t)length) == 0;
}

static bool same_table(uint32_t ref, uintptr_t object)
{
    size_t size = 0;
    const void *bytes = pycompat_bytes(&compat, object, 8 << 20, &size);
    char *stored = (char *)saved[PY_RAW].malloc(saved[PY_RAW].context, size + 8);
    bool same = bytes && ledger_bytes(ref, stored, size + 8) == size && memcmp(stored, bytes, size) == 0;
    saved[PY_RAW].free(saved[PY_RAW].context, stored);
    return same;
}

static const char *compare_frame(const struct ledger_node *node, const struct plain *plain)
{
    const struct ledger_code *entry;
    struct pycompat_code code;

    if (!(node->meta & NODE_PYTHON))
        return "not a Python node";
    if ((uint32_t)node->key != plain->offset)
        return "another instruction";
    if (!(node->meta & NODE_ENTRY) != !plain->entry)
        return "another entry flag";
    entry = ledger_entry(LEDGER_CODES, (uint32_t)(node->key >> 32));
    if (!pycompat_code_read(&compat, plain->code, &code))
        return "not a code object";
    if (entry->first_line != code.first_line || !same_text(entry->file, code.file) ||
        !same_text(entry->name, code.name) || (code.qualname && !same_text(entry->qualname, code.qualname)))
        return "another code object";
    return same_table(entry->table, code.table) ? NULL : "another line table";
}

static const char *compare_stack(uint32_t id, const struct plain_stack *stack)
{
    for (unsigned i = 0; i < stack->count; i++) {
        if (!id)
            return "too short";
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        const char *why = compare_frame(node, &stack->frames[i]);
        if (why)
            return why;
        id = node->parent;
    }
    if (stack->total <= depth)
        return id ? "too long" : NULL;
    if (!id)
        return "no sign of the cut";
    const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
    if (!(node->meta & NODE_CUT) || node->parent)
        return "not cut where it should be";
    return node->key && node->key != stack->total - depth ? "another number of frames cut" : NULL;
}

static void check_capture(void)
{
    struct state *state = state_of_thread();
    uint32_t id = stacks_python(pyframes_capture(state->frames));
    if (!id && !pyframes_attached()) /* it need not be known */
        return;
    plain_walk(&state->stack);
    const char *why = compare_stack(id, &state->stack);
    __atomic_fetch_add(&captures, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&frames_seen, state->stack.count, __ATOMIC_RELAXED);
    if (why && __atomic_fetch_add(&differences, 1, __ATOMIC_RELAXED) == 0)
        strncpy(first_difference, why, sizeof(first_difference) - 1);
}

/* ---- allocator hooks ---- */

static bool begin(void)
{
    if (busy)
        return false;
    busy = true;
    return true;
}

static void check_here(void)
{
    if (begin()) {
        check_capture();
        busy = false;
    }
}

static void *hook_malloc(void *context, size_t size)
{
    const struct py_allocator *next = context;
    check_here();
    return next->malloc(next->context, size);
}

static void *hook_calloc(void *context, size_t count, size_t size)
{
    const struct py_allocator *next = context;
    check_here();
    return next->calloc(next->context, count, size);
}

static void *hook_realloc(void *context, void *p, size_t size)
{
    const struct py_allocator *next = context;
    check_here();
    return next->realloc(next->context, p, size);
}

static void hook_free(void *context, void *p)
{
    const struct py_allocator *next = context;
    next->free(next->context, p);
}

/* ---- interface ---- */

_exported_ int check_start(const char *ledger, unsigned frames)
{
    enum ledger_lack lack;

    if (!pyapi_find(RTLD_DEFAULT, &api))
        return -1;
    depth = frames;
    int r = ledger_create(ledger);
    if (r == 0)
        r = pyframes_init(&api, frames);
    if (r == 0)
        r = pycompat_find(&api, &compat, &lack);
    return r;
}

/* Removes the ledger's file: it cannot grow any more. */
_exported_ void check_end(void)
{
    ledger_remove();
}

_exported_ void check_hook(void)
{
    for (int domain = 0; domain < PY_DOMAIN_COUNT && !hooked; domain++) {
        struct py_allocator ours = {&saved[domain], hook_malloc, hook_calloc, hook_realloc, hook_free};
        api.get_allocator(domain, &saved[domain]);
        api.set_allocator(domain, &ours);
    }
    hooked = true;
}

_exported_ uint64_t check_captures(void)
{
    return captures;
}

_exported_ uint64_t check_frames(void)
{
    return frames_seen;
}

_exported_ uint64_t check_differences(void)
{
    return differences;
}

_exported_ const char *check_first_difference(void)
{
    return first_difference;
}

_exported_ uint32_t check_codes(void)
{
    return ledger_take(LEDGER_CODES, 1);
}

_exported_ int check_program_started(void)
{
    return pyframes_program_started();
}

static size_t put_frame(const struct ledger_node *node, char *to, size_t size)
{
    static char file[8192], name[8192], table[1 << 16]; /* with the GIL */
    const struct ledger_code *code = ledger_entry(LEDGER_CODES, (uint32_t)(node->key >> 32));
    size_t file_length = ledger_bytes(code->file, file, sizeof(file) - 1);
    size_t name_length = ledger_bytes(code->qualname ? code->qualname : code->name, name, sizeof(name) - 1);
    size_t table_size = ledger_bytes(code->table, table, sizeof(table));
    int line =
        pylines_find((int)code->table_kind, (const uint8_t *)table, table_size, code->first_line, (uint32_t)node->key);
    file[file_length] = name[name_length] = '\0';
    int length = snprintf(to, size, "%s\t%d\t%s\n", file, line, name);
    return length > 0 && (size_t)length < size ? (size_t)length : 0;
}

/* The calling thread's stack, innermost first: "file\tline\tname\n" for each frame; "cut\tN\n" for a cut. */
_exported_ const char *check_stack(void)
{
    struct state *state = state_of_thread();
    char *text = state->text;
    size_t used = 0;

    busy = true;
    text[0] = '\0';
    for (uint32_t id = stacks_python(pyframes_capture(state->frames)); id;) {
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        if (node->meta & NODE_CUT)
            used += (size_t)snprintf(text + used, TEXT_MAX - used, "cut\t%llu\n", (unsigned long long)node->key);
        else
            used += put_frame(node, text + used, TEXT_MAX - used);
        id = node->parent;
    }
    busy = false;
    return text;
}

/* Nanoseconds that one capture takes here. */
_exported_ double check_speed(unsigned rounds)
{
    struct timespec a, b;
    struct pyframes_thread *frames = state_of_thread()->frames;

    busy = true;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (unsigned i = 0; i < rounds; i++)
        pyframes_capture(frames);
    clock_gettime(CLOCK_MONOTONIC, &b);
    busy = false;
    return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / rounds;
}
