/* SPDX-License-Identifier: MIT */
#include "guarded.h"

#include "errors.h"
#include "event.h"
#include "interpreter_lock.h"
#include "lanes.h"
#include "plain.h"
#include "quarantine.h"

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

/* ---- leaving the quarantine ---- */

/* The real free; with the guard as BUSY_NESTED, so that what it frees in turn passes through. */
static _always_inline_ void give_back(void *p, uint64_t ref)
{
    block_unmark(p);
    event_base_free(ref, block_base(p, ref));
}

static void give_back_alone(void *p, uint64_t ref)
{
    uint8_t busy = thread_local_state.busy;

    thread_local_state.busy = BUSY_NESTED;
    give_back(p, ref);
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

/* Notes what is wrong with a block that leaves. False: its memory cannot be given back any more. */
_cold_ static bool note_leaving(const struct leaving *leaving, const struct quarantine_entry *entry)
{
    struct guarded_block block = guarded_kept(entry);
    void *p = (void *)block.address;
    bool marked = block_is_kept(block_prefix(p), p), sides = !(entry->place & QUARANTINE_SIDES_NOTED);

    thread_local_state.busy = BUSY_SHIM;
    if (!marked && sides)
        guarded_note_prefix(leaving->thread, &block, leaving->frame);
    if (marked && guard_fills && !(entry->place & QUARANTINE_DEAD_NOTED))
        note_dead(leaving->thread, &block, leaving->frame);
    if (marked && sides)
        note_sides(leaving->thread, &block, guarded_serial_limit(), leaving->frame);
    thread_local_state.busy = BUSY_NESTED;
    return marked;
}

/* With the guard as BUSY_NESTED. */
static _always_inline_ void let_go_one(const struct leaving *leaving, const struct quarantine_entry *entry)
{
    void *p = (void *)quarantine_address(entry->place);

    if (unlikely(!p)) /* it was forgotten */
        return;
    uint64_t ref = block_prefix(p)[0];
    if (likely(guarded_is_untouched(entry)) || note_leaving(leaving, entry))
        give_back(p, ref);
}

static void let_go(struct quarantine_batch *batch, void *argument)
{
    thread_local_state.busy = BUSY_NESTED;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct quarantine_entry entry = quarantine_leaves(batch, i);
        let_go_one(argument, &entry);
    }
    thread_local_state.busy = BUSY_SHIM;
}

_cold_ void guarded_let_go(struct thread *thread, const struct quarantine_entry *entry, void *const *frame)
{
    int saved = errno;

    thread_local_state.busy = BUSY_NESTED;
    let_go_one(&(struct leaving){thread, frame}, entry);
    thread_local_state.busy = BUSY_SHIM;
    errno = saved;
}

_cold_ void guarded_shrink_lanes(struct thread *thread, struct lanes *lanes, void *const *frame)
{
    int saved = errno;

    lanes_shrink(lanes, &thread->quarantine, let_go, &(struct leaving){thread, frame});
    errno = saved;
}

/* ---- free ---- */

/* Python's blocks can be kept back by threads that hold the lock, in the interpreter that lives as long as the process. */
void guarded_keep_back(struct thread *thread, void *p, uint64_t ref, const struct quarantine_entry *entry,
                       bool holds_lock, void *const *frame)
{
    bool python = event_is_python(block_domain_of(ref)), returnable = !python || holds_lock;
    enum quarantine_pool pool = python ? QUARANTINE_PYTHON : QUARANTINE_LIBC;
    bool kept = !returnable || (quarantine_keeps(entry->size) && (!python || pymem_in_main_interpreter()));
    int saved = errno;

    if (kept) {
        guard_fill(p, GUARD_DEAD, entry->size);
        block_keep(block_prefix(p), p, ref, entry->alloc_trace, entry->free_trace);
        kept = quarantine_add(&thread->quarantine, thread->generation, pool, entry);
    }
    if (!kept && returnable)
        give_back_alone(p, ref);
    else if (kept && returnable)
        quarantine_shrink(&thread->quarantine, pool, let_go, &(struct leaving){thread, frame});
    errno = saved;
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
    if (!guarded_claim(p)) { /* by another thread, this moment */
        struct guarded_block block = guarded_live(p, entry.size, block_domain_of(ref), NULL);
        guarded_note_double_free(thread, &block, release);
        return;
    }
    retire(thread, p, ref, entry.size);
    guarded_keep_back(thread, p, ref, &entry, !missing, release->frame);
}

/* The parent's, or one for which the ledger had no room. */
static void free_unrecorded(struct thread *thread, void *p, uint64_t ref, const struct release *release)
{
    misuse_check(thread, p, ref, release);
    check_sides(thread, p, ref, NULL, release->frame);
    event_forget(thread, p, ref);
    give_back_alone(p, ref);
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
    return origin ? capture_guarded_python_malloc(origin, size, frame) : capture_malloc(size, frame);
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
        block_mark(p, ref, records_get(block_record(ref))->trace);
    }
    thread_leave();
    return base ? moved : NULL;
}

static bool stays(uint64_t ref, uint64_t old_size, size_t size)
{
    return own_record(ref) && !thread_local_state.busy &&
           (size == old_size || (size > old_size && old_size >= GUARDED_MOVE_MAX));
}

/* A mismatch has been noted: from here on the block is freed as it was made, and most often by the short way. */
static void free_old(const struct python_origin *origin, void *p, uint64_t ref, const struct release *release)
{
    struct release old = *release;

    if (event_guards && origin && capture_guarded_python_free(origin, p, release->frame))
        return;
    old.by = block_domain_of(ref);
    old.size = SIZE_MAX;
    guarded_free(p, ref, &old);
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
    free_old(origin, p, ref, release);
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
