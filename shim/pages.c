/* SPDX-License-Identifier: MIT
 *
 * A slot is one inaccessible page and SLOT_BYTES behind it, of which only the pages of a live block are accessible; after the
 * last slot comes one more page. What is left of a block's own pages next to it holds guard bytes. */
#include "pages.h"

#include "arena.h"
#include "errors.h"
#include "event.h"
#include "guarded.h"
#include "interpreter_lock.h"
#include "lock.h"
#include "pages_fault.h"

#include <sys/mman.h>

#define SLOTS 4096u
#define PAGE 4096u
#define SLOT_BYTES (8u * PAGE)
#define STRIDE (PAGE + SLOT_BYTES)
#define SIDE 16u /* bytes looked at on each side */

enum slot_state { SLOT_UNUSED, SLOT_LIVE, SLOT_FREED };

struct slot {
    uint8_t *block;
    uint64_t size;
    uint64_t ref;
    uint8_t state; /* enum slot_state */
    bool damaged;  /* which has been reported */
};

uint32_t pages_every;
uintptr_t pages_start, pages_bytes;

static struct slot *slots;
static struct lock lock;      /* of what follows, and of the slots that change hands */
static uint32_t used;         /* slots that ever had a block */
static uint16_t freed[SLOTS]; /* numbers of freed slots, oldest first, from freed_first on */
static uint32_t freed_first, freed_count;

void pages_init(uint64_t every)
{
    if (!every)
        return;
    size_t bytes = (size_t)SLOTS * STRIDE + PAGE;
    void *memory = arena_map(bytes);
    slots = arena_alloc(SLOTS * sizeof(*slots));
    if (!memory || !slots || mprotect(memory, bytes, PROT_NONE) < 0) {
        ledger_lacks(LACK_OPTION);
        return;
    }
    pages_start = (uintptr_t)memory;
    pages_bytes = bytes;
    pages_every = (uint32_t)MIN(every, (uint64_t)INT32_MAX);
    pages_fault_init();
}

void pages_fork_child(void)
{
    lock_give(&lock);
}

/* ---- which blocks ---- */

/* xorshift64* (Vigna: An experimental exploration of Marsaglia's xorshift generators, scrambled, 2016). */
static uint32_t next_random(struct thread *thread)
{
    uint64_t x = thread->pages_random;

    if (!x)
        x = (block_secret ^ (uint64_t)(thread->id + 1) * 0x9e3779b97f4a7c15ULL) | 1;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    thread->pages_random = x;
    return (uint32_t)(x * 0x2545f4914f6cdd1dULL >> 32);
}

/* Distances are even between 1 and 2N - 1. */
bool pages_draw(struct thread *thread)
{
    if (likely(thread->pages_left > 1)) {
        thread->pages_left--;
        return false;
    }
    bool due = thread->pages_left == 1 || pages_every == 1;
    thread->pages_left = 1 + next_random(thread) % (2 * pages_every - 1);
    return due;
}

/* ---- slots ---- */

static uint32_t number_of(uintptr_t address)
{
    return (uint32_t)MIN((address - pages_start) / STRIDE, (uintptr_t)SLOTS - 1);
}

static uint8_t *slot_memory(uint32_t number)
{
    return (uint8_t *)pages_start + (size_t)number * STRIDE + PAGE;
}

static bool is_own(const struct slot *slot)
{
    return block_record(slot->ref) && event_is_own(slot->ref);
}

/* A slot without a block: one that never had one, or the one whose block was freed first. NULL: all are in use. */
static struct slot *take_slot(struct thread *thread)
{
    struct slot *slot = NULL;

    lock_take(&lock);
    if (used < SLOTS) {
        slot = &slots[used++];
    } else if (freed_count) {
        slot = &slots[freed[freed_first]];
        freed_first = (freed_first + 1) % SLOTS;
        freed_count--;
        slot->state = SLOT_UNUSED;
        if (is_own(slot))
            records_give(&thread->records, block_record(slot->ref));
        slot->ref = 0;
    }
    lock_give(&lock);
    return slot;
}

/* With the lock held. */
static void give_slot(struct slot *slot)
{
    freed[(freed_first + freed_count++) % SLOTS] = (uint16_t)(slot - slots);
}

/* The pages that hold [start, start + size). */
static bool set_access(const uint8_t *start, size_t size, int access)
{
    uintptr_t from = (uintptr_t)start & ~(uintptr_t)(PAGE - 1);
    uintptr_t to = ((uintptr_t)start + MAX(size, 1u) + PAGE - 1) & ~(uintptr_t)(PAGE - 1);

    return mprotect((void *)from, to - from, access) == 0;
}

/* The kernel gives back what they hold, too. */
static void close_pages(const struct slot *slot)
{
    uint8_t *memory = slot_memory((uint32_t)(slot - slots));

    set_access(slot->block, slot->size, PROT_NONE);
    madvise(memory, SLOT_BYTES, MADV_DONTNEED);
}

/* ---- the bytes beside a block ---- */

struct sides {
    uint8_t *before, *after;
    size_t before_size, after_size;
};

