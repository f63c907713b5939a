/* SPDX-License-Identifier: MIT
 *
 * Thread states of the Python interpreter. The list in which the interpreter keeps them owns none: a thread has its own in its
 * thread-local storage and on its stack for as long as it uses it, so that one which only the list leads to was made and not
 * deleted (PyThreadState_New without PyThreadState_Delete, PyGILState_Ensure without PyGILState_Release on a thread that has ended).
 * Only of the main interpreter: what another one's list has may be all that its maker has of it.
 *
 * At its end the interpreter frees what is in the list. Hence the look before (scan_look.c) keeps a record of those that are
 * lost, which no free finds. */
#include "block.h"
#include "ledger.h"
#include "pyapi.h"
#include "pycompat.h"
#include "records.h"
#include "scan.h"
#include "scan_graph.h"
#include "scan_state.h"

#include <string.h>

#define STATES_MAX 65536u
/* In a thread state, in all versions. */
#define NEXT 8u
#define INTERPRETER 2u /* word */
#define STATE_LEAST 100u
#define LEFT_OVER_FROM 14u /* version */

#define INTERPRETER_BYTES 0x8000u
#define RUNTIME_BYTES 0x1000u
#define FRAMES_BYTES 512u /* from the hook up to the interpreter's function that frees thread states */

static uintptr_t first_state(const struct pyapi *api)
{
    void *interpreter = api->main_interpreter && api->first_thread_state ? api->main_interpreter() : NULL;
    return interpreter ? (uintptr_t)api->first_thread_state(interpreter) : 0;
}

bool scan_states_many(const struct pyapi *api)
{
    uintptr_t first = first_state(api);
    return first && *(const uintptr_t *)(first + NEXT);
}

bool scan_states_is_one(const struct pyapi *api, const void *p)
{
    uint64_t ref = p ? block_find(p) : 0;
    uint32_t record = block_record(ref);

    return record && block_process(ref) == block_process_max && records_get(record)->size >= STATE_LEAST &&
           api->main_interpreter && ((void *const *)p)[INTERPRETER] == api->main_interpreter();
}

void scan_states_drop(struct scan_drop *drop, const void *p, uintptr_t frame)
{
    *drop = (struct scan_drop){(uintptr_t)p, *(const uintptr_t *)((uintptr_t)p + NEXT), frame + FRAMES_BYTES};
}

/* ---- which ---- */

static void find_states(struct scan *scan, uintptr_t state)
{
    for (unsigned count = 0; pycompat_plausible(state) && count < STATES_MAX; count++) {
        uint32_t block = scan_index_find(&scan->index, state);
        if (block != SCAN_NONE && scan->index.blocks[block].start == state) {
            uint32_t *item = scan_array_push(&scan->states, sizeof(*item));
            if (item)
                *item = block;
            scan->index.blocks[block].facts |= FACT_THREAD_STATE;
        }
        if (!scan_copy(&scan->reader, &state, state + NEXT, sizeof(state)))
            return;
    }
}

static bool is_state(const struct scan *scan, uint32_t edge)
{
    return edge != SCAN_EDGE_NONE && scan->index.blocks[edge & SCAN_EDGE_TARGET].facts & FACT_THREAD_STATE;
}

/* The interpreter's structure, or another state. */
static void drop_from_block(struct scan *scan, uint32_t number)
{
    uint32_t *edges = (void *)scan->edges.data;

    for (uint64_t i = scan->first[number]; i < scan->first[number + 1]; i++)
        if (is_state(scan, edges[i]))
            edges[i] = SCAN_EDGE_NONE;
}

/* Since 3.11 the structure is static data, and has the list near its beginning. */
static bool is_interpreters(const struct scan *scan, uintptr_t place)
{
    const struct pyapi *api = scan->python.api;
    return place - (uintptr_t)api->main_interpreter() < INTERPRETER_BYTES ||
           (api->runtime && place - (uintptr_t)api->runtime < RUNTIME_BYTES);
}

/* Of the interpreter's function that frees the state and knows the next one. */
static bool is_of_drop(const struct scan *scan, uint32_t edge, uintptr_t place)
{
    const struct scan_drop *drop = scan->drop;
    uintptr_t target = scan->index.blocks[edge & SCAN_EDGE_TARGET].start;
    return drop && place >= scan->stack && place < drop->stack_end && (target == drop->state || target == drop->next);
}

static void drop_from_roots(struct scan *scan)
{
    const uintptr_t *places = (const void *)scan->places.data;
    uint32_t *roots = (void *)scan->roots.data;
    size_t count = scan->roots.used / sizeof(*roots);

    for (size_t i = 0; i < count; i++)
        if (is_state(scan, roots[i]) && (is_interpreters(scan, places[i]) || is_of_drop(scan, roots[i], places[i])))
            roots[i] = SCAN_EDGE_NONE;
}

