/* SPDX-License-Identifier: MIT
 *
 * The check of all blocks (guarded_check_all). Other threads may go on: memory is read by system calls, and what is found
 * counts only if it is there while they are held up, too. */
#include "guarded.h"

#include "errors.h"
#include "event.h"
#include "pages.h"
#include "pause.h"
#include "place.h"
#include "scan_memory.h"
#include "side_table.h"

#include <signal.h>
#include <sys/uio.h>

#define BATCH 128u
#define PIECE 4096u

struct check {
    struct thread *thread;
    void *const *frame;
    struct scan_reader reader;
    bool restless; /* other threads cannot be held up */
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

/* ---- what is wrong with a block ---- */

static uint64_t serial_limit(void)
{
    return __atomic_load_n(&event_serials, __ATOMIC_RELAXED);
}

static struct guard_damage examine_dead(struct check *check, uint32_t i)
{
    uintptr_t start = ledger_owner_address(check->owners[i]);
    struct guard_damage damage = {.kind = ERROR_NONE};
    uint8_t bytes[PIECE];

    for (uint64_t at = 0; at < check->sizes[i] && !damage.kind; at += PIECE) {
        size_t size = MIN(check->sizes[i] - at, (uint64_t)PIECE);
        if (!scan_copy(&check->reader, bytes, start + at, size))
            break;
        damage = guard_examine_dead(bytes, size, at);
    }
    return damage;
}

/* Memory of Python's may be gone without a free, with the interpreter that it belonged to: the guard bytes say whether it is
 * still there. If CPython's debug hooks surround it, it never had a prefix. */
static struct guard_damage examine_unmarked(const struct check *check, uint32_t i)
{
    const struct piece *piece = &check->pieces[i];
    enum block_domain domain = ledger_owner_domain(check->owners[i]);
    struct guard_damage none = {.kind = ERROR_NONE}, damage;

    if (event_is_python(domain) && side_blocks.count) {
        damage = guard_examine_debug(&piece->sides, check->sizes[i], domain);
        return damage.kind == ERROR_OVERFLOW ? damage : none;
    }
    if (event_is_python(domain) && guard_examine(&piece->sides, check->sizes[i], domain, serial_limit()).kind)
        return none;
    return guarded_prefix_damage(piece->prefix, &piece->sides, check->sizes[i], domain);
}

static struct guard_damage examine(struct check *check, uint32_t i)
{
    uint64_t owner = check->owners[i];
    const struct piece *piece = &check->pieces[i];
    struct guard_damage damage = {.kind = ERROR_NONE};

    if (!block_is_marked(piece->prefix, (const void *)ledger_owner_address(owner)))
        return examine_unmarked(check, i);
    if (block_record(piece->prefix[0]) != check->ids[i]) /* another block is there by now */
        return damage;
    damage = guard_examine(&piece->sides, check->sizes[i], ledger_owner_domain(owner), serial_limit());
    if (!damage.kind && owner & RECORD_FREED && guard_fills)
        damage = examine_dead(check, i);
    return damage;
}

static bool read_one(struct check *check, uint32_t i)
{
    uintptr_t start = ledger_owner_address(check->owners[i]);
    struct piece *piece = &check->pieces[i];

    return scan_copy(&check->reader, piece, start - block_distance, sizeof(piece->prefix) + GUARD_SIDE) &&
           scan_copy(&check->reader, piece->sides.after, start + check->sizes[i], GUARD_SIDE);
}

/* ---- what is told of it ---- */

static void note(struct check *check, uint32_t i, const struct guard_damage *damage, const struct ledger_record *record)
{
    uint64_t owner = check->owners[i];
    char detail[224];

    guarded_describe(detail, sizeof(detail), damage, check->sizes[i], ledger_owner_domain(owner));
    errors_note(&(struct error_note){
        .kind = damage->kind,
        .domain = ledger_owner_domain(owner),
        .address = ledger_owner_address(owner),
        .size = check->sizes[i],
        .trace = event_trace(check->thread, check->frame),
        .alloc_trace = record->trace,
        .free_trace = owner & RECORD_FREED ? record->type : 0,
        .detail = detail,
    });
}

/* A block that is being made, resized or freed looks damaged: looks again while no thread is at such a thing. */
static bool confirm(struct check *check, uint32_t i, struct guard_damage *damage, struct ledger_record *ret_record)
{
    struct ledger_record *record = records_get(check->ids[i]);
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    check->restless = !pause_begin();
    bool same =
        !check->restless && record->owner == check->owners[i] && record->size == check->sizes[i] && read_one(check, i);
    if (same)
        *damage = examine(check, i);
    *ret_record = *record;
    if (same && damage->kind)
        record->owner |= RECORD_DAMAGED;
    if (!check->restless)
        pause_end();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return same && damage->kind;
}

static void check_one(struct check *check, uint32_t i)
{
    struct guard_damage damage = examine(check, i);
    struct ledger_record record;

    if (damage.kind && !check->restless && confirm(check, i, &damage, &record))
        note(check, i, &damage, &record);
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
