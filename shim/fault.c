/* SPDX-License-Identifier: MIT */
#include "fault.h"

#include "capture.h"
#include "count.h"
#include "event.h"
#include "ledger.h"
#include "pages.h"
#include "start.h"
#include "thread.h"

#include <errno.h>

bool fault_active, fault_by_domain;

static uint64_t requests;

/* Of each domain. operator new has the numbers of malloc. */
static struct domain_limit {
    uint64_t limit; /* 0 = none */
    int64_t live;   /* bytes */
} limits[DOMAIN_BLOCK_COUNT];

static struct domain_limit *limit_of(enum block_domain domain)
{
    return &limits[domain == DOMAIN_NEW || domain == DOMAIN_NEW_ARRAY ? DOMAIN_MALLOC : domain];
}

void fault_init(void)
{
    limits[DOMAIN_MALLOC].limit = start_options.limit_malloc;
    limits[DOMAIN_RAW].limit = start_options.limit_raw;
    limits[DOMAIN_MEM].limit = start_options.limit_mem;
    limits[DOMAIN_OBJ].limit = start_options.limit_obj;
    for (unsigned i = 0; i < DOMAIN_BLOCK_COUNT && !start_options.sample; i++)
        fault_by_domain |= limits[i].limit != 0;
    fault_active = start_options.fail_every || start_options.fail_above || start_options.limit || fault_by_domain;
}

void fault_fork_child(void)
{
    for (unsigned i = 0; i < DOMAIN_BLOCK_COUNT; i++)
        limits[i].live = 0;
}

_cold_ void fault_balance(enum block_domain domain, int64_t bytes)
{
    __atomic_fetch_add(&limit_of(domain)->live, bytes, __ATOMIC_RELAXED);
}

static bool exceeds(uint64_t limit, int64_t live, size_t size)
{
    return size > limit || (live > 0 && (uint64_t)live > limit - size);
}

static bool exceeds_domain(enum block_domain domain, size_t size, size_t old_size)
{
    const struct domain_limit *of = limit_of(domain);

    return of->limit && exceeds(of->limit, __atomic_load_n(&of->live, __ATOMIC_RELAXED) - (int64_t)old_size, size);
}

/* Whether `size` more bytes, in the place of `old_size`, are more than the limit lets the process have. What other threads
 * have freed since their last request is not seen yet. */
static bool exceeds_limit(size_t size, size_t old_size)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return false;
    count_flush_balance(thread->counters);
    int64_t live = __atomic_load_n(&ledger_header->live_bytes, __ATOMIC_RELAXED) - (int64_t)old_size;
    thread_leave();
    return exceeds(start_options.limit, live, size);
}

static bool is_exempt(void)
{
    const struct thread_local_state *state = &thread_local_state;

    return start_phase || state->busy || state->judged || *thread_generation == THREAD_INACTIVE;
}

static bool refuses(enum block_domain domain, size_t size, size_t old_size)
{
    uint64_t every = start_options.fail_every;
    int saved = errno;
    bool refused = (every && __atomic_add_fetch(&requests, 1, __ATOMIC_RELAXED) % every == 0) ||
                   (start_options.fail_above && size > start_options.fail_above) ||
                   (start_options.limit && exceeds_limit(size, old_size)) ||
                   (fault_by_domain && exceeds_domain(domain, size, old_size));

    if (refused && *thread_generation)
        __atomic_fetch_add(&ledger_header->refused, 1, __ATOMIC_RELAXED);
    errno = refused ? ENOMEM : saved;
    return refused;
}

_cold_ bool fault_refuses(enum block_domain domain, size_t size)
{
    return !is_exempt() && refuses(domain, size, 0);
}

_cold_ bool fault_refuses_growth(enum block_domain domain, size_t size, size_t old_size)
{
    return size > old_size && !is_exempt() && refuses(domain, size, old_size);
}

/* Bytes that the program asked for when it got `p`; 0: not known. With sampling few blocks of libc are, but it knows them. */
static size_t stated_size(void *p, bool of_libc)
{
    if (pages_owns(p))
        return pages_size(p);
    uint64_t ref = block_find(p);
    if (!ref)
        return of_libc && sample_mean && real_ready && !real_early_owns(p) ? real.malloc_usable_size(p) : 0;
    if (guard_active)
        return guard_stated_size(p);
    return event_is_own(ref) && block_record(ref) ? records_get(block_record(ref))->size : 0;
}

_cold_ bool fault_refuses_resize(enum block_domain domain, void *p, size_t size)
{
    if (!is_exempt() && fault_refuses_growth(domain, size, stated_size(p, !event_is_python(domain))))
        return true;
    thread_local_state.judged = true;
    return false;
}

void fault_resized(void)
{
    thread_local_state.judged = false;
}
