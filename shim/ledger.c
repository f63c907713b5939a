/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include "arena.h"
#include "calm.h"
#include "compiler.h"
#include "ledger_file.h"
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define GROW_MAX 64u /* segments mapped at once */

static struct ledger_header dummy_header;
struct ledger_header *ledger_header = &dummy_header;
_hot_data_ uint8_t **ledger_segments[LEDGER_KIND_COUNT];

/* Entries of each kind: `next` to hand out, `limit` = entries in mapped segments. */
static struct {
    uint64_t next, limit;
} cursors[LEDGER_KIND_COUNT];

static struct ledger_file file;
static struct lock grow_lock;
static uint8_t *spare; /* mapped segments that no kind has yet */
static uint32_t spare_count;
static uint32_t segment_count; /* of the file, spare ones included */

int ledger_descriptor(void)
{
    return ledger_file_descriptor(&file);
}

const char *ledger_place(void)
{
    return access(file.link, F_OK) == 0 ? file.link : file.path;
}

/* Beyond RLIMIT_FSIZE the kernel sends SIGXFSZ, which would end the program. */
static bool may_grow_to(off_t size)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY || (rlim_t)size <= limit.rlim_cur;
}

/* Maps `count` more segments behind the end of the file. posix_fallocate, so that a full disk is an error here and not a
 * SIGBUS at the first write. */
static int map_more(uint32_t count)
{
    int fd = ledger_descriptor();
    if (fd < 0)
        return fd;
    off_t offset = (off_t)segment_count << LEDGER_SEGMENT_SHIFT;
    size_t size = (size_t)count << LEDGER_SEGMENT_SHIFT;
    if (!may_grow_to(offset + (off_t)size))
        return -EFBIG;
    int error = posix_fallocate(fd, offset, (off_t)size);
    if (error)
        return -error;
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
    if (memory == MAP_FAILED)
        return -errno;
    spare = memory;
    spare_count = count;
    segment_count += count;
    return 0;
}

/* Maps an eighth more each time, less when there is no room for that. */
static int map_spare(void)
{
    uint32_t count = MIN(MAX(segment_count / 8, 1u), GROW_MAX);
    int result;

    if (segment_count + count > LEDGER_SEGMENTS_MAX)
        return -ENOSPC;
    while ((result = map_more(count)) < 0 && count > 1)
        count /= 2;
    return result;
}

/* Gives `kind` one more segment; called with the lock held. */
static int add_segment(enum ledger_kind kind)
{
    if (!spare_count) {
        int result = map_spare();
        if (result < 0)
            return result;
    }
    uint32_t ordinal = (uint32_t)(cursors[kind].limit / ledger_per_segment(kind));
    uint32_t index = segment_count - spare_count;

    ledger_segments[kind][ordinal] = spare;
    spare += LEDGER_SEGMENT_SIZE;
    spare_count--;
    ledger_header->directory[index] = (uint8_t)kind;
    __atomic_store_n(&ledger_header->segments, index + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&cursors[kind].limit, cursors[kind].limit + ledger_per_segment(kind), __ATOMIC_RELEASE);
    return 0;
}

/* While the disk is full, every event comes here: few of them ask the kernel again. */
#define GROW_RETRY 1024u
static uint32_t failures; /* since the last success */

static _cold_ int grow(enum ledger_kind kind, uint64_t seen_limit)
{
    if (failures && __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED) % GROW_RETRY)
        return -ENOSPC;
    int saved = errno, result = 0, cancel = calm_hold();

    lock_take(&grow_lock);
    if (cursors[kind].limit == seen_limit)
        result = seen_limit + ledger_per_segment(kind) > UINT32_MAX ? -ENOSPC : add_segment(kind);
    failures = result < 0 ? MAX(failures, 1u) : 0;
    lock_give(&grow_lock);
    if (result < 0)
        ledger_lacks(LACK_LEDGER_FULL);
    calm_release(cancel);
    errno = saved;
    return result;
}