/* Whether a thread state of `size` bytes may have this address for its neighbour: none, another one, or the interpreter's first. */
static bool is_neighbour(const struct scan *scan, uintptr_t address, uint64_t size)
{
    uint32_t number = scan_index_find(&scan->index, address);

    if (number == SCAN_NONE)
        return !address || address - scan->interpreter.start < scan->interpreter.end - scan->interpreter.start;
    const struct scan_block *block = &scan->index.blocks[number];
    return block->domain == DOMAIN_RAW && block->start == address && block->size == size;
}

static bool is_left_over(const struct scan *scan, const struct scan_block *block)
{
    uint64_t words[INTERPRETER + 1];

    return block->domain == DOMAIN_RAW && block->size >= STATE_LEAST &&
           scan_copy(&scan->reader, words, block->start, sizeof(words)) && words[INTERPRETER] &&
           words[INTERPRETER] - scan->interpreter.start < scan->interpreter.end - scan->interpreter.start &&
           is_neighbour(scan, words[0], block->size) && is_neighbour(scan, words[NEXT / 8], block->size);
}

/* From 3.14 on the interpreter that takes itself down takes the states out of its list, but does not free those that others may
 * still use; what remains is that they are linked with one another. */
static void find_left_over(struct scan *scan)
{
    for (uint32_t i = 0; i < scan->index.count; i++) {
        uint32_t *item =
            is_left_over(scan, &scan->index.blocks[i]) ? scan_array_push(&scan->states, sizeof(*item)) : NULL;
        if (!item)
            continue;
        *item = i;
        scan->index.blocks[i].facts |= FACT_THREAD_STATE;
    }
    const uint32_t *states = (const void *)scan->states.data;
    for (size_t i = 0; i < scan->states.used / sizeof(*states); i++)
        drop_from_block(scan, states[i]);
}

void scan_states_drop_links(struct scan *scan)
{
    const uint32_t *states;
    uint32_t interpreter;

    if (!scan->python.active || ledger_header->forked)
        return;
    if (!scan->python.running) {
        if (scan->python.minor >= LEFT_OVER_FROM)
            find_left_over(scan);
        return;
    }
    find_states(scan, first_state(scan->python.api));
    if (scan->drop)
        find_states(scan, scan->drop->state);
    if (!scan->states.used)
        return;
    states = (const void *)scan->states.data;
    for (size_t i = 0; i < scan->states.used / sizeof(*states); i++)
        drop_from_block(scan, states[i]);
    interpreter = scan_index_find(&scan->index, (uintptr_t)scan->python.api->main_interpreter());
    if (interpreter != SCAN_NONE)
        drop_from_block(scan, interpreter);
    drop_from_roots(scan);
}

/* ---- threads that begin or end ---- */

#define EXCUSED_EACH 2u /* the state, and what leads to it to start the thread with */

bool scan_states_in_use(struct scan *scan, const struct scan_block *block, const struct ledger_trace *trace)
{
    if (block->domain != DOMAIN_RAW || scan->excused >= EXCUSED_EACH * scan->threads->running ||
        !scan_is_starting(trace))
        return false;
    scan->excused++;
    return true;
}

/* ---- what is told ---- */

void scan_states_name(struct scan *scan)
{
    static const char name[] = LEDGER_STATE_TYPE;
    const uint32_t *states = (const void *)scan->states.data;

    for (size_t i = 0; i < scan->states.used / sizeof(*states); i++) {
        const struct scan_block *block = &scan->index.blocks[states[i]];
        struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
        if (ledger_owner_address(__atomic_load_n(&record->owner, __ATOMIC_RELAXED)) == block->start)
            __atomic_store_n(&record->type, ledger_text(name, strlen(name)), __ATOMIC_RELAXED);
    }
}

void scan_states_keep(struct scan *scan)
{
    const uint32_t *states = (const void *)scan->states.data;
    struct records_cache cache = {0};

    scan_states_name(scan);
    for (size_t i = 0; i < scan->states.used / sizeof(*states); i++) {
        const struct scan_block *block = &scan->index.blocks[states[i]];
        uint32_t id = scan->kinds[states[i]] == BLOCK_DEFINITE ? records_take(&cache) : 0;
        if (!id)
            continue;
        struct ledger_record *kept = records_get(id), *record = records_get(block->record);
        uint32_t flags = ledger_owner_flags(record->owner) & RECORD_STARTUP;
        kept->size = record->size;
        kept->trace = record->trace;
        kept->thread = record->thread;
        kept->type = record->type;
        kept->mark = record->mark;
        __atomic_store_n(
            &kept->owner,
            ledger_owner(block->start, DOMAIN_THREAD_STATE, flags | (uint32_t)BLOCK_DEFINITE << RECORD_KIND_SHIFT),
            __ATOMIC_RELEASE);
    }
    records_flush(&cache);
}
