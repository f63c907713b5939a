/* SPDX-License-Identifier: MIT
 *
 * Lost blocks that are no leaks of the program: what the loader and the interpreter leave behind when they end. Each rule
 * names what is left and by whom. Asked only about blocks that nothing reaches, so it may be slow. */
#include "ledger.h"
#include "pyapi.h"
#include "scan_state.h"

#include <string.h>

#define FRAMES_MAX 16u
#define IMPORT_FRAMES_MAX 256u
#define DICT_KEYS 32u
#define LARGE_KEYS 256u
#define STATE_INTERNED 3u /* bits in the state of a str, 3.11 */
#define NAMES_MAX 255u
#define MAKERS_MAX 4u /* frames of the interpreter's in which a tuple is made for who asks for it */

static const struct ledger_record *record_of(const struct scan_block *block)
{
    return ledger_entry(LEDGER_RECORDS, block->record);
}

static const struct ledger_trace *trace_of(const struct scan_block *block)
{
    uint32_t id = record_of(block)->trace;
    return id ? ledger_entry(LEDGER_TRACES, id) : NULL;
}

static bool is_in(const struct scan_range *range, uintptr_t address)
{
    return address - range->start < range->end - range->start;
}

/* The innermost node of the Python part that is a frame, and the label before it. */
static uint32_t python_of(const struct ledger_trace *trace, uint64_t *ret_label)
{
    const struct ledger_node *node = trace->python ? ledger_entry(LEDGER_NODES, trace->python) : NULL;
    bool labelled = node && node->meta & NODE_LABEL;

    *ret_label = labelled ? node->key : 0;
    return labelled ? node->parent : trace->python;
}

static uint32_t python_frames(const struct ledger_trace *trace)
{
    uint64_t label;
    return python_of(trace, &label);
}

/* The program has said that it is no leak. */
static bool is_ignored(const struct ledger_trace *trace)
{
    uint64_t label;
    python_of(trace, &label);
    return label & LABEL_IGNORED;
}

/* The loader keeps pointers to the middle of what it allocates (the threads' vectors of thread-local storage). */
static bool is_loaders(const struct scan *scan, const struct ledger_trace *trace)
{
    const struct ledger_node *node = trace->native ? ledger_entry(LEDGER_NODES, trace->native) : NULL;
    return node && node->meta & NODE_NATIVE && is_in(&scan->loader, node->key);
}

bool scan_is_loaders(const struct scan *scan, const struct scan_block *block)
{
    const struct ledger_trace *trace = trace_of(block);
    return trace && is_loaders(scan, trace);
}

/* Modules that the interpreter makes for itself before any Python code runs (3.8 forgets one). */
static bool is_early_module(const struct scan_block *block, const struct ledger_trace *trace)
{
    return block->facts & FACT_STARTUP && block->facts & FACT_MODULE && !python_frames(trace);
}

/* The namespace of a module that was imported before the program began (3.8 and 3.9 forget importlib's). Dicts are recycled,
 * so one that was made then may be the program's now; but not its keys. */
static bool is_early_namespace(const struct scan *scan, const struct scan_block *block)
{
    uintptr_t keys;

    if (!(block->facts & FACT_STARTUP) || !(block->facts & FACT_DICT) ||
        !scan_copy(&scan->reader, &keys, block->start + block->object + DICT_KEYS, sizeof(keys)))
        return false;
    uint32_t number = scan_index_find(&scan->index, keys);
    return number != SCAN_NONE && scan->index.blocks[number].facts & FACT_STARTUP &&
           scan->index.blocks[number].size >= LARGE_KEYS;
}

bool scan_is_import_frame(const struct ledger_node *node)
{
    static const char bootstrap[] = "<frozen importlib._bootstrap>";

    if (!(node->meta & NODE_PYTHON))
        return false;
    const struct ledger_code *code = ledger_entry(LEDGER_CODES, (uint32_t)(node->key >> 32));
    const struct ledger_text *file = code->file ? ledger_entry(LEDGER_TEXT, code->file) : NULL;
    return file && file->length_plus_1 == sizeof(bootstrap) && memcmp(file->bytes, bootstrap, strlen(bootstrap)) == 0;
}

bool scan_is_importing(const struct ledger_trace *trace)
{
    uint32_t id = python_frames(trace);
    return id && scan_is_import_frame(ledger_entry(LEDGER_NODES, id));
}

static bool text_ends(uint32_t ref, const char *end)
{
    const struct ledger_text *text = ref ? ledger_entry(LEDGER_TEXT, ref) : NULL;
    size_t length = strlen(end);

    return text && text->length_plus_1 > length &&
           memcmp(text->bytes + text->length_plus_1 - 1 - length, end, length) == 0;
}

bool scan_is_starting(const struct ledger_trace *trace)
{
    uint32_t id = trace ? python_frames(trace) : 0;
    const struct ledger_node *node = id ? ledger_entry(LEDGER_NODES, id) : NULL;

    if (!node || !(node->meta & NODE_PYTHON))
        return false;
    const struct ledger_code *code = ledger_entry(LEDGER_CODES, (uint32_t)(node->key >> 32));
    return text_ends(code->name, "start") && text_ends(code->file, "/threading.py");
}