uint32_t ledger_take(enum ledger_kind kind, uint32_t count)
{
    uint32_t per = ledger_per_segment(kind);

    if (ledger_header == &dummy_header)
        return 0;
    for (;;) {
        uint64_t first = __atomic_load_n(&cursors[kind].next, __ATOMIC_RELAXED), id = first;
        uint64_t limit = __atomic_load_n(&cursors[kind].limit, __ATOMIC_ACQUIRE);
        if (id == 0)
            id = count; /* entry 0 (and with it the first run) is never taken */
        if (id % per + count > per)
            id += per - id % per;
        if (id + count > limit) {
            if (grow(kind, limit) < 0)
                return 0;
            continue;
        }
        if (__atomic_compare_exchange_n(&cursors[kind].next, &first, id + count, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return (uint32_t)id;
    }
}

static int allocate_tables(void)
{
    for (unsigned kind = LEDGER_RECORDS; kind < LEDGER_KIND_COUNT; kind++) {
        if (!ledger_segments[kind])
            ledger_segments[kind] = arena_map(LEDGER_SEGMENTS_MAX * sizeof(uint8_t *));
        if (!ledger_segments[kind])
            return -ENOMEM;
    }
    return 0;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void fill_header(struct ledger_header *header)
{
    header->magic = LEDGER_MAGIC;
    header->version = LEDGER_VERSION;
    header->header_size = sizeof(*header);
    header->directory[0] = LEDGER_HEADER;
    header->pid = getpid();
    header->ppid = getppid();
    header->process_start = ledger_file_process_start();
    header->sequence = file.sequence;
    header->started_at = now();
    memcpy(header->output, file.report, sizeof(header->output));
    __atomic_store_n(&header->segments, 1, __ATOMIC_RELEASE);
}

int ledger_create(const char *output)
{
    int result = allocate_tables();
    if (result < 0)
        return result;
    result = ledger_file_create(&file, output);
    if (result < 0)
        return result;
    segment_count = spare_count = failures = 0;
    memset(cursors, 0, sizeof(cursors));
    result = map_more(1);
    if (result < 0) {
        ledger_file_remove(&file);
        return result;
    }
    spare_count = 0;
    struct ledger_header *header = (struct ledger_header *)spare;
    fill_header(header);
    ledger_header = header;
    return 0;
}

/* A stray write of ours must not reach the parent's evidence. */
static void drop(void *memory, size_t size, bool inside)
{
    if (!inside ||
        mmap(memory, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        munmap(memory, size);
}

static void drop_all(bool inside)
{
    for (unsigned kind = LEDGER_RECORDS; kind < LEDGER_KIND_COUNT; kind++) {
        uint64_t count = cursors[kind].limit / ledger_per_segment(kind);
        for (uint64_t i = 0; i < count; i++)
            drop(ledger_segments[kind][i], LEDGER_SEGMENT_SIZE, inside);
    }
    if (spare_count)
        drop(spare, (size_t)spare_count << LEDGER_SEGMENT_SHIFT, inside);
    drop(ledger_header, LEDGER_SEGMENT_SIZE, inside);
}

void ledger_abandon(bool inside)
{
    if (ledger_header == &dummy_header)
        return;
    drop_all(inside);
    ledger_header = &dummy_header;
    memset(cursors, 0, sizeof(cursors));
    spare_count = segment_count = 0;
    ledger_file_close(&file);
    lock_give(&grow_lock);
    ledger_text_reset();
}

void ledger_remove(void)
{
    ledger_file_remove(&file);
}

/* ---- a private copy ---- */

static uint8_t *place_of(uint32_t segment, uint32_t ordinals[LEDGER_KIND_COUNT])
{
    unsigned kind = segment ? ledger_header->directory[segment] : LEDGER_HEADER;

    if (kind == LEDGER_HEADER)
        return segment ? NULL : (uint8_t *)ledger_header;
    return kind < LEDGER_KIND_COUNT && kind != LEDGER_FREE ? ledger_segments[kind][ordinals[kind]++] : NULL;
}

/* Copies one segment to the same offset of `fd`, and maps it in its place. */
static int move_segment(int fd, uint32_t segment, uint8_t *place)
{
    off_t offset = (off_t)segment << LEDGER_SEGMENT_SHIFT;

    for (size_t done = 0; done < LEDGER_SEGMENT_SIZE;) {
        ssize_t written = pwrite(fd, place + done, LEDGER_SEGMENT_SIZE - done, offset + (off_t)done);
        if (written <= 0)
            return written < 0 ? -errno : -ENOSPC;
        done += (size_t)written;
    }
    return mmap(place, LEDGER_SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset) == MAP_FAILED
               ? -errno
               : 0;
}

/* What changes with each allocation. Everything else only grows, and who refers to it was there later. */
static bool fits_memory(unsigned kind)
{
    return kind == LEDGER_RECORDS || kind == LEDGER_ERRORS;
}

static int move_segments(int fd, bool fitting)
{
    uint32_t ordinals[LEDGER_KIND_COUNT] = {0}, count = ledger_header->segments;
    int result = 0;

    for (uint32_t i = 1; i < count && result == 0; i++) {
        uint8_t *place = place_of(i, ordinals);
        if (place && fits_memory(ledger_header->directory[i]) == fitting)
            result = move_segment(fd, i, place);
    }
    return result;
}

int ledger_detach(void (*taken)(void))
{
    int fd = memfd_create("memshim", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    spare_count = 0;
    segment_count = ledger_header->segments;
    int result = move_segment(fd, 0, (uint8_t *)ledger_header);
    if (result == 0)
        result = move_segments(fd, true);
    taken();
    if (result == 0)
        result = move_segments(fd, false);
    if (result == 0)
        result = ledger_file_adopt(&file, fd);
    return result;
}
