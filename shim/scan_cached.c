/* SPDX-License-Identifier: MIT
 *
 * Caches of CPython by rule (scan_cached.h): which pointers say only that something was kept for the next time. Asked about
 * pointers to blocks of the scope, which are few. A block that was made before and points to one has received it in the scope. */
#include "scan_cached.h"

#include "pyapi.h"

#include <pthread.h>

#define OB_SIZE 16u
#define LIST_ITEMS 24u
#define TP_CALL 128u
#define TP_DICT 264u
#define DEQUE_BLOCK 528u /* bytes of 64 pointers and 2 links */
#define FREE_ROW 9u
#define DESCRIPTOR_SIZE 2048u /* bytes of it with a thread's specific data */
#define SPECIFIC_SIZE 512u    /* bytes of an array for 32 keys more */

/* Types made of a spec in C have the name of the module in tp_name, classes of Python code have not. */
static bool has_module_name(const struct scan_cached *cached, const struct scan_block *block)
{
    char text[CACHED_NAME_MAX] = "";
    uintptr_t pointer = cached_word(cached, cached_type(cached, block) + TP_NAME);

    for (size_t size = sizeof(text); pointer && size >= 8 && !scan_copy(&cached->scan->reader, text, pointer, size);)
        size /= 2;
    return memchr(text, '.', strnlen(text, sizeof(text))) != NULL;
}

uint32_t scan_cached_count(const struct scan_cached *cached, uint32_t number)
{
    const struct scan_block *block = cached_block(cached, number);
    uint64_t count;

    if (!cached_is_object(block) ||
        !scan_copy(&cached->scan->reader, &count, block->start + block->object, sizeof(count)))
        return UINT32_MAX;
    if (cached->scan->python.minor >= 12)
        count = (uint32_t)count;
    return count < 1u << 28 ? (uint32_t)count : UINT32_MAX;
}

bool scan_cached_is_owned(const struct scan_cached *cached, uint32_t block)
{
    uint32_t count = scan_cached_count(cached, block); /* of what is no object, or is made to last, one is enough */

    return cached->owned[block] >= (count == UINT32_MAX ? 1 : count);
}

/* ---- code of the library ---- */

static void find_library_names(const struct scan_cached *cached, uint32_t target, void *ret)
{
    const struct scan_block *block = cached_block(cached, target);

    *(bool *)ret |=
        cached_is_object(block) && ((block->facts & FACT_DICT && cached->marks[target] & MARK_NAMESPACE) ||
                                    (!(block->facts & (FACT_TYPE | FACT_MODULE | FACT_CONSTANT)) &&
                                     cached->marks[target] & MARK_NAMED && cached->marks[target] & MARK_MADE));
}

static void find_library_code(const struct scan_cached *cached, uint32_t target, void *ret)
{
    if (!*(bool *)ret && cached_is_object(cached_block(cached, target)))
        cached_for_each_edge(cached, target, find_library_names, ret);
}

/* A function of a module of the library, or a method that is one. */
static bool is_library_code(const struct scan_cached *cached, uint32_t block)
{
    bool is_one = false;

    cached_for_each_edge(cached, block, find_library_names, &is_one);
    cached_for_each_edge(cached, block, find_library_code, &is_one);
    return is_one;
}

/* A pointer whose object has all its references elsewhere is left over. */
static void find_object(const struct scan_cached *cached, uint32_t target, void *ret)
{
    const struct scan_block *block = cached_block(cached, target);

    if (cached_is_object(block) && cached_type(cached, block) != (uintptr_t)cached->scan->python.api->unicode_type &&
        !(block->facts & FACT_CONSTANT && !cached_word(cached, block->start + block->object + OB_SIZE)) &&
        scan_cached_count(cached, target) >= cached->owned[target] && !is_library_code(cached, target))
        *(bool *)ret = true;
}

static bool holds_objects(const struct scan_cached *cached, uint32_t block)
{
    bool holds = false;
    cached_for_each_edge(cached, block, find_object, &holds);
    return holds;
}

/* ---- which pointers ---- */

/* Something callable may be a function of the program's that is to be called some day; an instance or a class is more than the
 * interpreter keeps by itself. */
