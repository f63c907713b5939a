/* SPDX-License-Identifier: MIT */
#include "tracked.h"

#include "domains.h"
#include "event.h"
#include "ledger.h"
#include "memshim/memshim.h"
#include "pages.h"
#include "side_table.h"

#define ADDRESS_BITS 48

static struct side_table regions; /* by key_of */

static uint64_t key_of(struct tracked_region region)
{
    return (uint64_t)region.domain << ADDRESS_BITS | region.address;
}

/* ---- blocks that are recorded already ---- */

static uint64_t page_block(uintptr_t address)
{
    struct pages_place place;
    bool found = pages_find(address, &place) && !place.freed && place.block == address;

    return found ? place.ref : 0;
}

/* The record of the block at `address`, made in this process; NULL if there is none. The memory may be of any kind, also a
 * device's: unless somebody is known to read it, the kernel is asked before. */
static struct ledger_record *block_at(uintptr_t address, bool readable)
{
    const void *p = (const void *)address;
    uint64_t ref;

    if (pages_owns(p))
        ref = page_block(address);
    else if (address & 15 || (!readable && !block_prefix_readable(p)))
        ref = 0;
    else
        ref = block_find(p);
    if (!ref || !event_is_own(ref) || !block_record(ref))
        return NULL;
    struct ledger_record *record = records_get(block_record(ref));
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
    bool live = ledger_owner_address(owner) == address && !(ledger_owner_flags(owner) & RECORD_FREED);
    return live && ledger_names_domain(ledger_owner_domain(owner)) ? record : NULL;
}

/* Gives the whole of a block to the domain. False: there is no such block. */
static bool name_block(const struct thread *thread, struct tracked_region region, size_t size)
{
    bool readable = domains_get(region.domain)->number == DOMAINS_NUMPY;
    struct ledger_record *record = block_at(region.address, readable);

    if (!record || MAX(record->size, 1u) != MAX(size, 1u))
        return false;
    __atomic_store_n(&record->type, domains_text(region.domain, thread->generation), __ATOMIC_RELAXED);
    return true;
}

/* numpy lets a block go when it has been freed or moved: there is nothing left to be changed, or to be looked at. */
static bool unname_block(const struct thread *thread, struct tracked_region region)
{
    if (domains_get(region.domain)->number == DOMAINS_NUMPY)
        return true;
    struct ledger_record *record = block_at(region.address, false);
    if (!record || record->type != domains_text(region.domain, thread->generation))
        return false;
    __atomic_store_n(&record->type, 0, __ATOMIC_RELAXED);
    return true;
}

/* ---- regions ---- */

int tracked_begin(struct thread *thread, struct tracked_region region, size_t size, void *const *frame,
                  uint32_t *ret_record)
{
    *ret_record = 0;
    if (name_block(thread, region, size))
        return 0;
    struct ledger_tally *tally = event_tally(thread, frame);
    uint32_t id = records_take(&thread->records);
    if (!id) {
        thread->counters->dropped++;
        return -ENOMEM;
    }
    struct ledger_record *record = records_get(id);
    record->size = size;
    record->trace = tally->trace;
    record->thread = thread->id;
    record->type = domains_text(region.domain, thread->generation);
    record->mark = event_interval;
    __atomic_store_n(&record->owner, ledger_owner(region.address, DOMAIN_TRACKED, event_flags()), __ATOMIC_RELEASE);
    count_allocation(thread, tally, size);
    *ret_record = id;
    return 0;
}

void tracked_end(struct thread *thread, struct tracked_region region, uint32_t record)
{
    if (!record) {
        unname_block(thread, region);
        return;
    }
    size_t size = records_get(record)->size;
    records_give(&thread->records, record);
    count_free(thread, size);
}

static bool drop(struct thread *thread, struct tracked_region region)
{
    uint32_t id = regions.count ? side_table_take(&regions, key_of(region)) : 0;

    if (id)
        tracked_end(thread, region, id);
    return id;
}

