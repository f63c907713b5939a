/* SPDX-License-Identifier: MIT
 *
 * The check of all blocks (guarded_check_all). Other threads may go on: memory is read by system calls, and what is found
 * counts only if it is there while they are held up, too. */
#include "guarded.h"

#include "calm.h"
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

/* A block, and where that is said: in its record or, once it is freed, in the quarantine. */
struct item {
    struct guarded_block block;
    uint64_t *source;     /* record.owner or entry.place */
    const uint64_t *size; /* there */
    uint64_t said;        /* in *source, when it was looked at */
    uint64_t sides_noted; /* the flag in there */
    uint32_t id;          /* of the record */
    bool kept;
};

struct check {
    struct thread *thread;
    void *const *frame;
    struct scan_reader reader;
    bool restless; /* other threads cannot be held up */
    uint32_t count;
    struct item items[BATCH];
    /* Prefix and near side, far side */
    struct piece {
        uint64_t prefix[2];
        struct guard_sides sides;
    } pieces[BATCH];
};

/* ---- what is wrong with a block ---- */

static struct guard_damage examine_dead(struct check *check, const struct guarded_block *block)
{
    struct guard_damage damage = {.kind = ERROR_NONE};
    uint8_t bytes[PIECE];

    for (uint64_t at = 0; at < block->size && !damage.kind; at += PIECE) {
        size_t size = MIN(block->size - at, (uint64_t)PIECE);
        if (!scan_copy(&check->reader, bytes, block->address + at, size))
            break;
        damage = guard_examine_dead(bytes, size, at);
    }
    return damage;
}

/* Memory of Python's may be gone without a free, with the interpreter that it belonged to: the guard bytes say whether it is
 * still there. If CPython's debug hooks surround it, it never had a prefix. */
static struct guard_damage examine_unmarked(const struct item *item, const struct piece *piece)
{
    const struct guarded_block *block = &item->block;
    struct guard_damage none = {.kind = ERROR_NONE}, damage;

    if (event_is_python(block->domain) && side_blocks.count && !item->kept) {
        damage = guard_examine_debug(&piece->sides, block->size, block->domain);
        return damage.kind == ERROR_OVERFLOW ? damage : none;
    }
    if (event_is_python(block->domain) &&
        guard_examine(&piece->sides, block->size, block->domain, guarded_serial_limit()).kind)
        return none;
    return guarded_prefix_damage(piece->prefix, &piece->sides, block);
}

/* Whether the prefix is that of the very block. */
static bool is_marked(const struct item *item, const struct piece *piece)
{
    const void *p = (const void *)item->block.address;

    return item->kept ? block_is_kept(piece->prefix, p) : block_is_marked(piece->prefix, p);
}

static struct guard_damage examine(struct check *check, uint32_t i)
{
    const struct item *item = &check->items[i];
    const struct piece *piece = &check->pieces[i];
    struct guard_damage damage = {.kind = ERROR_NONE};

    if (!is_marked(item, piece))
        return item->said & item->sides_noted ? damage : examine_unmarked(item, piece);
    if (!item->kept && block_record(piece->prefix[0]) != item->id) /* another block is there by now */
        return damage;
    if (!(item->said & item->sides_noted))
        damage = guard_examine(&piece->sides, item->block.size, item->block.domain, guarded_serial_limit());
    if (!damage.kind && item->kept && guard_fills && !(item->said & QUARANTINE_DEAD_NOTED))
        damage = examine_dead(check, &item->block);
    return damage;
}

static bool read_one(struct check *check, uint32_t i)
{
    const struct guarded_block *block = &check->items[i].block;
    struct piece *piece = &check->pieces[i];

    return scan_copy(&check->reader, piece, block->address - block_distance, sizeof(piece->prefix) + GUARD_SIDE) &&
           scan_copy(&check->reader, piece->sides.after, block->address + block->size, GUARD_SIDE);
}

/* ---- what is told of it ---- */

/* A block that is being made, resized or freed looks damaged: looks again while no thread is at such a thing. */
static bool confirm(struct check *check, uint32_t i, struct guard_damage *damage)
{
    struct item *item = &check->items[i];
    sigset_t all, before;

    sigfillset(&all);
    calm_mask(SIG_BLOCK, &all, &before);
    check->restless = !pause_begin();
    bool same =
        !check->restless && *item->source == item->said && *item->size == item->block.size && read_one(check, i);
    if (same)
        *damage = examine(check, i);
    if (same && damage->kind)
        *item->source |= damage->kind == ERROR_USE_AFTER_FREE ? QUARANTINE_DEAD_NOTED : item->sides_noted;
    if (!check->restless)
        pause_end();
    calm_mask(SIG_SETMASK, &before, NULL);
    return same && damage->kind;
}

static void check_one(struct check *check, uint32_t i)
{
    struct guard_damage damage = examine(check, i);

    if (damage.kind && !check->restless && confirm(check, i, &damage))
        guarded_note_damage(&damage, &check->items[i].block, event_trace(check->thread, check->frame));
}

/* All of a batch with one system call, or one by one when that fails. */
static void check_batch(struct check *check)
{
    struct iovec local = {check->pieces, check->count * sizeof(check->pieces[0])}, remote[2 * BATCH];

    for (uint32_t i = 0; i < check->count; i++) {
        const struct guarded_block *block = &check->items[i].block;
        remote[2 * i] = (struct iovec){(void *)(block->address - block_distance), block_distance};
        remote[2 * i + 1] = (struct iovec){(void *)(block->address + block->size), GUARD_SIDE};
    }
    bool whole = process_vm_readv(getpid(), &local, 1, remote, 2 * check->count, 0) == (ssize_t)local.iov_len;
    for (uint32_t i = 0; i < check->count; i++)
        if (whole || read_one(check, i))
            check_one(check, i);
    check->count = 0;
}

static void add(struct check *check, const struct item *item)
{
    if (__atomic_load_n(item->source, __ATOMIC_ACQUIRE) != item->said)
        return;
    check->items[check->count] = *item;
    if (++check->count == BATCH)
        check_batch(check);
}

static void add_record(struct check *check, uint32_t id)
{
    struct ledger_record *record = records_get(id);
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
    const void *p = (const void *)ledger_owner_address(owner);

    if (!owner || owner & RECORD_DAMAGED || !ledger_has_prefix(ledger_owner_domain(owner)) || pages_owns(p))
        return;
    struct guarded_block block = guarded_live(p, record->size, ledger_owner_domain(owner), record);
    add(check, &(struct item){block, &record->owner, &record->size, owner, RECORD_DAMAGED, id, false});
}

static void add_kept(struct quarantine_entry *entry, void *argument)
{
    uint64_t place = __atomic_load_n(&entry->place, __ATOMIC_ACQUIRE);
    struct guarded_block block = guarded_kept(entry);

    block.address = quarantine_address(place);
    if (place)
        add(argument, &(struct item){block, &entry->place, &entry->size, place, QUARANTINE_SIDES_NOTED, 0, true});
}

static void check_blocks(struct check *check)
{
    uint32_t limit = place_limit(LEDGER_RECORDS);

    for (uint32_t id = 1; id < limit; id++)
        add_record(check, id);
    quarantine_visit(thread_current_generation(), add_kept, check);
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
        check_blocks(&check);
    if (pages_every)
        pages_check_all(thread, frame);
    thread_leave();
    errno = saved;
    return errors_count() - before;
}
