/* SPDX-License-Identifier: MIT */
#include "guarded.h"

#include "errors.h"
#include "event.h"
#include "interpreter_lock.h"
#include "plain.h"
#include "quarantine.h"

#define MOVE_MAX (256u << 10) /* growing blocks up to here move */

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

void guarded_note_damage(const struct guard_damage *damage, const struct guarded_block *block, uint32_t trace)
{
    char detail[224];

    guarded_describe(detail, sizeof(detail), damage, block->size, block->domain);
    errors_note(&(struct error_note){
        .kind = damage->kind,
        .domain = block->domain,
        .address = block->address,
        .size = block->size,
        .trace = trace,
        .alloc_trace = block->alloc_trace,
        .free_trace = block->free_trace,
        .detail = detail,
    });
}

struct guarded_block guarded_live(const void *p, uint64_t size, enum block_domain domain,
                                  const struct ledger_record *record)
{
    return (struct guarded_block){(uintptr_t)p, size, domain, record ? record->trace : 0, 0};
}

struct guarded_block guarded_kept(const struct quarantine_entry *entry)
{
    return (struct guarded_block){quarantine_address(entry->place), entry->size, quarantine_domain(entry->place),
                                  entry->alloc_trace, entry->free_trace};
}

uint64_t guarded_serial_limit(void)
{
    return __atomic_load_n(&event_serials, __ATOMIC_RELAXED);
}

struct guard_damage guarded_prefix_damage(const uint64_t *prefix, const struct guard_sides *sides,
                                          const struct guarded_block *block)
{
    struct guard_damage damage = guard_examine(sides, block->size, block->domain, guarded_serial_limit());

    if (damage.kind != ERROR_UNDERFLOW) {
        damage = (struct guard_damage){ERROR_UNDERFLOW, -(int64_t)block_distance, BLOCK_PREFIX, BLOCK_PREFIX, {0}};
        memcpy(damage.bytes, prefix, BLOCK_PREFIX);
    }
    return damage;
}

