/* SPDX-License-Identifier: MIT
 *
 * Pointers that are given to free or realloc and are no recorded block: what can be said of them. */
#include "errors.h"
#include "event.h"
#include "guarded.h"
#include "place.h"

#define WALK_MAX (1ull << 28) /* records that searches may look at in the process's life */

static bool note_invalid(const void *p, const struct release *release, const struct guarded_block *block,
                         const char *detail)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return false;
    errors_note(&(struct error_note){
        .kind = ERROR_INVALID_FREE,
        .domain = block ? block->domain : release->by,
        .address = (uintptr_t)p,
        .size = block ? block->size : 0,
        .trace = event_trace(thread, release->frame),
        .alloc_trace = block ? block->alloc_trace : 0,
        .free_trace = block ? block->free_trace : 0,
        .detail = detail,
    });
    thread_leave();
    return true;
}

/* What glibc's free looks at before it gives up a process: the chunk's own size and its neighbour's. */
static bool is_plausible_chunk(const void *p)
{
    const uint8_t *chunk = (const uint8_t *)p - 16;
    uint64_t word, size, next;

    if (((uintptr_t)p & 15) || !block_prefix_readable(chunk + block_distance))
        return false;
    memcpy(&word, chunk + 8, 8);
    size = word & ~7ULL;
    if (size < 32 || size % 16 || size >> 46)
        return false;
    if (word & 2) { /* a mapping of its own; since 2.43 the size is without the header */
        uintptr_t end = (uintptr_t)chunk + size;
        return (end & 4095) == 0 || ((end + 16) & 4095) == 0;
    }
    if (!block_prefix_readable(chunk + size + block_distance))
        return false;
    memcpy(&next, chunk + size + 8, 8);
    return (next & 1) && (next & ~7ULL) >= 16 && next >> 46 == 0;
}

bool guarded_real_is_libc(void)
{
    const struct ledger_module *module = place_module((uintptr_t)real.free);
    return module && module == place_module((uintptr_t)real._exit);
}

/* Whether every block there is has a record: otherwise nothing can be said of one that has none. */
static bool all_recorded(void)
{
    const uint64_t all = 1u << DOMAIN_MALLOC | 1u << DOMAIN_RAW | 1u << DOMAIN_MEM | 1u << DOMAIN_OBJ;
    return !sample_mean && (start_options.domains & all) == all;
}

/* The reference before a block was overwritten: the block cannot be given back, but it is known. */
static bool note_lost_prefix(uint32_t id, const struct guarded_block *block, uint64_t owner,
                             const struct release *release)
{
    struct ledger_record *record = records_get(id);
    struct thread *thread = thread_enter();

    if (!thread)
        return false;
    if (!(owner & RECORD_DAMAGED))
        guarded_note_prefix(thread, block, release->frame);
    /* Of threads that do this at the same moment, one retires the record. */
    if (__atomic_compare_exchange_n(&record->owner, &owner, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        event_count_free(thread, block->domain, block->size);
        records_give(&thread->records, id);
    }
    thread_leave();
    return true;
}

/* The same of one that was freed before. */
static bool note_lost_again(struct quarantine_entry *entry, const struct guarded_block *block,
                            const struct release *release)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return false;
    if (!(entry->place & QUARANTINE_SIDES_NOTED))
        guarded_note_prefix(thread, block, release->frame);
    __atomic_fetch_or(&entry->place, QUARANTINE_SIDES_NOTED, __ATOMIC_RELAXED);
    guarded_note_double_free(thread, block, release);
    thread_leave();
    return true;
}

/* ---- what a pointer points into ---- */

/* What was found. */
struct search {
    uintptr_t address;
    struct guarded_block block;
    uint32_t id;                    /* of a live block's record.. */
    uint64_t owner;                 /* ..and what it says */
    struct quarantine_entry *entry; /* of a freed one */
};

static void compare_kept(struct quarantine_entry *entry, void *argument)
{
    struct search *search = argument;
    struct guarded_block block = guarded_kept(entry);

    if (search->address - (block.address - block_distance) < block.size + block_distance + block_trailer) {
        search->block = block;
        search->entry = entry;
    }
}

/* Looks for the block that holds the address among all there are, but not too often in the process's life. */
static bool find_block(struct search *search)
{
    static uint64_t walked;
    uint64_t cost = place_limit(LEDGER_RECORDS);

    if (__atomic_add_fetch(&walked, cost, __ATOMIC_RELAXED) > WALK_MAX)
        return false;
    search->id = place_block(search->address, &search->owner);
    if (search->id) {
        const struct ledger_record *record = records_get(search->id);
        const void *p = (const void *)ledger_owner_address(search->owner);
        search->block = guarded_live(p, record->size, ledger_owner_domain(search->owner), record);
        return true;
    }
    quarantine_visit(thread_current_generation(), compare_kept, search);
    return search->entry;
}

static bool is_in_block(const void *p, const struct release *release)
{
    struct search search = {.address = (uintptr_t)p};
    char detail[160];

    if (!find_block(&search))
        return false;
    intptr_t offset = (intptr_t)p - (intptr_t)search.block.address;
    if (offset == 0)
        return search.id ? note_lost_prefix(search.id, &search.block, search.owner, release)
                         : note_lost_again(search.entry, &search.block, release);
    snprintf(detail, sizeof(detail), "%s of a pointer to offset %lld of a %sblock of %llu bytes (%s)",
             misuse_releaser(release), (long long)offset, search.id ? "" : "freed ",
             (unsigned long long)search.block.size, misuse_maker(search.block.domain));
    return note_invalid(p, release, &search.block, detail);
}

_cold_ static bool find_invalid(const void *p, const struct release *release)
{
    bool python = event_is_python(release->by);
    char detail[160];
    const char *what = NULL;

    if (!python && guarded_real_is_libc() && is_plausible_chunk(p))
        return false;
    if (!block_prefix_readable((const uint8_t *)p + block_distance))
        what = "an address without memory";
    else if (place_on_stack((uintptr_t)p))
        what = "a pointer into the stack";
    else if (place_module((uintptr_t)p))
        what = "a pointer to static data";
    else if (all_recorded() && is_in_block(p, release))
        return true;
    else if (!python && guarded_real_is_libc())
        what = "a pointer that no allocator gave";
    if (!what)
        return false;
    snprintf(detail, sizeof(detail), "%s of %s", misuse_releaser(release), what);
    return note_invalid(p, release, NULL, detail);
}

/* Without the guard of thread.h nothing can be noted. */
static bool note_freed(const void *p, const struct release *release)
{
    struct guarded_block block = guarded_from_prefix(p);
    struct thread *thread = thread_enter();

    if (thread) {
        guarded_note_double_free(thread, &block, release);
        thread_leave();
    }
    return true;
}

bool guarded_is_invalid(const void *p, const struct release *release)
{
    if (guarded_is_kept(p))
        return note_freed(p, release);
    int saved = errno;
    bool invalid = !thread_local_state.busy && *thread_generation != THREAD_INACTIVE && *thread_generation != 0 &&
                   find_invalid(p, release);

    errno = saved;
    return invalid;
}
