/* SPDX-License-Identifier: MIT */
#include "guarded.h"

#include "errors.h"
#include "event.h"
#include "interpreter_lock.h"
#include "place.h"
#include "quarantine.h"

#define MOVE_MAX (256u << 10) /* growing blocks up to here move */
#define WALK_MAX (1ull << 28) /* records that searches may look at in the process's life */

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
#define __libc_single_threaded false
#endif

/* What is atomic costs as much as all the rest of a free. */
static inline bool is_single_threaded(void)
{
    return __libc_single_threaded;
}

/* ---- what is told of a damage ---- */

void guarded_describe(char *text, size_t room, const struct guard_damage *damage, uint64_t size,
                      enum block_domain domain)
{
    int used =
        snprintf(text, room, "%u byte%s at offset %lld of a %sblock of %llu bytes (%s) changed:", damage->span,
                 damage->span == 1 ? "" : "s", (long long)damage->offset,
                 damage->kind == ERROR_USE_AFTER_FREE ? "freed " : "", (unsigned long long)size, misuse_maker(domain));

    for (unsigned i = 0; i < damage->shown && (size_t)used + 8 < room; i++)
        used += snprintf(text + used, room - (size_t)used, " %02x", damage->bytes[i]);
}

static void note_damage(const struct guard_damage *damage, uintptr_t address, const struct ledger_record *record,
                        uint64_t size, enum block_domain domain, uint32_t trace)
{
    bool freed = record && record->owner & RECORD_FREED;
    char detail[224];

    guarded_describe(detail, sizeof(detail), damage, size, domain);
    errors_note(&(struct error_note){
        .kind = damage->kind,
        .domain = domain,
        .address = address,
        .size = size,
        .trace = trace,
        .alloc_trace = record ? record->trace : 0,
        .free_trace = freed ? record->type : 0,
        .detail = detail,
    });
}

static uint64_t serial_limit(void)
{
    return __atomic_load_n(&event_serials, __ATOMIC_RELAXED);
}

struct guard_damage guarded_prefix_damage(const uint64_t *prefix, const struct guard_sides *sides, uint64_t size,
                                          enum block_domain domain)
{
    struct guard_damage damage = guard_examine(sides, size, domain, serial_limit());

    if (damage.kind != ERROR_UNDERFLOW) {
        damage = (struct guard_damage){ERROR_UNDERFLOW, -(int64_t)block_distance, BLOCK_PREFIX, BLOCK_PREFIX, {0}};
        memcpy(damage.bytes, prefix, BLOCK_PREFIX);
    }
    return damage;
}

/* ---- a block at its release ---- */

static struct ledger_record *own_record(uint64_t ref)
{
    return block_record(ref) && event_is_own(ref) ? records_get(block_record(ref)) : NULL;
}

static uint64_t size_of(const void *p, const struct ledger_record *record)
{
    return record ? record->size : guard_stated_size(p);
}

_cold_ static void note_sides(struct thread *thread, const void *p, uint64_t ref, struct ledger_record *record,
                              void *const *frame)
{
    enum block_domain domain = block_domain_of(ref);
    uint64_t size = size_of(p, record);
    struct guard_sides sides;

    if (record && record->owner & RECORD_DAMAGED)
        return;
    guard_read(p, size, &sides);
    struct guard_damage damage = guard_examine(&sides, size, domain, record ? serial_limit() : UINT64_MAX);
    if (!damage.kind)
        return;
    note_damage(&damage, (uintptr_t)p, record, size, domain, event_trace(thread, frame));
    if (record)
        __atomic_fetch_or(&record->owner, RECORD_DAMAGED, __ATOMIC_RELAXED);
}

static inline void check_sides(struct thread *thread, const void *p, uint64_t ref, struct ledger_record *record,
                               void *const *frame)
{
    uint64_t size = size_of(p, record);

    if (!record && size > EVENT_SIZE_LIMIT) /* the parent's block, whose size is damaged */
        return;
    if (unlikely(!guard_intact(p, size, block_domain_of(ref), record ? serial_limit() : UINT64_MAX)))
        note_sides(thread, p, ref, record, frame);
}

