/* SPDX-License-Identifier: MIT
 *
 * The calling thread's stack as text that means the same in every process: the lines of pool_stack.h. */
#include "client_hooks.h"
#include "event.h"
#include "lock.h"
#include "memshim/scope.h"
#include "place.h"
#include "pylines.h"

#include <inttypes.h>
#include <stdarg.h>

#define FRAMES_MAX 40u

struct lines {
    char *bytes;
    size_t size, used;
    bool full;
};

/* Appends a whole line or nothing. */
static void _printf_format_(2, 3) add(struct lines *lines, const char *format, ...)
{
    size_t room = lines->size - lines->used;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(lines->bytes + lines->used, room, format, arguments);
    va_end(arguments);
    lines->full |= length < 0 || (size_t)length >= room;
    if (!lines->full)
        lines->used += (size_t)length;
    lines->bytes[lines->used] = '\0';
}

static void add_native(struct lines *lines, const struct ledger_node *node)
{
    bool exact = node->meta & NODE_EXACT;
    const struct ledger_module *module = place_module(node->key - !exact);
    char path[512], id[sizeof(module->build_id) * 2 + 1] = "";

    place_text(module ? module->path : 0, path, sizeof(path));
    for (unsigned i = 0; module && i < MIN(module->build_id_size, sizeof(module->build_id)); i++)
        snprintf(id + 2 * i, 3, "%02x", module->build_id[i]);
    add(lines, "%c\t%s\t%s\t0x%" PRIx64 "\n", exact ? 'x' : 'n', path, id, node->key - (module ? module->bias : 0));
}

/* Line tables are long: one buffer, and the line of the function itself where it is not long enough. */
static int line_of(const struct ledger_code *code, uint32_t instruction)
{
    static struct lock lock;
    static char table[1u << 16];
    size_t used = 0;

    lock_take(&lock);
    for (uint32_t ref = code->table; ref;) {
        const struct ledger_text *text = ledger_entry(LEDGER_TEXT, ref);
        size_t length = text->length_plus_1 ? text->length_plus_1 - 1 : 0;
        if (length > sizeof(table) - used)
            break;
        memcpy(table + used, text->bytes, length);
        used += length;
        ref = text->next;
    }
    int line = pylines_find((int)code->table_kind, (const uint8_t *)table, used, code->first_line, instruction);
    lock_give(&lock);
    return line ? line : code->first_line;
}

static void add_python(struct lines *lines, const struct ledger_node *node)
{
    const struct ledger_code *code = ledger_entry(LEDGER_CODES, (uint32_t)(node->key >> 32));
    char file[512], name[256];

    place_text(code->file, file, sizeof(file));
    place_text(code->qualname ? code->qualname : code->name, name, sizeof(name));
    for (char *p = file; *p; p++)
        *p = *p == '\t' || *p == '\n' ? ' ' : *p;
    add(lines, "%c\t%s\t%s\t%d\n", node->meta & NODE_ENTRY ? 'e' : 'p', file, name, line_of(code, (uint32_t)node->key));
}

static void add_chain(struct lines *lines, uint32_t id)
{
    for (unsigned frames = 0; id && frames < FRAMES_MAX && !lines->full; frames++) {
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        if (node->meta & NODE_CUT)
            break;
        if (node->meta & NODE_PYTHON)
            add_python(lines, node);
        else if (!(node->meta & NODE_LABEL))
            add_native(lines, node);
        id = node->parent;
    }
}

/* Python first: native stacks are deep, and their far end is the interpreter's own. */
static size_t write_trace(uint32_t trace, char *buffer, size_t size)
{
    struct lines lines = {.bytes = buffer, .size = size};

    buffer[0] = '\0';
    if (trace && trace < place_limit(LEDGER_TRACES)) {
        const struct ledger_trace *entry = ledger_entry(LEDGER_TRACES, trace);
        add_chain(&lines, entry->python);
        add_chain(&lines, entry->native);
    }
    return lines.used;
}

_exported_ size_t memshim_trace_text(uint32_t trace, char *buffer, size_t size)
{
    struct thread *thread = size ? thread_enter() : NULL;

    if (!thread)
        return 0;
    int saved = errno;
    size_t length = write_trace(trace, buffer, size);
    errno = saved;
    thread_leave();
    return length;
}

_exported_ uint64_t memshim_stack_trace(void)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return 0;
    int saved = errno;
    uint32_t trace = event_trace(thread, UNWIND_HERE);
    uint64_t result = trace ? (uint64_t)thread->generation << 32 | trace : 0;
    errno = saved;
    thread_leave();
    return result;
}
