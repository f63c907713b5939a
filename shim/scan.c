/* SPDX-License-Identifier: MIT */
#include "scan.h"

#include "arena.h"
#include "ledger.h"
#include "log.h"
#include "own_stack.h"
#include "pyapi.h"
#include "real.h"
#include "scan_graph.h"
#include "scan_scope.h"
#include "scan_state.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static uint64_t tcache_key;

/* Since glibc 2.34 the second word of a chunk in a thread's cache is a number chosen at the start of the process. Other
 * allocators leave something else there, which then is met nowhere. */
void scan_start(void)
{
    uint64_t *memory = real.malloc(24);

    if (!memory)
        return;
    memory[1] = 0;
    real.free(memory);
    __asm__ volatile("" : : : "memory");
    uint64_t key = ((volatile uint64_t *)memory)[1];
    tcache_key = key >> 32 ? key : 0;
}

/* ---- results ---- */

/* The leader of a cycle is what says most about it: a class before its dict and its tuples, an instance of one before the
 * dicts and lists; then the one whose stack is oldest, which is the same one for each cycle that is made in the same way. */
static uint64_t rank_of(void *context, uint32_t number)
{
    const struct scan *scan = context;
    const struct scan_block *block = &scan->index.blocks[number];
    const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
    uint64_t group = block->part ? 4 : 3;

    if (block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT)
        group = block->facts & FACT_TYPE ? 0 : block->facts & FACT_INSTANCE ? 1 : 2;
    return group << 32 | record->trace;
}

static void note_kept(void *context, uint32_t block)
{
    struct scan *scan = context;
    scan->index.blocks[block].kept = 1;
}

static void note_member(void *context, uint32_t leader, uint32_t block)
{
    struct scan *scan = context;
    scan->leaders[block] = leader + 1;
}

/* Changes the flags of a record, unless the block was freed meanwhile. */
static void store_kind(struct scan *scan, uint32_t number)
{
    const struct scan_block *block = &scan->index.blocks[number];
    uint8_t kind = scan->kinds[number];
    struct ledger_record *record = ledger_entry(LEDGER_RECORDS, block->record);
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_RELAXED);

    if (ledger_owner_address(owner) != block->start)
        return;
    /* The interpreter recycles objects: what it allocated at its start may have become the program's since. */
    bool recycled = kind != BLOCK_REACHABLE && (block->domain == DOMAIN_OBJ || block->domain == DOMAIN_MEM);
    uint64_t wanted = (owner & ~(uint64_t)(RECORD_KIND_MASK | RECORD_INTERPRETER)) |
                      (uint64_t)kind << RECORD_KIND_SHIFT | (block->kept ? RECORD_INTERPRETER : 0);
    if (recycled)
        wanted &= ~(uint64_t)RECORD_STARTUP;
    __atomic_compare_exchange_n(&record->owner, &owner, wanted, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    if (scan->why && !(wanted & (RECORD_STARTUP | RECORD_INTERPRETER)))
        scan_why_note(scan, number, record);
}

/* ---- what registers may hold ---- */

struct trace_counts {
    const struct scan *scan;
    uint32_t *lost; /* definite blocks of each trace */
};

static uint32_t trace_of(const struct scan *scan, uint32_t number)
{
    const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, scan->index.blocks[number].record);
    return record->trace;
}

static int is_weak(void *context, uint32_t number)
{
    const struct trace_counts *counts = context;
    return counts->lost[trace_of(counts->scan, number)] <= counts->scan->threads->registers;
}

/* Each register that cannot be seen may hold the only pointer to a block: as many blocks as there are may be in use. Where one
 * stack has lost more than that, some of them surely are lost. */
static int weaken(struct scan *scan, const struct scan_graph *graph)
{
    uint32_t traces = 0;

    for (uint32_t i = 0; i < scan->index.count; i++)
        traces = MAX(traces, trace_of(scan, i) + 1);
    size_t size = ((size_t)traces + 1) * sizeof(uint32_t);
    struct trace_counts counts = {scan, arena_map(size)};
    if (!counts.lost)
        return -ENOMEM;
    for (uint32_t i = 0; i < scan->index.count; i++)
        counts.lost[trace_of(scan, i)] += scan->kinds[i] == BLOCK_DEFINITE;
    int result = scan_graph_weaken(graph, scan->kinds, is_weak, &counts);
    arena_unmap(counts.lost, size);
    return result;
}

/* Nothing is to be written into records. */
static bool is_only_look(const struct scan_options *options)
{
    return options->look || options->scope;
}