static void note_double_free(struct thread *thread, const void *p, const struct ledger_record *record,
                             const struct release *release)
{
    enum block_domain domain = ledger_owner_domain(record->owner);
    char detail[128];

    snprintf(detail, sizeof(detail), "%s of a block of %llu bytes (%s) that was freed before", misuse_releaser(release),
             (unsigned long long)record->size, misuse_maker(domain));
    errors_note(&(struct error_note){
        .kind = ERROR_DOUBLE_FREE,
        .domain = domain,
        .address = (uintptr_t)p,
        .size = record->size,
        .trace = event_trace(thread, release->frame),
        .alloc_trace = record->trace,
        .free_trace = record->type,
        .detail = detail,
    });
}

/* Of threads that free one block at the same moment, one does. */
static inline bool claim(struct ledger_record *record)
{
    if (is_single_threaded()) {
        uint64_t owner = record->owner;
        __atomic_store_n(&record->owner, owner | RECORD_FREED, __ATOMIC_RELEASE);
        return !(owner & RECORD_FREED);
    }
    return !(__atomic_fetch_or(&record->owner, RECORD_FREED, __ATOMIC_ACQ_REL) & RECORD_FREED);
}

/* ---- leaving the quarantine ---- */

/* The real free, with what it frees in turn passed through. */
static void give_back(void *p, uint64_t ref)
{
    uint8_t busy = thread_local_state.busy;

    block_unmark(p);
    thread_local_state.busy = BUSY_NESTED;
    event_base_free(ref, block_base(p, ref));
    thread_local_state.busy = busy;
}

_cold_ static void note_prefix(struct thread *thread, const void *p, struct ledger_record *record, void *const *frame)
{
    enum block_domain domain = ledger_owner_domain(record->owner);
    struct guard_sides sides;

    if (record->owner & RECORD_DAMAGED)
        return;
    guard_read(p, record->size, &sides);
    struct guard_damage damage = guarded_prefix_damage(block_prefix(p), &sides, record->size, domain);
    note_damage(&damage, (uintptr_t)p, record, record->size, domain, event_trace(thread, frame));
    __atomic_fetch_or(&record->owner, RECORD_DAMAGED, __ATOMIC_RELAXED);
}

/* The record is in no cache any more, and is only written to: a store is waited for by nobody. */
static void let_go(struct thread *thread, const struct quarantine_entry *entry, void *const *frame)
{
    void *p = (void *)entry->address;
    uint64_t ref = block_prefix(p)[0];
    enum block_domain domain = block_domain_of(ref);

    if (unlikely(!block_is_marked(block_prefix(p), p))) { /* its memory cannot be given back any more */
        note_prefix(thread, p, records_get(entry->id), frame);
        records_give(&thread->records, entry->id);
        return;
    }
    if (guard_fills && unlikely(!guard_is_filled(p, entry->size, GUARD_DEAD))) {
        struct guard_damage damage = guard_examine_dead(p, entry->size, 0);
        note_damage(&damage, entry->address, records_get(entry->id), entry->size, domain, event_trace(thread, frame));
    }
    if (unlikely(!guard_intact(p, entry->size, domain, serial_limit())))
        note_sides(thread, p, ref, records_get(entry->id), frame);
    records_give(&thread->records, entry->id);
    give_back(p, ref);
}

/* Lets as many bytes go as came in, if there are too many. */
static void shrink(struct thread *thread, enum quarantine_pool pool, uint64_t added, void *const *frame)
{
    struct quarantine_entry entry;
    int64_t left = (int64_t)(added + QUARANTINE_COST);

    while (left > 0 && quarantine_take(&thread->quarantine, pool, &entry)) {
        left -= (int64_t)(entry.size + QUARANTINE_COST);
        let_go(thread, &entry, frame);
    }
}

/* ---- free ---- */

/* Python's blocks can be kept back by threads that hold the lock, in the interpreter that lives as long as the process. */
static void keep_back(struct thread *thread, void *p, uint64_t ref, struct ledger_record *record, bool holds_lock,
                      void *const *frame)
{
    bool python = event_is_python(block_domain_of(ref));
    enum quarantine_pool pool = python ? QUARANTINE_PYTHON : QUARANTINE_LIBC;
    bool kept = quarantine_keeps(record->size) && (!python || pymem_in_main_interpreter());

    if (python && !holds_lock)
        kept = true;
    if (!kept) {
        records_give(&thread->records, block_record(ref));
        give_back(p, ref);
        return;
    }
    guard_fill(p, GUARD_DEAD, record->size);
    uint64_t size = record->size;
    struct quarantine_entry entry = {(uintptr_t)p, size, block_record(ref)};
    if (!quarantine_add(&thread->quarantine, thread->generation, pool, &entry)) {
        records_give(&thread->records, entry.id);
        if (!python || holds_lock)
            give_back(p, ref);
        return;
    }
    if (!python || holds_lock)
        shrink(thread, pool, size, frame);
}