static bool is_plain(const struct scan_cached *cached, uint32_t target)
{
    const struct scan_block *block = cached_block(cached, target);

    if (block->domain != DOMAIN_OBJ && block->domain != DOMAIN_MEM && block->domain != DOMAIN_RAW)
        return false; /* what the interpreter has is never of malloc */
    if (!cached_is_object(block))
        return !holds_objects(cached, target);
    if (cached_type(cached, block) == (uintptr_t)cached->scan->python.api->weakref_types[0])
        return true;
    if (block->facts & (FACT_TYPE | FACT_MODULE | FACT_FRAME) ||
        cached_word(cached, cached_type(cached, block) + TP_CALL))
        return false;
    return !(block->facts & FACT_INSTANCE) || has_module_name(cached, block);
}

/* ctypes remembers which type points to which. */
static bool is_pointer_type(const struct scan_cached *cached, const struct scan_block *block)
{
    return block->facts & FACT_TYPE && cached_is_object(block) &&
           cached_is_named(cached, block, "_ctypes.PyCPointerType");
}

static void find_text(const struct scan_cached *cached, uint32_t target, void *ret)
{
    *(bool *)ret |=
        cached_type(cached, cached_block(cached, target)) == (uintptr_t)cached->scan->python.api->unicode_type;
}

static bool leads_to_text(const struct scan_cached *cached, uint32_t block)
{
    bool leads = false;
    cached_for_each_edge(cached, block, find_text, &leads);
    return leads;
}

/* Memory without an object to which the interpreter's data leads: keys of a dict and numbers that are kept for the next ones, and
 * tables of its own. Anything else stands in a list of free ones, out of which it was taken again. */
static bool is_kept_memory(const struct scan_cached *cached, uint32_t target)
{
    const struct scan_block *block = cached_block(cached, target);
    uint64_t words[2];
    uint32_t power;

    if (block->domain == DOMAIN_RAW || leads_to_text(cached, target))
        return !holds_objects(cached, target);
    if (!scan_copy(&cached->scan->reader, words, block->start, sizeof(words)))
        return false;
    power = (uint32_t)words[1];
    return block->domain == DOMAIN_OBJ ? words[0] == 0 : power < 8 && words[1] >> 32 == 1u << power;
}

static bool is_context(const struct scan_cached *cached, uint32_t target)
{
    static const char *const names[] = {"Context",          "_contextvars.Context", "contextvars.Context", "hamt",
                                        "hamt_bitmap_node", "hamt_array_node",      "hamt_collision_node"};
    const struct scan_block *block = cached_block(cached, target);

    for (size_t i = 0; i < ARRAY_SIZE(names) && cached_is_object(block) && !(block->facts & FACT_INSTANCE); i++)
        if (cached_is_named(cached, block, names[i]))
            return true;
    return false;
}

static bool is_text(const struct scan_cached *cached, const struct scan_block *block, const char *wanted)
{
    char text[CACHED_NAME_MAX];
    size_t length = scan_python_string(&cached->scan->python, block->start + block->object, text, sizeof(text));

    return length >= strlen(wanted) && memcmp(text, wanted, strlen(wanted)) == 0;
}

static void find_other_than_text(const struct scan_cached *cached, uint32_t target, void *ret)
{
    *(bool *)ret |=
        cached_type(cached, cached_block(cached, target)) != (uintptr_t)cached->scan->python.api->unicode_type;
}

/* Under its file and its name an extension module stands in the interpreter's list. */
static bool is_module_key(const struct scan_cached *cached, uint32_t target)
{
    const struct scan_block *block = cached_block(cached, target);
    bool other = false;

    if (!(block->facts & FACT_CONSTANT) || cached_word(cached, block->start + block->object + OB_SIZE) != 2)
        return false;
    cached_for_each_edge(cached, target, find_other_than_text, &other);
    return !other;
}

/* What the interpreter has by itself in the dict of a thread: a list of what is being printed, which is empty most of the time; for
 * each threading.local what leads to its values, which the local itself has; asyncio's loop. */
