/* SPDX-License-Identifier: MIT
 *
 * The public functions of memshim/memshim.h. */
#include "compiler.h"
#include "errors.h"
#include "event.h"
#include "guarded.h"
#include "ledger.h"
#include "marks.h"
#include "memshim/memshim.h"
#include "snapshot.h"
#include "start.h"
#include "thread.h"
#include "unwind.h"

#include <errno.h>
#include <string.h>

_exported_ const char *memshim_version(void)
{
    return MEMSHIM_VERSION;
}

_exported_ int memshim_check(void)
{
    return (int)guarded_check_all(UNWIND_HERE);
}

_exported_ int memshim_snapshot(const char *path)
{
    return snapshot_take(path);
}

_exported_ int memshim_mark(const char *name)
{
    if (!thread_enter())
        return *thread_generation == THREAD_INACTIVE ? -ENODEV : -EAGAIN;
    thread_local_state.busy = BUSY_NESTED;
    int result = marks_take(name);
    thread_leave();
    return result;
}

static void add_thread(struct memshim_stats *stats, const struct ledger_thread *thread)
{
    stats->allocations += __atomic_load_n(&thread->allocations, __ATOMIC_RELAXED);
    stats->frees += __atomic_load_n(&thread->frees, __ATOMIC_RELAXED);
    stats->allocated_bytes += __atomic_load_n(&thread->allocated_bytes, __ATOMIC_RELAXED);
    stats->freed_bytes += __atomic_load_n(&thread->freed_bytes, __ATOMIC_RELAXED);
    stats->dropped += __atomic_load_n(&thread->dropped, __ATOMIC_RELAXED);
}

static void add_threads(struct memshim_stats *stats)
{
    uint32_t segments = __atomic_load_n(&ledger_header->segments, __ATOMIC_ACQUIRE), seen = 0;
    uint32_t per = ledger_per_segment(LEDGER_THREADS);

    for (uint32_t n = 0; n < segments; n++) {
        if (ledger_header->directory[n] != LEDGER_THREADS)
            continue;
        const struct ledger_thread *threads = (const void *)ledger_segments[LEDGER_THREADS][seen];
        for (uint32_t i = seen++ == 0; i < per; i++)
            add_thread(stats, &threads[i]);
    }
}

_exported_ int memshim_get_stats(struct memshim_stats *stats, unsigned long size)
{
    struct memshim_stats all = {0};
    bool traced = thread_current_generation() != THREAD_INACTIVE;

    if (traced) {
        add_threads(&all);
        all.live_blocks = all.allocations > all.frees ? all.allocations - all.frees : 0;
        all.live_bytes = all.allocated_bytes > all.freed_bytes ? all.allocated_bytes - all.freed_bytes : 0;
        all.errors = errors_count();
    }
    memset(stats, 0, size);
    memcpy(stats, &all, MIN(size, sizeof(all)));
    return traced ? 0 : -ENODEV;
}

_exported_ int memshim_recording(int on)
{
    return thread_current_generation() == THREAD_INACTIVE ? -ENODEV : start_recording(on != 0);
}