static void free_recorded(struct thread *thread, void *p, uint64_t ref, struct ledger_record *record,
                          const struct release *release)
{
    bool python = event_is_python(block_domain_of(ref)), by_python = event_is_python(release->by);
    __builtin_prefetch(record, 1); /* it may be in no cache: what does not need it comes first */
    bool missing = (python || by_python) && interpreter_lock_missing();
    uint32_t trace = event_trace(thread, release->frame);

    if (!claim(record)) {
        note_double_free(thread, p, record, release);
        return;
    }
    if (missing && by_python && !interpreter_lock_excused(thread, release->frame))
        interpreter_lock_note(thread, p, record->size, block_domain_of(ref), misuse_releaser(release), release->frame);
    misuse_check(thread, p, ref, release);
    check_sides(thread, p, ref, record, release->frame);
    event_count_free(thread, block_domain_of(ref), record->size);
    if (block_domain_of(ref) == DOMAIN_OBJ)
        pyframes_block_freed((uintptr_t)p, record->size);
    record->type = trace;
    keep_back(thread, p, ref, record, !missing, release->frame);
}

/* The parent's, or one for which the ledger had no room. */
static void free_unrecorded(struct thread *thread, void *p, uint64_t ref, const struct release *release)
{
    misuse_check(thread, p, ref, release);
    check_sides(thread, p, ref, NULL, release->frame);
    event_forget(thread, p, ref);
    give_back(p, ref);
}

void guarded_free(void *p, uint64_t ref, const struct release *release)
{
    int saved = errno;
    struct thread *thread = thread_enter();

    if (!thread) {
        event_forget_alone(ref);
        block_unmark(p);
        event_base_free(ref, block_base(p, ref));
        errno = saved;
        return;
    }
    struct ledger_record *record = own_record(ref);
    if (record)
        free_recorded(thread, p, ref, record, release);
    else
        free_unrecorded(thread, p, ref, release);
    thread_leave();
    errno = saved;
}

/* ---- realloc ---- */

static void *allocate(const struct python_origin *origin, size_t size, void *const *frame)
{
    return origin ? capture_python_malloc(origin, size, frame) : capture_malloc(size, frame);
}

/* Checks, at the beginning of a realloc. *ret_freed: the block is one that was freed already. */
static uint64_t check_before(void *p, uint64_t ref, const struct release *release, bool *ret_freed)
{
    struct ledger_record *record = own_record(ref);
    struct thread *thread = thread_enter();

    *ret_freed = record && record->owner & RECORD_FREED;
    if (!thread)
        return size_of(p, record);
    if (*ret_freed) {
        note_double_free(thread, p, record, release);
    } else {
        misuse_check(thread, p, ref, release);
        check_sides(thread, p, ref, record, release->frame);
    }
    thread_leave();
    return size_of(p, record);
}

/* Where the old block may stay: the real realloc moves what is too large to be copied. */
static void *resize_in_place(void *p, uint64_t ref, uint64_t old_size, size_t size, const struct release *release)
{
    struct thread *thread = thread_enter();
    size_t padding = block_padding(ref);

    if (!thread)
        return NULL;
    thread_local_state.busy = BUSY_NESTED;
    block_unmark(p);
    uint8_t *base = size == old_size ? block_base(p, ref)
                                     : event_base_realloc(ref, block_base(p, ref), size + padding + block_trailer);
    void *moved = base ? base + padding : p;
    thread_local_state.busy = BUSY_SHIM;
    if (base) {
        guard_fill((uint8_t *)moved + old_size, GUARD_CLEAN, size - old_size);
        event_count_free(thread, block_domain_of(ref), old_size);
        event_enter(thread, moved, size, ref, release->frame);
    } else {
        block_mark(p, ref, old_size);
    }
    thread_leave();
    return base ? moved : NULL;
}

static bool stays(uint64_t ref, uint64_t old_size, size_t size)
{
    return own_record(ref) && !thread_local_state.busy &&
           (size == old_size || (size > old_size && old_size >= MOVE_MAX));
}

