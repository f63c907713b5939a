/* SPDX-License-Identifier: MIT
 *
 * Scopes (memshim/scope.h). Each edge of a scope begins a new interval, and each record knows in which one it was made. */
#include "memshim/scope.h"

#include "arena.h"
#include "domains.h"
#include "event.h"
#include "place.h"
#include "pymem.h"
#include "scan.h"
#include "scan_scope.h"

static const char *const domain_names[DOMAIN_BLOCK_COUNT] = {"malloc", "raw",   "mem",  "obj",
                                                             "new",    "new[]", "mmap", "tracked"};

static uint32_t next_interval(void)
{
    return __atomic_add_fetch(&event_interval, 1, __ATOMIC_ACQ_REL);
}

_exported_ int memshim_scope_begin(struct memshim_scope *scope, unsigned flags)
{
    if (!scope || flags & ~(unsigned)MEMSHIM_SCOPE_THREAD)
        return -EINVAL;
    *scope = (struct memshim_scope){0};
    if (*thread_generation == THREAD_INACTIVE)
        return -ENODEV;
    if (sample_mean)
        return -ENOTSUP;
    struct thread *thread = thread_enter();
    if (!thread)
        return -EAGAIN;
    scope->generation = thread->generation;
    scope->thread = flags & MEMSHIM_SCOPE_THREAD ? thread->id : 0;
    scope->first = next_interval();
    thread_leave();
    return 0;
}

_exported_ int memshim_scope_end(struct memshim_scope *scope)
{
    if (!scope || !scope->first)
        return -EINVAL;
    scope->last = next_interval();
    return 0;
}

_exported_ int memshim_scope_label(struct memshim_scope *scope, const char *label)
{
    if (!scope || !scope->first)
        return -EINVAL;
    struct thread *thread = thread_enter();
    if (!thread)
        return *thread_generation == THREAD_INACTIVE ? -ENODEV : -EAGAIN;
    scope->label = label ? ledger_text(label, strlen(label)) : 0;
    thread_leave();
    return label && !scope->label ? -ENOMEM : 0;
}

struct measure {
    const struct memshim_scope *scope;
    const void *const *except;
    size_t except_count;
    struct memshim_scope_leak *leaks;
    size_t room, count, latest;
    struct memshim_scope_sum sum, kept;
    const struct scan_scope *found; /* NULL: nothing is known of caches */
};

static bool is_excepted(const struct measure *measure, uint64_t start, uint64_t size)
{
    for (size_t i = 0; i < measure->except_count; i++)
        if ((uintptr_t)measure->except[i] - start < MAX(size, 1u))
            return true;
    return false;
}

/* Adds to the row of the stack, if there is one or room for it. Blocks of one stack often come together. */
static void add(struct measure *measure, uint32_t trace, const char *domain, uint64_t size)
{
    size_t i = measure->latest;

    measure->sum.blocks++;
    measure->sum.bytes += size;
    if (i >= measure->count || measure->leaks[i].trace != trace || measure->leaks[i].domain != domain)
        for (i = 0; i < measure->count; i++)
            if (measure->leaks[i].trace == trace && measure->leaks[i].domain == domain)
                break;
    if (i == measure->room)
        return;
    if (i == measure->count)
        measure->leaks[measure->count++] = (struct memshim_scope_leak){.trace = trace, .domain = domain};
    measure->leaks[i].blocks++;
    measure->leaks[i].bytes += size;
    measure->latest = i;
}

static const char *name_of(const struct measure *measure, enum block_domain domain, uint32_t type)
{
    const char *name = ledger_names_domain(domain) ? domains_name(type, measure->scope->generation) : NULL;

    return name ? name : domain_names[domain];
}

/* LEDGER_TEXT ref of the label that the block's thread had, or 0. */
static uint32_t label_of(uint32_t trace)
{
    const struct ledger_trace *entry = trace ? ledger_entry(LEDGER_TRACES, trace) : NULL;
    const struct ledger_node *node = entry && entry->python ? ledger_entry(LEDGER_NODES, entry->python) : NULL;

    return node && node->meta & NODE_LABEL ? (uint32_t)node->key : 0;
}