_cold_ void guarded_note_prefix(struct thread *thread, const struct guarded_block *block, void *const *frame)
{
    const void *p = (const void *)block->address;
    struct guard_sides sides;

    guard_read(p, block->size, &sides);
    struct guard_damage damage = guarded_prefix_damage(block_prefix(p), &sides, block);
    guarded_note_damage(&damage, block, event_trace(thread, frame));
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

/* False: its guard bytes are damaged, which is noted by now. */
_cold_ static bool note_sides(struct thread *thread, const struct guarded_block *block, uint64_t limit,
                              void *const *frame)
{
    struct guard_sides sides;

    guard_read((const void *)block->address, block->size, &sides);
    struct guard_damage damage = guard_examine(&sides, block->size, block->domain, limit);
    if (damage.kind)
        guarded_note_damage(&damage, block, event_trace(thread, frame));
    return !damage.kind;
}

/* Checks a block that is live. False: damage is known. */
static inline bool check_sides(struct thread *thread, const void *p, uint64_t ref, struct ledger_record *record,
                               void *const *frame)
{
    uint64_t size = size_of(p, record), limit = record ? guarded_serial_limit() : UINT64_MAX;

    if (!record && size > EVENT_SIZE_LIMIT) /* the parent's block, whose size is damaged */
        return false;
    if (likely(guard_intact(p, size, block_domain_of(ref), limit)))
        return true;
    if (record && record->owner & RECORD_DAMAGED)
        return false;
    struct guarded_block block = guarded_live(p, size, block_domain_of(ref), record);
    if (note_sides(thread, &block, limit, frame))
        return true;
    if (record)
        __atomic_fetch_or(&record->owner, RECORD_DAMAGED, __ATOMIC_RELAXED);
    return false;
}

bool guarded_is_kept(const void *p)
{
    return !((uintptr_t)p & 15) && block_prefix_readable(p) && block_is_kept(block_prefix(p), p);
}

void guarded_note_double_free(struct thread *thread, const struct guarded_block *block, const struct release *release)
{
    char detail[128];

    snprintf(detail, sizeof(detail), "%s of a block of %llu bytes (%s) that was freed before", misuse_releaser(release),
             (unsigned long long)block->size, misuse_maker(block->domain));
    errors_note(&(struct error_note){
        .kind = ERROR_DOUBLE_FREE,
        .domain = block->domain,
        .address = block->address,
        .size = block->size,
        .trace = event_trace(thread, release->frame),
        .alloc_trace = block->alloc_trace,
        .free_trace = block->free_trace,
        .detail = detail,
    });
}

/* What the prefix of a freed block says of it. */
struct guarded_block guarded_from_prefix(const void *p)
{
    const uint64_t *prefix = block_prefix(p);

    return (struct guarded_block){(uintptr_t)p, guard_stated_size(p), block_domain_of(prefix[0]),
                                  block_alloc_trace(prefix), block_free_trace(prefix)};
}

/* Of threads that free one block at the same moment, one does. */
static inline bool claim(void *p)
{
    uint64_t *word = &block_prefix(p)[1], is = *word;

    if (is_single_threaded())
        return true;
    return block_is_marked(block_prefix(p), p) &&
           __atomic_compare_exchange_n(word, &is, BLOCK_CLAIMED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
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

_cold_ static void note_dead(struct thread *thread, const struct guarded_block *block, void *const *frame)
{
    struct guard_damage damage = guard_examine_dead((const void *)block->address, block->size, 0);

    if (damage.kind)
        guarded_note_damage(&damage, block, event_trace(thread, frame));
}

struct leaving {
    struct thread *thread;
    void *const *frame;
};

static void let_go(const struct quarantine_entry *entry, void *argument)
{
    const struct leaving *leaving = argument;
    void *p = (void *)quarantine_address(entry->place);
    uint64_t ref = block_prefix(p)[0];

    struct guarded_block block = guarded_kept(entry);
    if (unlikely(!block_is_kept(block_prefix(p), p))) { /* its memory cannot be given back any more */
        if (!(entry->place & QUARANTINE_SIDES_NOTED))
            guarded_note_prefix(leaving->thread, &block, leaving->frame);
        return;
    }
    if (guard_fills && unlikely(!guard_is_filled(p, entry->size, GUARD_DEAD)) &&
        !(entry->place & QUARANTINE_DEAD_NOTED))
        note_dead(leaving->thread, &block, leaving->frame);
    if (unlikely(!guard_intact(p, entry->size, quarantine_domain(entry->place), guarded_serial_limit())) &&
        !(entry->place & QUARANTINE_SIDES_NOTED))
        note_sides(leaving->thread, &block, guarded_serial_limit(), leaving->frame);
    give_back(p, ref);
}

/* ---- free ---- */

/* Python's blocks can be kept back by threads that hold the lock, in the interpreter that lives as long as the process. The block
 * has been claimed and has no record any more. */
static void keep_back(struct thread *thread, void *p, uint64_t ref, const struct quarantine_entry *entry,
                      bool holds_lock, void *const *frame)
{
    bool python = event_is_python(block_domain_of(ref)), returnable = !python || holds_lock;
    enum quarantine_pool pool = python ? QUARANTINE_PYTHON : QUARANTINE_LIBC;
    bool kept = !returnable || (quarantine_keeps(entry->size) && (!python || pymem_in_main_interpreter()));

    if (kept) {
        guard_fill(p, GUARD_DEAD, entry->size);
        block_keep(p, ref, entry->alloc_trace, entry->free_trace);
        kept = quarantine_add(&thread->quarantine, thread->generation, pool, entry);
    }
    if (!kept && returnable)
        give_back(p, ref);
    else if (kept && returnable)
        quarantine_shrink(&thread->quarantine, pool, let_go, &(struct leaving){thread, frame});
}

/* What has been claimed is no live block any more. */
static void retire(struct thread *thread, const void *p, uint64_t ref, uint64_t size)
{
    records_give(&thread->records, block_record(ref));
    event_count_free(thread, block_domain_of(ref), size);
    if (block_domain_of(ref) == DOMAIN_OBJ)
        pyframes_block_freed((uintptr_t)p, size);
}

static void free_recorded(struct thread *thread, void *p, uint64_t ref, struct ledger_record *record,
                          const struct release *release)
{
    bool python = event_is_python(block_domain_of(ref)), by_python = event_is_python(release->by);
    __builtin_prefetch(record, 1); /* it may be in no cache: what does not need it comes first */
    bool missing = (python || by_python) && interpreter_lock_missing();
    uint32_t trace = event_trace(thread, release->frame);
    struct quarantine_entry entry = {quarantine_place(p, block_domain_of(ref)), record->size, record->trace, trace};

    if (missing && by_python && !interpreter_lock_excused(thread, release->frame))
        interpreter_lock_note(thread, p, entry.size, block_domain_of(ref), misuse_releaser(release), release->frame);
    misuse_check(thread, p, ref, release);
    if (!check_sides(thread, p, ref, record, release->frame))
        entry.place |= QUARANTINE_SIDES_NOTED;
    if (!claim(p)) { /* by another thread, this moment */
        struct guarded_block block = guarded_live(p, entry.size, block_domain_of(ref), NULL);
        guarded_note_double_free(thread, &block, release);
        return;
    }
    retire(thread, p, ref, entry.size);
    keep_back(thread, p, ref, &entry, !missing, release->frame);
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

bool guarded_free_plainly(void *p, uint64_t of, uint64_t allocator_bits, void *const *frame)
{
    const uint64_t ignored = allocator_bits << BLOCK_ALLOCATOR_SHIFT | UINT32_MAX;
    enum block_domain domain = block_domain_of(of);
    struct thread_local_state *state = &thread_local_state;
    const uint64_t *prefix = (const uint64_t *)((uintptr_t)p - PLAIN_GUARDED);

    if (unlikely(((uintptr_t)p & 15) != 0 || ((uintptr_t)p & 4095) < PLAIN_GUARDED || !thread_raise(BUSY_SHIM)))
        return false;
    uint32_t generation = *thread_generation, size = (uint32_t)prefix[1];
    uint64_t ref = prefix[0];
    struct thread *thread = state->self;
    of |= (uint64_t)(uint16_t)generation << BLOCK_PROCESS_SHIFT;
    if (unlikely((ref ^ of) & ~ignored || !block_is_marked(prefix, p) || !block_record(ref) ||
                 size == BLOCK_SIZE_UNKNOWN || state->generation != generation) ||
        unlikely(!guard_intact(p, size, domain, guarded_serial_limit()))) {
        state->busy = 0;
        return false;
    }
    struct ledger_record *record = records_get(block_record(ref));
    __builtin_prefetch(record, 1); /* it may be in no cache */
    uint32_t trace = plain_tally(thread, frame)->trace;
    if (unlikely((event_is_python(domain) && interpreter_lock_missing_after(thread)) || !claim(p))) {
        state->busy = 0;
        return false;
    }
    int saved = errno;
    struct quarantine_entry entry = {quarantine_place(p, domain), size, record->trace, trace};
    records_give(&thread->records, block_record(ref));
    count_subtract(thread->counters, 1, size);
    keep_back(thread, p, ref, &entry, true, frame);
    errno = saved;
    thread_leave();
    return true;
}

/* ---- realloc ---- */

static void *allocate(const struct python_origin *origin, size_t size, void *const *frame)
{
    return origin ? capture_python_malloc(origin, size, frame) : capture_malloc(size, frame);
}

/* Checks, at the beginning of a realloc. Returns the size. */
static uint64_t check_before(void *p, uint64_t ref, const struct release *release)
{
    struct ledger_record *record = own_record(ref);
    struct thread *thread = thread_enter();

    if (thread) {
        misuse_check(thread, p, ref, release);
        check_sides(thread, p, ref, record, release->frame);
        thread_leave();
    }
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
    uint64_t old_size = check_before(p, ref, release);
    enum block_domain domain = block_domain_of(ref);
    bool python = event_is_python(domain);

    if (stays(ref, old_size, size) && !(python && interpreter_lock_missing()))
        return resize_in_place(p, python ? ref : block_with_domain(ref, release->by), old_size, size, release);
    void *moved = allocate(origin, size, release->frame);
    if (!moved)
        return NULL;
    memcpy(moved, p, MIN(old_size, size));
    struct release old = *release;
    old.by = domain; /* a mismatch has been noted */
    old.size = SIZE_MAX;
    guarded_free(p, ref, &old);
    return moved;
}

void *guarded_realloc_invalid(const struct python_origin *origin, const void *p, size_t size, void *const *frame)
{
    if (!guarded_is_kept(p))
        return NULL;
    size_t old_size = guard_stated_size(p);
    void *moved = allocate(origin, size, frame);
    /* Overwritten, it would say anything. */
    if (moved && old_size <= EVENT_SIZE_LIMIT && block_prefix_readable((const uint8_t *)p + old_size + block_distance))
        memcpy(moved, p, MIN(old_size, size));
    return moved;
}