void *guarded_realloc(const struct python_origin *origin, void *p, uint64_t ref, size_t size,
                      const struct release *release)
{
    bool freed;
    uint64_t old_size = check_before(p, ref, release, &freed);
    enum block_domain domain = block_domain_of(ref);
    bool python = event_is_python(domain);

    if (!freed && stays(ref, old_size, size) && !(python && interpreter_lock_missing()))
        return resize_in_place(p, python ? ref : block_with_domain(ref, release->by), old_size, size, release);
    void *moved = allocate(origin, size, release->frame);
    if (!moved)
        return NULL;
    memcpy(moved, p, MIN(old_size, size));
    struct release old = *release;
    old.by = domain; /* a mismatch has been noted */
    old.size = SIZE_MAX;
    if (!freed)
        guarded_free(p, ref, &old);
    return moved;
}

/* ---- pointers that are no blocks ---- */

static bool note_invalid(const void *p, const struct release *release, uint32_t block, const char *detail)
{
    const struct ledger_record *record = block ? records_get(block) : NULL;
    struct thread *thread = thread_enter();

    if (!thread)
        return false;
    errors_note(&(struct error_note){
        .kind = ERROR_INVALID_FREE,
        .domain = record ? ledger_owner_domain(record->owner) : release->by,
        .address = (uintptr_t)p,
        .size = record ? record->size : 0,
        .trace = event_trace(thread, release->frame),
        .alloc_trace = record ? record->trace : 0,
        .free_trace = record && record->owner & RECORD_FREED ? record->type : 0,
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

/* Other allocators mark their blocks in other ways. */
static bool real_is_libc(void)
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

static uint32_t find_block(const void *p, uint64_t *ret_owner)
{
    static uint64_t walked;
    uint64_t cost = place_limit(LEDGER_RECORDS);

    if (__atomic_add_fetch(&walked, cost, __ATOMIC_RELAXED) > WALK_MAX)
        return 0;
    return place_block((uintptr_t)p, ret_owner);
}

/* The reference before a block was overwritten: the block cannot be given back, but it is known. */
static bool note_lost_prefix(const void *p, uint32_t id, const struct release *release)
{
    struct ledger_record *record = records_get(id);
    struct thread *thread = thread_enter();

    if (!thread)
        return false;
    note_prefix(thread, p, record, release->frame);
    if (claim(record)) {
        event_count_free(thread, ledger_owner_domain(record->owner), record->size);
        records_give(&thread->records, id);
    } else {
        note_double_free(thread, p, record, release);
    }
    thread_leave();
    return true;
}

static bool is_in_block(const void *p, const struct release *release)
{
    uint64_t owner = 0;
    uint32_t id = find_block(p, &owner);

    if (!id)
        return false;
    intptr_t offset = (intptr_t)p - (intptr_t)ledger_owner_address(owner);
    if (offset == 0)
        return note_lost_prefix(p, id, release);
    char detail[160];
    snprintf(detail, sizeof(detail), "%s of a pointer to offset %lld of a %sblock of %llu bytes (%s)",
             misuse_releaser(release), (long long)offset, owner & RECORD_FREED ? "freed " : "",
             (unsigned long long)records_get(id)->size, misuse_maker(ledger_owner_domain(owner)));
    return note_invalid(p, release, id, detail);
}

_cold_ static bool find_invalid(const void *p, const struct release *release)
{
    bool python = event_is_python(release->by);
    char detail[160];
    const char *what = NULL;

    if (!python && real_is_libc() && is_plausible_chunk(p))
        return false;
    if (!block_prefix_readable((const uint8_t *)p + block_distance))
        what = "an address without memory";
    else if (place_on_stack((uintptr_t)p))
        what = "a pointer into the stack";
    else if (place_module((uintptr_t)p))
        what = "a pointer to static data";
    else if (all_recorded() && is_in_block(p, release))
        return true;
    else if (!python && real_is_libc())
        what = "a pointer that no allocator gave";
    if (!what)
        return false;
    snprintf(detail, sizeof(detail), "%s of %s", misuse_releaser(release), what);
    return note_invalid(p, release, 0, detail);
}

bool guarded_is_invalid(const void *p, const struct release *release)
{
    int saved = errno;
    bool invalid = !thread_local_state.busy && *thread_generation != THREAD_INACTIVE && *thread_generation != 0 &&
                   find_invalid(p, release);

    errno = saved;
    return invalid;
}