static int classify(struct scan *scan, const struct scan_options *options)
{
    struct scan_graph graph = {
        .count = scan->index.count,
        .first = scan->first,
        .edges = (const uint32_t *)(const void *)scan->edges.data,
        .roots = (const uint32_t *)(const void *)scan->roots.data,
        .root_count = scan->roots.used / sizeof(uint32_t),
        .lost = scan_find_garbage,
        .is_kept = scan_is_survivor,
        .kept = note_kept,
        .late_roots = scan->late_roots,
        .rank = rank_of,
        .parents = scan->parents,
        .member = scan->leaders ? note_member : NULL,
        .context = scan,
    };
    int result = scan_graph_classify(&graph, scan->kinds);

    if (result == 0 && scan->python.running && !options->look)
        scan_look_excuse(scan);
    if (result == 0 && options->threads && scan->threads->registers) {
        ledger_lacks(LACK_REGISTERS);
        result = weaken(scan, &graph);
    }
    if (result < 0)
        return result;
    if (options->growth && scan->python.running)
        scan_growth_note(scan);
    if (options->look) {
        if (scan_look_wanted())
            scan_look_remember(scan);
        scan_states_keep(scan);
        return 0;
    }
    scan_states_name(scan);
    scan_references_count(scan);
    for (uint32_t i = 0; i < scan->index.count; i++)
        store_kind(scan, i);
    return 0;
}

/* ---- the run ---- */

static int prepare(struct scan *scan, const struct scan_options *options)
{
    int result = scan_reader_init(&scan->reader);

    if (result < 0 || (result = scan_index_init(&scan->index)) < 0 ||
        (result = scan_mappings_read(&scan->mappings)) < 0)
        return result;
    if (scan->index.count >= SCAN_HIT_TARGET)
        return -E2BIG;
    scan->first = arena_map(((size_t)scan->index.count + 1) * sizeof(*scan->first));
    scan->kinds = arena_map((size_t)scan->index.count + 1);
    if (!scan->first || !scan->kinds)
        return -ENOMEM;
    scan->tcache_key = tcache_key;
    scan->types = options->types;
    scan_modules(scan, options->python ? (uintptr_t)options->python->type_type : 0);
    scan_python_init(&scan->python, options->python, &scan->reader, &scan->index, &scan->data, &scan->interpreter,
                     &scan->library);
    if (options->look)
        scan->python.running = scan->python.active; /* as good as: all is still there */
    if ((!is_only_look(options) || options->growth) && !scan_references_init(scan))
        return -ENOMEM;
    return is_only_look(options) || scan_why_init(scan) ? 0 : -ENOMEM;
}

static void clean_up(struct scan *scan)
{
    struct scan_array *arrays[] = {&scan->mappings, &scan->data,  &scan->holes, &scan->arenas, &scan->library,
                                   &scan->edges,    &scan->roots, &scan->bases, &scan->places, &scan->states};

    scan_python_done(&scan->python);
    for (size_t i = 0; i < ARRAY_SIZE(arrays); i++)
        scan_array_done(arrays[i]);
    scan_references_done(scan);
    scan_why_done(scan);
    arena_unmap(scan->first, ((size_t)scan->index.count + 1) * sizeof(*scan->first));
    arena_unmap(scan->kinds, (size_t)scan->index.count + 1);
    scan_index_done(&scan->index);
    scan_reader_done(&scan->reader);
}

/* CPU time of this thread. */
static long milliseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int run(struct scan *scan, const struct scan_options *options)
{
    long times[5] = {milliseconds()};
    int result = prepare(scan, options);

    times[1] = milliseconds();
    if (result < 0)
        return result;
    scan_blocks(scan);
    times[2] = milliseconds();
    result = scan->failed ? -ENOMEM : scan_find_roots(scan);
    times[3] = milliseconds();
    if (result < 0)
        return result;
    scan_resolve(scan);
    result = options->scope ? scan_scope_find(scan, options->scope) : classify(scan, options);
    if (result == 0 && !is_only_look(options)) {
        scan_references_audit(scan);
        scan_why_write(scan);
    }
    times[4] = milliseconds();
    log_line(2, "scan of %u blocks, %zu edges, %zu roots: index %ld ms, blocks %ld ms, roots %ld ms, kinds %ld ms",
             scan->index.count, scan->edges.used / 4, scan->roots.used / 4, times[1] - times[0], times[2] - times[1],
             times[3] - times[2], times[4] - times[3]);
    return result;
}

static _cold_ int run_from(uintptr_t stack, const struct scan_options *options)
{
    struct scan *scan = arena_map(sizeof(*scan));
    struct scan_threads threads = {0};
    int result = -ENOMEM;

    if (scan) {
        scan->stack = stack;
        scan->drop = options->drop;
        scan->threads = options->threads ? options->threads : &threads;
        if (!options->threads)
            scan_threads_read(&threads, NULL);
        result = run(scan, options);
        if (scan->skipped && !is_only_look(options))
            ledger_lacks(LACK_SCAN_PART);
        clean_up(scan);
        scan_threads_done(&threads);
        arena_unmap(scan, sizeof(*scan));
    }
    if (result < 0 && !is_only_look(options)) {
        ledger_lacks(LACK_SCAN);
        log_line(1, "no leak scan: %s", strerror(-result));
    }
    return result;
}

/* The registers that belong to the callers may hold the only pointer to a block: they are saved in this frame, from which
 * on the stack counts; or where the thread has left its stack. */
__attribute__((noinline)) int scan_run(const struct scan_options *options)
{
    __builtin_unwind_init();
    uintptr_t stack = (uintptr_t)__builtin_frame_address(0) - 8 * sizeof(uintptr_t);
    int result = run_from(own_stack_left() ? own_stack_left() : stack, options);
    __asm__ volatile("" : : "r"(&result) : "memory"); /* no tail call: the frame must last */
    return result;
}
