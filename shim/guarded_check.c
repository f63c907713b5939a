/* SPDX-License-Identifier: MIT
 *
 * The check of all blocks (guarded_check_all). Other threads may go on: memory is read by system calls, and what is found counts
 * only if the record is still the same afterwards. */
#include "guarded.h"

#include "errors.h"
#include "event.h"
#include "pages.h"
#include "place.h"
#include "scan_memory.h"
#include "side_table.h"

#include <sys/uio.h>

#define BATCH 128u
#define PIECE 4096u

struct check {
    struct thread *thread;
    void *const *frame;
    struct scan_reader reader;
    uint32_t count;
    uint32_t ids[BATCH];
    uint64_t owners[BATCH];
    uint64_t sizes[BATCH];
    /* Prefix and near side, far side */
    struct piece {
        uint64_t prefix[2];
        struct guard_sides sides;
    } pieces[BATCH];
};

static void note(struct check *check, uint32_t i, const struct guard_damage *damage)
{
    struct ledger_record *record = records_get(check->ids[i]);
    uint64_t owner = check->owners[i];
    bool freed = owner & RECORD_FREED;
    char detail[224];

    if (__atomic_load_n(&record->owner, __ATOMIC_ACQUIRE) != owner)
        return;
    guarded_describe(detail, sizeof(detail), damage, check->sizes[i], ledger_owner_domain(owner));
    errors_note(&(struct error_note){
        .kind = damage->kind,
        .domain = ledger_owner_domain(owner),
        .address = ledger_owner_address(owner),
        .size = check->sizes[i],
        .trace = event_trace(check->thread, check->frame),
        .alloc_trace = record->trace,
        .free_trace = freed ? record->type : 0,
        .detail = detail,
    });
    __atomic_compare_exchange_n(&record->owner, &owner, owner | RECORD_DAMAGED, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
}

static void check_dead(struct check *check, uint32_t i)
{
    uintptr_t start = ledger_owner_address(check->owners[i]);
    uint8_t bytes[PIECE];

    for (uint64_t at = 0; at < check->sizes[i]; at += PIECE) {
        size_t size = MIN(check->sizes[i] - at, (uint64_t)PIECE);
        if (!scan_copy(&check->reader, bytes, start + at, size))
            return;
        struct guard_damage damage = guard_examine_dead(bytes, size, at);
        if (damage.kind) {
            note(check, i, &damage);
            return;
        }
    }
}

/* A live block that CPython's debug hooks surround, which is known by what stands before it. */
static void check_in_debug_hooks(struct check *check, uint32_t i)
{
    struct guard_damage damage =
        guard_examine_debug(&check->pieces[i].sides, check->sizes[i], ledger_owner_domain(check->owners[i]));

    if (damage.kind == ERROR_OVERFLOW)
        note(check, i, &damage);
}

/* Memory of Python's may be gone without a free, with the interpreter that it belonged to. */
static void check_one(struct check *check, uint32_t i)
{
    uint64_t owner = check->owners[i];
    const struct piece *piece = &check->pieces[i];
    const void *p = (const void *)ledger_owner_address(owner);
    enum block_domain domain = ledger_owner_domain(owner);
    bool marked = block_is_marked(piece->prefix, p);
    struct guard_damage damage;

    if (!marked && event_is_python(domain) && side_blocks.count) {
        check_in_debug_hooks(check, i);
        return;
    }
    if (!marked && (event_is_python(domain) || owner & RECORD_FREED))
        return;
    damage = guard_examine(&piece->sides, check->sizes[i], domain, __atomic_load_n(&event_serials, __ATOMIC_RELAXED));
    if (damage.kind)
        note(check, i, &damage);
    else if (owner & RECORD_FREED && guard_fills)
        check_dead(check, i);
}

static bool read_one(struct check *check, uint32_t i)
{
    uintptr_t start = ledger_owner_address(check->owners[i]);
    struct piece *piece = &check->pieces[i];

    return scan_copy(&check->reader, piece, start - block_distance, sizeof(piece->prefix) + GUARD_SIDE) &&
           scan_copy(&check->reader, piece->sides.after, start + check->sizes[i], GUARD_SIDE);
}

/* All of a batch with one system call, or one by one when that fails. */
static void check_batch(struct check *check)
{
    struct iovec local = {check->pieces, check->count * sizeof(check->pieces[0])}, remote[2 * BATCH];

    for (uint32_t i = 0; i < check->count; i++) {
        uintptr_t start = ledger_owner_address(check->owners[i]);
        remote[2 * i] = (struct iovec){(void *)(start - block_distance), block_distance};
        remote[2 * i + 1] = (struct iovec){(void *)(start + check->sizes[i]), GUARD_SIDE};
    }
    bool whole = process_vm_readv(getpid(), &local, 1, remote, 2 * check->count, 0) == (ssize_t)local.iov_len;
    for (uint32_t i = 0; i < check->count; i++)
        if (whole || read_one(check, i))
            check_one(check, i);
    check->count = 0;
}

static void add(struct check *check, uint32_t id)
{
    const struct ledger_record *record = records_get(id);
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE), size = record->size;

    if (!owner || owner & RECORD_DAMAGED || !ledger_has_prefix(ledger_owner_domain(owner)) ||
        pages_owns((const void *)ledger_owner_address(owner)) ||
        __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE) != owner)
        return;
    check->ids[check->count] = id;
    check->owners[check->count] = owner;
    check->sizes[check->count] = size;
    if (++check->count == BATCH)
        check_batch(check);
}

static void check_records(struct check *check)
{
    uint32_t limit = place_limit(LEDGER_RECORDS);

    for (uint32_t id = 1; id < limit; id++)
        add(check, id);
    check_batch(check);
}

unsigned guarded_check_all(void *const *frame)
{
    if (!guard_active && !pages_every)
        return 0;
    struct thread *thread = thread_enter();
    if (!thread)
        return 0;
    int saved = errno;
    uint32_t before = errors_count();
    struct check check = {.thread = thread, .frame = frame, .reader = {.pagemap = -1}};

    if (guard_active)
        check_records(&check);
    if (pages_every)
        pages_check_all(thread, frame);
    thread_leave();
    errno = saved;
    return errors_count() - before;
}