static bool is_of_thread(const struct scan_cached *cached, uint32_t target)
{
    const struct scan_block *block = cached_block(cached, target);
    uintptr_t object = block->start + block->object;

    if (!cached_is_object(block))
        return false;
    if (block->facts & FACT_LIST)
        return !cached_word(cached, object + OB_SIZE) && !cached_word(cached, object + LIST_ITEMS);
    if (cached_is_named(cached, block, "_thread._localdummy")) {
        scan_cached_drop_edges(cached, target); /* borrowed from the local */
        return true;
    }
    return is_module_key(cached, target) || is_text(cached, block, "Py_Repr") ||
           is_text(cached, block, "thread.local.") || is_text(cached, block, "__asyncio_running_event_loop__") ||
           cached_is_named(cached, block, "_RunningLoopHolder") ||
           cached_is_named(cached, block, "_asyncio._RunningLoopHolder");
}

/* Of the memory in a deque one is kept for the next, with what was in it. */
static bool is_deque_block(const struct scan_cached *cached, uint32_t target)
{
    const struct scan_block *block = cached_block(cached, target);
    return block->domain == DOMAIN_MEM && block->size == DEQUE_BLOCK && !cached->owned[target];
}

/* The dict of a thread holds what the program keeps for the thread (threading.local), in memory of the interpreter's. */
static bool is_of_state(struct scan_cached *cached, uint32_t target)
{
    const struct scan_block *block = cached_block(cached, target);

    if (is_context(cached, target)) {
        cached->marks[target] |= MARK_CONTEXT | MARK_OUT;
        return false;
    }
    if (!cached_is_object(block) && (block->domain == DOMAIN_OBJ || block->domain == DOMAIN_MEM))
        return is_kept_memory(cached, target);
    if (!cached_is_object(block) || !(block->facts & FACT_DICT))
        return is_plain(cached, target);
    if (scan_cached_has_subclasses(cached, target))
        return true;
    cached->marks[target] |= MARK_OUT;
    scan_cached_mark_table(cached, target, MARK_DICT);
    return false;
}

static bool is_variable(const struct scan_cached *cached, const struct scan_block *block)
{
    return cached_is_named(cached, block, "ContextVar") || cached_is_named(cached, block, "_contextvars.ContextVar") ||
           cached_is_named(cached, block, "contextvars.ContextVar");
}

/* A variable whose value is there is a key. */
static bool is_of_context(struct scan_cached *cached, uint32_t target)
{
    if (is_context(cached, target)) {
        cached->marks[target] |= MARK_CONTEXT | MARK_OUT;
        return false;
    }
    return cached_is_named(cached, cached_block(cached, target), "decimal.Context") ||
           is_variable(cached, cached_block(cached, target));
}

static bool is_pythons(const struct scan_cached *cached, uint64_t word)
{
    uint32_t number = word ? scan_index_find(&cached->scan->index, word) : SCAN_NONE;

    return number == SCAN_NONE ? cached_is_in_ranges(&cached->scan->arenas, word)
                               : cached_is_object(cached_block(cached, number));
}

/* It stands in a row of pointers to what are objects or were some. */
static bool is_free_entry(const struct scan_cached *cached, uintptr_t place)
{
    uint64_t words[2 * FREE_ROW + 1];
    unsigned row = 0;

    if (!scan_copy(&cached->scan->reader, words, place - FREE_ROW * sizeof(words[0]), sizeof(words)))
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(words) && row < FREE_ROW; i++)
        row = is_pythons(cached, words[i]) ? row + 1 : 0;
    return row >= FREE_ROW;
}

/* The same of each pointer to it in the interpreter's structure. */
static bool is_free_in(const struct scan_cached *cached, const struct scan_block *structure, uintptr_t object)
{
    uint64_t words[256];
    uintptr_t end = structure->start + structure->size;
    bool found = false;

    for (uintptr_t at = structure->start; at + sizeof(words) <= end; at += sizeof(words)) {
        if (!scan_copy(&cached->scan->reader, words, at, sizeof(words)))
            return false;
        for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
            if (words[i] == object && !is_free_entry(cached, at + i * sizeof(words[0])))
                return false;
            found |= words[i] == object;
        }
    }
    return found;
}