static void look_at(struct measure *measure, const struct ledger_record *record, uint32_t id)
{
    const struct memshim_scope *scope = measure->scope;
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
    uint32_t mark = __atomic_load_n(&record->mark, __ATOMIC_RELAXED), trace = record->trace, thread = record->thread;
    uint64_t size = __atomic_load_n(&record->size, __ATOMIC_RELAXED);
    uint32_t type = __atomic_load_n(&record->type, __ATOMIC_RELAXED);

    if (!owner || ledger_owner_flags(owner) & RECORD_FREED || !ledger_is_block(ledger_owner_domain(owner)) ||
        mark - scope->first >= scope->last - scope->first || (scope->thread && scope->thread != thread))
        return;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&record->owner, __ATOMIC_RELAXED) != owner ||
        is_excepted(measure, ledger_owner_address(owner), size) || (scope->label && label_of(trace) != scope->label))
        return;
    if (measure->found && scan_scope_has(measure->found, id)) {
        measure->kept.blocks++;
        measure->kept.bytes += size;
        return;
    }
    add(measure, trace, name_of(measure, ledger_owner_domain(owner), type), size);
}

static void look_at_all(struct measure *measure, const struct thread *thread)
{
    uint32_t limit = measure->scope->generation == thread->generation ? place_limit(LEDGER_RECORDS) : 0;

    measure->count = measure->latest = 0;
    measure->sum = measure->kept = (struct memshim_scope_sum){0};
    for (uint32_t id = 1; id < limit; id++)
        look_at(measure, records_get(id), id);
}

static bool is_valid(const struct memshim_scope *scope, const struct memshim_scope_leak *leaks, const size_t *count,
                     const struct memshim_scope_sum *sum)
{
    return scope && count && sum && scope->first && scope->last && (leaks || !*count);
}

_exported_ int memshim_scope_leaks(const struct memshim_scope *scope, const void *const *except, size_t except_count,
                                   struct memshim_scope_leak *leaks, size_t *count, struct memshim_scope_sum *sum)
{
    struct measure measure = {
        .scope = scope, .except = except, .except_count = except_count, .leaks = leaks, .room = count ? *count : 0};

    if (!is_valid(scope, leaks, count, sum))
        return -EINVAL;
    struct thread *thread = thread_enter();
    if (!thread)
        return *thread_generation == THREAD_INACTIVE ? -ENODEV : -EAGAIN;
    look_at_all(&measure, thread);
    thread_leave();
    *count = measure.count;
    *sum = measure.sum;
    return 0;
}

/* Looks again, when it is known which of the blocks are caches'. */
static int look_closely(struct measure *measure, const struct memshim_scope_known *known, size_t known_count,
                        const struct thread *thread)
{
    uint32_t limit = place_limit(LEDGER_RECORDS);
    struct scan_scope found = {.first = measure->scope->first,
                               .last = measure->scope->last,
                               .thread = thread->id,
                               .known = known,
                               .known_count = known_count,
                               .kept = arena_map(limit / 8 + 1),
                               .limit = limit};
    int result = found.kept ? scan_run(&(struct scan_options){.python = pymem_api(), .scope = &found}) : -ENOMEM;

    if (result == 0) {
        measure->found = &found;
        look_at_all(measure, thread);
        measure->found = NULL;
    }
    arena_unmap(found.kept, limit / 8 + 1);
    return result == 0 || result == -ENOMEM ? result : -EIO;
}

_exported_ int memshim_scope_leaks_but(const struct memshim_scope *scope, const struct memshim_scope_known *known,
                                       size_t known_count, struct memshim_scope_leak *leaks, size_t *count,
                                       struct memshim_scope_sum *sum, struct memshim_scope_sum *kept)
{
    struct measure measure = {.scope = scope, .leaks = leaks, .room = count ? *count : 0};

    if (!is_valid(scope, leaks, count, sum) || (known_count && !known))
        return -EINVAL;
    struct thread *thread = thread_enter();
    if (!thread)
        return *thread_generation == THREAD_INACTIVE ? -ENODEV : -EAGAIN;
    look_at_all(&measure, thread);
    int result = measure.sum.blocks ? look_closely(&measure, known, known_count, thread) : 0;
    thread_leave();
    if (result < 0)
        return result;
    *count = measure.count;
    *sum = measure.sum;
    if (kept)
        *kept = measure.kept;
    return 0;
}