static int enter_region(struct thread *thread, struct tracked_region region, size_t size, void *const *frame)
{
    uint32_t id;

    drop(thread, region);
    int result = tracked_begin(thread, region, size, frame, &id);
    if (id && !side_table_put(&regions, key_of(region), id)) {
        tracked_end(thread, region, id);
        thread->counters->dropped++;
        return -ENOMEM;
    }
    return result;
}

void tracked_fork_child(void)
{
    side_table_fork_child(&regions);
    domains_fork_child();
}

/* ---- for the program ---- */

static bool is_address(uintptr_t address)
{
    return address && address >> (ADDRESS_BITS - 1) == 0;
}

bool tracked_is_region(uintptr_t address, size_t size)
{
    return is_address(address) && size <= EVENT_SIZE_LIMIT;
}

struct thread *tracked_enter(int *ret_error)
{
    struct thread *thread = thread_enter();

    if (!thread)
        *ret_error = *thread_generation == THREAD_INACTIVE ? -ENODEV : -EAGAIN;
    return thread;
}

int tracked_track(unsigned domain, uintptr_t address, size_t size, void *const *frame)
{
    int saved = errno, result = 0;

    if (!tracked_is_region(address, size))
        return -EINVAL;
    bool counted = domain == DOMAINS_NUMPY && (sample_mean || !event_is_recorded(DOMAIN_MALLOC));
    if (!start_options.domains || (!counted && sample_skips(size))) /* recording is off, or this one is no sample */
        return 0;
    struct thread *thread = tracked_enter(&result);
    if (!thread)
        return result;
    struct tracked_region region = {domains_of_number(domain), address};
    if (!region.domain)
        result = -ENOMEM;
    else if (counted) /* with what malloc was asked for, if that was recorded */
        name_block(thread, region, size);
    else
        result = enter_region(thread, region, size, frame);
    errno = saved;
    thread_leave();
    return result;
}

int tracked_untrack(unsigned domain, uintptr_t address)
{
    int saved = errno, result = 0;

    if (!is_address(address))
        return -EINVAL;
    struct thread *thread = tracked_enter(&result);
    if (!thread)
        return result;
    struct tracked_region region = {domains_of_number(domain), address};
    bool known = region.domain && (drop(thread, region) || unname_block(thread, region));
    result = known ? 0 : -ENOENT;
    errno = saved;
    thread_leave();
    return result;
}

_exported_ int memshim_track(unsigned domain, const void *p, size_t size)
{
    return tracked_track(domain, (uintptr_t)p, size, UNWIND_HERE);
}

_exported_ int memshim_untrack(unsigned domain, const void *p)
{
    return tracked_untrack(domain, (uintptr_t)p);
}

/* What `change` says of the calling thread's scopes. */
#define CHANGE_SCOPES(change) \
    ({ \
        int saved_ = errno, result_ = 0; \
        if (tracked_enter(&result_)) { \
            result_ = (change); \
            errno = saved_; \
            thread_leave(); \
        } \
        result_; \
    })

_exported_ int memshim_label_push(const char *what)
{
    return CHANGE_SCOPES(labels_push(what));
}

_exported_ int memshim_label_pop(void)
{
    return CHANGE_SCOPES(labels_pop());
}

_exported_ int memshim_quiet_push(void)
{
    return CHANGE_SCOPES(labels_enter(LABELS_QUIET));
}

_exported_ int memshim_quiet_pop(void)
{
    return CHANGE_SCOPES(labels_leave(LABELS_QUIET));
}

_exported_ int memshim_ignore_push(void)
{
    return CHANGE_SCOPES(labels_enter(LABELS_IGNORED));
}

_exported_ int memshim_ignore_pop(void)
{
    return CHANGE_SCOPES(labels_leave(LABELS_IGNORED));
}

_exported_ unsigned memshim_domain(const char *name)
{
    int ignored;
    struct thread *thread = tracked_enter(&ignored);

    if (!thread)
        return 0;
    uint32_t number = domains_of_name(name);
    thread_leave();
    return number;
}