bool scan_cached_is_free(const struct scan_cached *cached, uintptr_t place, uint32_t target)
{
    const struct scan_block *block = cached_block(cached, target);

    if (!cached_is_object(block) || !(block->facts & (FACT_LIST | FACT_DICT)) || !(cached->marks[target] & MARK_MADE))
        return false;
    if (place)
        return is_free_entry(cached, place);
    return is_free_in(cached, cached_block(cached, cached->interpreter), block->start + block->object);
}

static bool is_old_object_edge(const struct scan_cached *cached, const struct scan_block *from, uint32_t target)
{
    const struct scan_block *to = cached_block(cached, target);
    uintptr_t type = cached_type(cached, from);

    /* a frame for the next call, counters of instructions, copies of its parts: code is immutable */
    if (type == (uintptr_t)cached->scan->python.api->code_type)
        return true;
    /* a str's UTF-8; what instances of a class share */
    if (type == (uintptr_t)cached->scan->python.api->unicode_type || from->facts & FACT_TYPE)
        return !cached_is_object(to);
    /* whoever asks for a function's annotations makes an empty dict of them */
    if (cached_is_object(to) && to->facts & FACT_DICT && !cached_word(cached, to->start + to->object + OB_SIZE))
        return cached_is_named(cached, from, "function");
    if (cached_is_named(cached, to, "decimal.Context"))
        return is_variable(cached, from); /* has the value that was read last at hand */
    return false;
}

bool scan_cached_is_code(const struct scan_cached *cached, uint32_t block)
{
    return cached_type(cached, cached_block(cached, block)) == (uintptr_t)cached->scan->python.api->code_type;
}

/* Where the block was asked for, as far as its stack is known; else 0. */
static uintptr_t caller_of(const struct scan_cached *cached, uint32_t target)
{
    const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, cached_block(cached, target)->record);
    const struct ledger_trace *trace = record->trace ? ledger_entry(LEDGER_TRACES, record->trace) : NULL;
    const struct ledger_node *node = trace && trace->native ? ledger_entry(LEDGER_NODES, trace->native) : NULL;

    return node && node->meta & NODE_NATIVE ? node->key : 0;
}

/* What the C library has asked for itself. */
static bool is_libcs(const struct scan_cached *cached, uint32_t target)
{
    return cached_is_in(&cached->libc, caller_of(cached, target));
}

bool scan_cached_edge(struct scan_cached *cached, uint32_t source, uint32_t target)
{
    const struct scan_block *from = cached_block(cached, source), *to = cached_block(cached, target);
    uint16_t marks = cached->marks[source];

    if (marks & MARK_SPECIFIC)
        return cached->marks[target] & MARK_ASKED && !is_libcs(cached, target);
    if (marks & MARK_CONTEXT || (!(marks & MARK_MADE) && is_context(cached, source)))
        return is_of_context(cached, target);
    if ((marks & MARK_DICT && is_of_thread(cached, target)) ||
        (marks & (MARK_DICT | MARK_LIBRARY) && is_library_code(cached, target)))
        return true;
    /* names of modules, and a list of the interpreter's, as the filters of warnings, have new memory when they grow */
    if (marks & MARK_MADE && !(marks & MARK_NAMESPACE) &&
        (marks & (MARK_DICT | MARK_ARRAY)) != (MARK_DICT | MARK_ARRAY))
        return false;
    if (marks & MARK_NAMESPACE)
        return cached_is_object(to);
    if (marks & MARK_DICT && cached_is_named(cached, to, "CodecInfo"))
        return true;
    if (cached_is_object(from))
        return is_old_object_edge(cached, from, target);
    if (marks & MARK_STATE && from->facts & FACT_THREAD_STATE)
        return is_of_state(cached, target);
    if (source == cached->interpreter && scan_cached_is_free(cached, 0, target))
        return false;
    if (source == cached->interpreter && !cached_is_object(to) && to->domain != DOMAIN_RAW)
        return is_kept_memory(cached, target);
    return marks & (MARK_STATE | MARK_ARRAY) && (is_plain(cached, target) || is_pointer_type(cached, to));
}