static struct sides sides_of(const struct slot *slot)
{
    uint8_t *end = slot->block + slot->size;
    size_t head = (uintptr_t)slot->block % PAGE, tail = -(uintptr_t)end % PAGE;
    struct sides sides = {.before_size = MIN(head, (size_t)SIDE), .after = end};

    sides.before = slot->block - sides.before_size;
    if (slot->size == 0 && head == 0) /* a page of its own all the same */
        tail = PAGE;
    sides.after_size = MIN(tail, (size_t)SIDE);
    return sides;
}

static void check_sides(struct thread *thread, struct slot *slot, void *const *frame)
{
    struct sides sides = sides_of(slot);
    struct guard_damage damage = guard_examine_fill(sides.before, sides.before_size, GUARD_FORBIDDEN, ERROR_UNDERFLOW,
                                                    -(int64_t)sides.before_size);

    if (!damage.kind)
        damage =
            guard_examine_fill(sides.after, sides.after_size, GUARD_FORBIDDEN, ERROR_OVERFLOW, (int64_t)slot->size);
    if (likely(!damage.kind) || slot->damaged)
        return;
    char detail[224];
    guarded_describe(detail, sizeof(detail), &damage, slot->size, block_domain_of(slot->ref));
    slot->damaged = true;
    errors_note(&(struct error_note){
        .kind = damage.kind,
        .domain = block_domain_of(slot->ref),
        .address = (uintptr_t)slot->block,
        .size = slot->size,
        .trace = event_trace(thread, frame),
        .alloc_trace = is_own(slot) ? records_get(block_record(slot->ref))->trace : 0,
        .detail = detail,
    });
}

void pages_check_all(struct thread *thread, void *const *frame)
{
    lock_take(&lock);
    for (uint32_t i = 0; i < used; i++)
        if (__atomic_load_n(&slots[i].state, __ATOMIC_ACQUIRE) == SLOT_LIVE)
            check_sides(thread, &slots[i], frame);
    lock_give(&lock);
}

/* ---- allocating ---- */

static void fill(const struct slot *slot, bool zeroed)
{
    struct sides sides = sides_of(slot);

    memset(sides.before, GUARD_FORBIDDEN, sides.before_size);
    memset(sides.after, GUARD_FORBIDDEN, sides.after_size);
    if (!zeroed)
        guard_fill(slot->block, GUARD_CLEAN, slot->size);
}

static void record(struct thread *thread, struct slot *slot, uint64_t ref, void *const *frame)
{
    struct ledger_tally *tally = event_tally(thread, frame);
    uint32_t id = records_take(&thread->records);

    slot->ref =
        (ref & ~0ULL << BLOCK_ALLOCATOR_SHIFT) | (uint64_t)(uint16_t)thread->generation << BLOCK_PROCESS_SHIFT | id;
    if (id)
        event_fill_record(records_get(id), thread, slot->block, slot->size, ref, tally->trace, event_flags());
    else
        thread->counters->dropped++;
    event_count_allocation(thread, tally, block_domain_of(ref), slot->size);
}

/* At the beginning of the slot or, as near as the alignment lets it, at the end. */
static uint8_t *place(const struct slot *slot, const struct pages_request *request, bool at_end)
{
    uint8_t *memory = slot_memory((uint32_t)(slot - slots));
    size_t size = (MAX(request->size, 1u) + request->alignment - 1) & ~(request->alignment - 1);

    return at_end ? memory + SLOT_BYTES - size : memory;
}

void *pages_allocate(struct thread *thread, const struct pages_request *request)
{
    if (request->size > SLOT_BYTES || request->alignment > PAGE)
        return NULL;
    int saved = errno;
    struct slot *slot = take_slot(thread);
    if (!slot)
        return NULL;
    slot->block = place(slot, request, next_random(thread) & 1);
    slot->size = request->size;
    slot->damaged = false;
    if (!set_access(slot->block, slot->size, PROT_READ | PROT_WRITE)) {
        lock_take(&lock);
        give_slot(slot);
        lock_give(&lock);
        errno = saved;
        return NULL;
    }
    thread_local_state.busy = BUSY_SHIM;
    fill(slot, request->zeroed);
    record(thread, slot, request->ref, request->frame);
    __atomic_store_n(&slot->state, SLOT_LIVE, __ATOMIC_RELEASE);
    errno = saved;
    void *block = slot->block;
    thread_leave();
    return block;
}

/* ---- freeing ---- */

static void note(struct thread *thread, const struct slot *slot, const void *p, const struct release *release,
                 enum error_kind kind, const char *detail)
{
    bool was_freed = slot->state == SLOT_FREED;
    const struct ledger_record *known = is_own(slot) ? records_get(block_record(slot->ref)) : NULL;

    errors_note(&(struct error_note){
        .kind = kind,
        .domain = block_domain_of(slot->ref),
        .address = (uintptr_t)p,
        .size = slot->size,
        .trace = event_trace(thread, release->frame),
        .alloc_trace = known ? known->trace : 0,
        .free_trace = known && was_freed ? known->type : 0,
        .detail = detail,
    });
}