bool scan_comes_from_import(const struct ledger_trace *trace)
{
    uint32_t id = python_frames(trace);

    for (unsigned i = 0; id && i < IMPORT_FRAMES_MAX; i++) {
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        if (scan_is_import_frame(node))
            return true;
        id = node->parent;
    }
    return false;
}

/* A type that a module of the standard library written in C made and did not free (_asyncio in 3.12 and 3.13, _ast in 3.9):
 * the innermost frames of its stack are the interpreter's, then comes the extension, if it is not built in. */
static bool is_library_type(const struct scan *scan, const struct scan_block *block, const struct ledger_trace *trace)
{
    uint32_t id = trace->native;

    for (unsigned i = 0; block->facts & FACT_TYPE && id && i < FRAMES_MAX; i++) {
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        if (!(node->meta & NODE_NATIVE))
            return false;
        const struct scan_range *library = scan_range_find(&scan->library, node->key);
        if (library && library->start <= node->key)
            return true;
        if (!is_in(&scan->interpreter, node->key))
            return false;
        id = node->parent;
    }
    return block->facts & FACT_TYPE && scan_is_importing(trace);
}

/* Constants that the initialisation of an extension module makes once, and holds in variables that it never reads: compilers
 * leave such variables out (Cython's code objects, and the tuples of names from which it makes them). */
static bool is_constant(const struct scan_block *block, const struct ledger_trace *trace)
{
    return block->facts & FACT_CONSTANT && scan_is_importing(trace);
}

/* Whether an extension module has asked for the block, as far as its stack is right. */
static bool is_from_extension(const struct scan *scan, const struct ledger_trace *trace)
{
    uint32_t id = trace->native;

    for (unsigned i = 0; id && i < MAKERS_MAX; i++) {
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        if (!(node->meta & NODE_NATIVE))
            return false;
        if (!is_in(&scan->interpreter, node->key))
            return true;
        id = node->parent;
    }
    return false;
}

static bool is_interned(const struct scan *scan, uintptr_t object)
{
    uint64_t words[5];
    return scan_copy(&scan->reader, words, object, sizeof(words)) &&
           words[1] == (uintptr_t)scan->python.api->unicode_type && words[4] & STATE_INTERNED;
}

static bool has_names_only(const struct scan *scan, uintptr_t tuple)
{
    uint64_t head[3], item; /* count of references, type, size */

    if (!scan_copy(&scan->reader, head, tuple, sizeof(head)) || head[0] != 1 || head[2] == 0 || head[2] > NAMES_MAX)
        return false;
    for (uint64_t i = 0; i < head[2]; i++)
        if (!scan_copy(&scan->reader, &item, tuple + sizeof(head) + 8 * i, sizeof(item)) || !is_interned(scan, item))
            return false;
    return true;
}

/* NumPy (1.22 to 1.24) puts the types of a promoter and its capsule into a tuple while it is imported, and loses that. */
static bool is_promoter(const struct scan *scan, const struct scan_block *block)
{
    static const char name[] = "numpy._ufunc_promoter";
    uint64_t tuple[5], capsule[4]; /* count of references, type, size, items; of the capsule: its pointer, its name */
    char text[sizeof(name)];

    return block->facts & FACT_CONSTANT &&
           scan_copy(&scan->reader, tuple, block->start + block->object, sizeof(tuple)) && tuple[0] == 1 &&
           tuple[2] == 2 && scan_copy(&scan->reader, capsule, tuple[4], sizeof(capsule)) &&
           scan_copy(&scan->reader, text, capsule[3], sizeof(text)) && memcmp(text, name, sizeof(name)) == 0;
}

/* Modules compiled by Cython 0.29 lose the tuples of the names of their functions' variables under CPython 3.11, while they are
 * imported (NumPy 1.24 has 5). Tuples come from free lists, so that the stack is that of an earlier one, anywhere. */
bool scan_is_names(const struct scan *scan, const struct scan_block *block)
{
    const struct ledger_trace *trace = scan->python.minor == 11 ? trace_of(block) : NULL;

    return trace && block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT && block->facts & FACT_CONSTANT &&
           !is_from_extension(scan, trace) && has_names_only(scan, block->start + block->object) &&
           scan_look_has_extensions();
}

/* Nobody refers to it, but its memory is there: the running interpreter keeps it to make another object of the type from (free
 * lists, which are linked by words of the objects that otherwise own nothing). */
static bool is_parked(const struct scan *scan, const struct scan_block *block)
{
    uint32_t references;
    return scan->python.running &&
           (block->facts & FACT_PARKED ||
            (scan_copy(&scan->reader, &references, block->start + block->object, sizeof(references)) &&
             references == 0));
}

int scan_is_survivor(void *context, uint32_t number)
{
    struct scan *scan = context;
    const struct scan_block *block = &scan->index.blocks[number];
    const struct ledger_trace *trace = trace_of(block);

    if (block->facts & FACT_INTERPRETER || (trace && is_ignored(trace)))
        return true;
    if ((trace && is_loaders(scan, trace)) || scan_look_knows(block) || scan_states_in_use(scan, block, trace))
        return true;
    if (block->domain != DOMAIN_OBJ || block->object == SCAN_NOT_OBJECT)
        return false;
    return is_early_namespace(scan, block) || is_parked(scan, block) || scan_is_names(scan, block) ||
           is_promoter(scan, block) ||
           (trace &&
            (is_early_module(block, trace) || is_constant(block, trace) || is_library_type(scan, block, trace)));
}