bool scan_cached_is_asked_by_known(const struct scan_cached *cached, uint32_t number)
{
    uintptr_t caller = caller_of(cached, number);

    return cached_is_in(&cached->libc, caller) || cached_is_in(&cached->scan->loader, caller) ||
           cached_is_in(&cached->scan->interpreter, caller) || cached_is_in_ranges(&cached->scan->library, caller) ||
           cached_is_in_ranges(&cached->libraries, caller);
}

bool scan_cached_is_theirs(const struct scan_cached *cached, uint32_t number)
{
    uint8_t domain = cached_block(cached, number)->domain;

    return domain == DOMAIN_OBJ || domain == DOMAIN_MEM || domain == DOMAIN_RAW ||
           scan_cached_is_asked_by_known(cached, number);
}

bool scan_cached_root(struct scan_cached *cached, uintptr_t place, uint32_t target)
{
    const struct scan *scan = cached->scan;

    if (cached_is_in_ranges(&cached->data, place))
        return true;
    if (cached_is_in(&cached->libc, place))
        return is_libcs(cached, target);
    if (!scan->python.active)
        return false;
    if (scan_cached_is_static_type(cached, place - TP_DICT) || scan_cached_is_type_state(cached, place))
        return true;
    if (cached_is_in(&scan->interpreter, place))
        return is_deque_block(cached, target) ||
               (!scan_cached_is_free(cached, place, target) && is_of_state(cached, target));
    return cached_is_in_ranges(&scan->library, place) && (is_deque_block(cached, target) || is_plain(cached, target));
}

/* In the C library's descriptor of the calling thread are the pointers of pthread_setspecific. */
static bool is_in_descriptor(uintptr_t place)
{
    return place - (uintptr_t)pthread_self() < DESCRIPTOR_SIZE;
}

bool scan_cached_is_library_root(const struct scan_cached *cached, uintptr_t place, uint32_t target)
{
    return cached_is_in_ranges(&cached->libraries, place) ||
           (is_in_descriptor(place) && cached->marks[target] & MARK_ASKED && !is_libcs(cached, target));
}

void scan_cached_mark_asked(struct scan_cached *cached)
{
    const struct scan *scan = cached->scan;
    const uint32_t *roots = (const void *)scan->roots.data;
    const uintptr_t *places = (const void *)scan->places.data;

    for (uint32_t i = 0; i < scan->index.count; i++)
        if (cached_block(cached, i)->domain == DOMAIN_MALLOC &&
            (is_libcs(cached, i) || cached_is_in_ranges(&cached->libraries, caller_of(cached, i))))
            cached->marks[i] |= MARK_ASKED;
    for (size_t i = 0; i < scan->roots.used / sizeof(*roots); i++) {
        uint32_t target = roots[i] & SCAN_EDGE_TARGET;
        if (roots[i] != SCAN_EDGE_NONE && is_in_descriptor(places[i]) &&
            cached_block(cached, target)->size == SPECIFIC_SIZE && is_libcs(cached, target))
            cached->marks[target] |= (uint16_t)(MARK_SPECIFIC | (cached->marks[target] & MARK_MADE ? MARK_OUT : 0));
    }
}

/* ---- by what it is ---- */

bool scan_cached_is_own(const struct scan_cached *cached, uint32_t number)
{
    const struct scan_block *block = cached_block(cached, number);

    return block->facts & FACT_INTERPRETER || scan_is_loaders(cached->scan, block) ||
           scan_cached_count(cached, number) == 0;
}

/* ---- lists ---- */

bool scan_cached_is_item(const struct scan_cached *cached, uint32_t list, uint32_t target)
{
    const struct scan_block *block = cached_block(cached, list), *item = cached_block(cached, target);
    uint64_t head[2], words[64]; /* size, items */

    if (!scan_copy(&cached->scan->reader, head, block->start + block->object + OB_SIZE, sizeof(head)))
        return true;
    for (uint64_t at = 0; at < head[0]; at += ARRAY_SIZE(words)) {
        size_t count = MIN(head[0] - at, ARRAY_SIZE(words));
        if (!scan_copy(&cached->scan->reader, words, head[1] + at * sizeof(words[0]), count * sizeof(words[0])))
            return true;
        for (size_t i = 0; i < count; i++)
            if (words[i] - item->start < item->size)
                return true;
    }
    return false;
}