/* A pointer into the mapping that is no live block. */
_cold_ static void note_wrong(const struct slot *slot, const void *p, const struct release *release)
{
    struct thread *thread = thread_enter();
    char detail[160];
    long long offset = (intptr_t)p - (intptr_t)slot->block;
    const char *state = slot->state == SLOT_FREED ? "freed " : "";

    if (!thread)
        return;
    if (offset)
        snprintf(detail, sizeof(detail), "%s of a pointer to offset %lld of a %sblock of %llu bytes (%s)",
                 misuse_releaser(release), offset, state, (unsigned long long)slot->size,
                 misuse_maker(block_domain_of(slot->ref)));
    else
        snprintf(detail, sizeof(detail), "%s of a block of %llu bytes (%s) that was freed before",
                 misuse_releaser(release), (unsigned long long)slot->size, misuse_maker(block_domain_of(slot->ref)));
    note(thread, slot, p, release, offset ? ERROR_INVALID_FREE : ERROR_DOUBLE_FREE, detail);
    thread_leave();
}

static void check_release(struct thread *thread, struct slot *slot, const struct release *release)
{
    misuse_check(thread, slot->block, slot->ref, release);
    check_sides(thread, slot, release->frame);
    if (guard_active && event_is_python(release->by) && interpreter_lock_missing() &&
        !interpreter_lock_excused(thread, release->frame))
        interpreter_lock_note(thread, slot->block, slot->size, block_domain_of(slot->ref), misuse_releaser(release),
                              release->frame);
}

static void forget(struct thread *thread, const struct slot *slot, const struct release *release)
{
    if (!event_is_own(slot->ref)) {
        __atomic_fetch_add(&ledger_header->inherited_frees, 1, __ATOMIC_RELAXED);
        return;
    }
    event_count_free(thread, block_domain_of(slot->ref), slot->size);
    if (!block_record(slot->ref))
        return;
    struct ledger_record *known = records_get(block_record(slot->ref));
    known->type = event_trace(thread, release->frame);
    __atomic_fetch_or(&known->owner, RECORD_FREED, __ATOMIC_RELEASE);
}

/* Of threads that free one block at the same moment, one does. */
static bool claim(struct slot *slot)
{
    uint8_t live = SLOT_LIVE;
    return __atomic_compare_exchange_n(&slot->state, &live, SLOT_FREED, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Who looks at the bytes beside a block holds the lock. Without a thread (no recording any more, or a signal handler inside
 * the shim) it may be taken for ever, and the slot is not used again. */
static void free_live(struct slot *slot, const struct release *release)
{
    struct thread *thread = thread_enter();

    if (!thread) {
        event_forget_alone(slot->ref);
        slot->ref &= ~(uint64_t)UINT32_MAX;
        if (lock_try(&lock)) {
            close_pages(slot);
            lock_give(&lock);
        }
        return;
    }
    check_release(thread, slot, release);
    forget(thread, slot, release);
    lock_take(&lock);
    close_pages(slot);
    give_slot(slot);
    lock_give(&lock);
    thread_leave();
}

void pages_free(void *p, const struct release *release)
{
    struct slot *slot = &slots[number_of((uintptr_t)p)];
    int saved = errno;

    if (p == slot->block && claim(slot))
        free_live(slot, release);
    else
        note_wrong(slot, p, release);
    errno = saved;
}

size_t pages_size(const void *p)
{
    const struct slot *slot = &slots[number_of((uintptr_t)p)];

    return p == slot->block && __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == SLOT_LIVE ? slot->size : 0;
}

void *pages_realloc(const struct python_origin *origin, void *p, size_t size, const struct release *release)
{
    const struct slot *slot = &slots[number_of((uintptr_t)p)];
    bool live = p == slot->block && __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == SLOT_LIVE;
    void *moved = origin ? capture_python_malloc(origin, size, release->frame) : capture_malloc(size, release->frame);

    if (!moved)
        return NULL;
    if (live)
        memcpy(moved, p, MIN(slot->size, size));
    pages_free(p, release);
    return moved;
}

/* ---- faults ---- */

static size_t distance(const struct slot *slot, uintptr_t address)
{
    uintptr_t start = (uintptr_t)slot->block, end = start + slot->size;

    if (!start)
        return SIZE_MAX;
    return address < start ? start - address : address >= end ? address - end : 0;
}

/* The page between two slots belongs to both. */
bool pages_find(uintptr_t address, struct pages_place *ret)
{
    uint32_t number = number_of(address);
    const struct slot *slot = &slots[number];

    lock_take(&lock);
    if (number && distance(slot - 1, address) < distance(slot, address))
        slot--;
    bool found = slot->block && slot->state != SLOT_UNUSED;
    if (found) {
        const struct ledger_record *known = is_own(slot) ? records_get(block_record(slot->ref)) : NULL;
        bool was_freed = slot->state == SLOT_FREED;
        *ret = (struct pages_place){(uintptr_t)slot->block,
                                    slot->size,
                                    slot->ref,
                                    was_freed,
                                    known ? known->trace : 0,
                                    known && was_freed ? known->type : 0};
    }
    lock_give(&lock);
    return found;
}
