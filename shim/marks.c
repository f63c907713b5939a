/* SPDX-License-Identifier: MIT */
#include "marks.h"

#include "arena.h"
#include "ledger.h"
#include "lock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define MARKS_FIRST 256u    /* set by the clock; then it goes half as fast, and again after as many more */
#define ROWS_MAX (8u << 20) /* of LEDGER_GROWTH: 192 MiB */
#define MARKS_MAX (1u << 20)
#define MARKS_LEAST 4u /* as report_growth.c has it */

/* Of each trace: what lives now, and what was written last. */
struct count {
    uint64_t blocks, bytes;
    uint64_t written_blocks, written_bytes;
};

static struct lock lock; /* of what follows */
static struct count *counts;
static uint32_t room, rows, last, clock_marks;
static uint64_t interval; /* milliseconds */
static int64_t next;      /* in milliseconds of the coarse clock */

static int64_t coarse_milliseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* ---- counting ---- */

static bool make_room(uint32_t trace)
{
    if (trace < room)
        return true;
    uint32_t wanted = MAX(room * 2, MAX(trace + 1, 4096u));
    struct count *larger = arena_remap(counts, room * sizeof(*counts), wanted * sizeof(*counts));
    if (!larger)
        return false;
    counts = larger;
    room = wanted;
    return true;
}

static bool count_record(const struct ledger_record *record, struct ledger_mark *mark)
{
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
    uint32_t trace = __atomic_load_n(&record->trace, __ATOMIC_RELAXED);
    uint64_t size = __atomic_load_n(&record->size, __ATOMIC_RELAXED);

    if (!owner || ledger_owner_flags(owner) & RECORD_FREED || !ledger_is_block(ledger_owner_domain(owner)))
        return true;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&record->owner, __ATOMIC_RELAXED) != owner)
        return true;
    mark->live_blocks++;
    mark->live_bytes += size;
    if (!make_room(trace))
        return false;
    counts[trace].blocks++;
    counts[trace].bytes += size;
    return true;
}

static bool count_records(struct ledger_mark *mark)
{
    uint32_t segments = __atomic_load_n(&ledger_header->segments, __ATOMIC_ACQUIRE), seen = 0;
    uint32_t per = ledger_per_segment(LEDGER_RECORDS);

    for (uint32_t n = 0; n < segments; n++) {
        if (ledger_header->directory[n] != LEDGER_RECORDS)
            continue;
        const struct ledger_record *records = (const void *)ledger_segments[LEDGER_RECORDS][seen];
        for (uint32_t i = seen++ == 0; i < per; i++)
            if (!count_record(&records[i], mark))
                return false;
    }
    return true;
}

/* ---- writing ---- */

static bool write_row(uint32_t mark, uint32_t trace, const struct count *count)
{
    uint32_t id = rows < ROWS_MAX ? ledger_take(LEDGER_GROWTH, 1) : 0;

    if (!id)
        return false;
    struct ledger_growth *row = ledger_entry(LEDGER_GROWTH, id);
    row->trace = trace;
    row->blocks = count->blocks;
    row->bytes = count->bytes;
    __atomic_store_n(&row->mark, mark, __ATOMIC_RELEASE);
    rows = id;
    return true;
}

static bool write_rows(uint32_t mark)
{
    bool written = true;

    for (uint32_t trace = 1; trace < room; trace++) {
        struct count *count = &counts[trace];
        if (written && (count->blocks != count->written_blocks || count->bytes != count->written_bytes)) {
            written = write_row(mark, trace, count);
            count->written_blocks = count->blocks;
            count->written_bytes = count->bytes;
        }
    }
    return written;
}

static void clear_counts(void)
{
    for (uint32_t trace = 0; trace < room; trace++)
        counts[trace].blocks = counts[trace].bytes = 0;
}

static int take(const char *name)
{
    uint32_t id = ledger_take(LEDGER_MARKS, 1);
    struct ledger_mark found = {0};

    if (!id || id >= MARKS_MAX)
        return -ENOSPC;
    clear_counts();
    bool whole = count_records(&found) && write_rows(id);
    struct ledger_mark *mark = ledger_entry(LEDGER_MARKS, id);
    mark->name = name ? ledger_text(name, strlen(name)) : 0;
    mark->rows = rows + 1;
    mark->live_blocks = found.live_blocks;
    mark->live_bytes = found.live_bytes;
    __atomic_store_n(&mark->time, now(), __ATOMIC_RELEASE);
    __atomic_store_n(&last, id, __ATOMIC_RELAXED);
    if (!whole)
        ledger_lacks(LACK_MARKS);
    return (int)id;
}

int marks_take(const char *name)
{
    int saved = errno;

    if (!lock_try(&lock))
        return -EBUSY;
    int result = take(name);
    lock_give(&lock);
    errno = saved;
    return result;
}

bool marks_suffice(void)
{
    return __atomic_load_n(&last, __ATOMIC_RELAXED) >= MARKS_LEAST;
}

/* ---- the clock ---- */

void marks_init(uint64_t milliseconds)
{
    interval = milliseconds;
    if (interval)
        next = coarse_milliseconds() + (int64_t)interval;
}

bool marks_are_due(void)
{
    return interval && coarse_milliseconds() >= __atomic_load_n(&next, __ATOMIC_RELAXED);
}

void marks_take_due(void)
{
    if (!marks_are_due())
        return;
    __atomic_store_n(&next, coarse_milliseconds() + (int64_t)interval, __ATOMIC_RELAXED);
    if (marks_take(NULL) < 0)
        return;
    if (++clock_marks % MARKS_FIRST == 0)
        interval *= 2;
}

void marks_fork_child(void)
{
    lock_give(&lock);
    memset(counts, 0, room * sizeof(*counts));
    rows = last = clock_marks = 0;
    if (interval)
        next = coarse_milliseconds() + (int64_t)interval;
}
