/* SPDX-License-Identifier: MIT
 *
 * Stacks: what lies below the stack pointer of a thread is no root, nor is the stack that the C library keeps of a thread
 * that has ended. The stack pointers of waiting threads are in /proc; where one is not known its whole stack counts. */
#include "scan.h"
#include "scan_state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define RED_ZONE 128u
#define TCB_SEARCH 16384u     /* bytes at the top of a stack where the C library's descriptor of the thread may begin */
#define TID_OFFSET_LAST 2048u /* in the descriptor */
#define TCB_SELF 16u          /* the descriptor's address, twice: at 0 and here */
#define THREADS_MAX 65536u

/* ---- stack pointers ---- */

#define KEPT_REGISTERS 6u /* whose values a function of the C library may have left in them */
#define ALL_REGISTERS 16u

/* /proc/self/task/TID/syscall: "running", or number, six arguments, stack pointer, instruction pointer. */
static bool read_syscall(const char *tid, char *text, size_t size)
{
    char path[64];
    _cleanup_close_ int fd = -1;

    snprintf(path, sizeof(path), "/proc/self/task/%s/syscall", tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
    if (length <= 0 || text[0] == 'r')
        return false;
    text[length] = '\0';
    return true;
}

/* The last word but one. */
static uintptr_t stack_pointer(const char *text)
{
    const char *last = strrchr(text, ' ');

    if (!last || last == text)
        return 0;
    const char *before = last - 1;
    while (before > text && *before != ' ')
        before--;
    return strtoul(before, NULL, 16);
}

/* The second word. */
static uintptr_t first_argument(const char *text)
{
    const char *space = strchr(text, ' ');
    return space ? strtoul(space, NULL, 16) : 0;
}

struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static bool add_pointer(struct scan_array *pointers, uintptr_t pointer)
{
    uintptr_t *place = pointer ? scan_array_push(pointers, sizeof(*place)) : NULL;

    if (place)
        *place = pointer;
    return place || !pointer;
}

static bool add_thread(struct scan_threads *threads, const char *tid, const volatile void *waiting)
{
    char text[256];

    if (!read_syscall(tid, text, sizeof(text))) {
        threads->registers += ALL_REGISTERS;
        return true;
    }
    if (!waiting || first_argument(text) != (uintptr_t)waiting)
        threads->registers += KEPT_REGISTERS;
    return add_pointer(&threads->pointers, stack_pointer(text));
}

bool scan_threads_read(struct scan_threads *threads, const volatile void *waiting)
{
    _Alignas(struct directory_entry) char buffer[4096];
    _cleanup_close_ int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned count = 0;
    bool done = true;
    long got;

    *threads = (struct scan_threads){.caller = syscall(SYS_gettid)};
    while (fd >= 0 && (got = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < got && count < THREADS_MAX;) {
            const struct directory_entry *entry = (const void *)(buffer + at);
            at += entry->length;
            if (entry->name[0] < '0' || entry->name[0] > '9' || strtol(entry->name, NULL, 10) == threads->caller)
                continue;
            count++;
            done &= add_thread(threads, entry->name, waiting);
        }
    }
    return done;
}

void scan_threads_done(struct scan_threads *threads)
{
    scan_array_done(&threads->pointers);
}

/* ---- stacks ---- */

/* Memory with recorded blocks is a heap, even if a thread has its stack there. */
static bool has_blocks(const struct scan *scan, uintptr_t start, uintptr_t end)
{
    uint32_t i = scan_index_lower(&scan->index, start);
    return i < scan->index.count && scan->index.blocks[i].start < end;
}

/* What is below the lowest stack pointer of the mapping that `pointer` is in. */
static void cut_stack(struct scan *scan, uintptr_t pointer)
{
    const struct scan_mapping *mapping = scan_mapping_find(&scan->mappings, pointer);

    if (!mapping || mapping->flags & (MAPPING_FILE | MAPPING_SHARED | MAPPING_HEAP))
        return;
    uintptr_t end = pointer - RED_ZONE;
    if (end > mapping->start && !has_blocks(scan, mapping->start, end))
        scan_range_add(&scan->holes, mapping->start, end);
}

static bool is_lowest(const struct scan *scan, const uintptr_t *pointers, size_t count, uintptr_t pointer)
{
    const struct scan_mapping *mapping = scan_mapping_find(&scan->mappings, pointer);

    for (size_t i = 0; mapping && i < count; i++)
        if (pointers[i] >= mapping->start && pointers[i] < pointer)
            return false;
    return true;
}

/* ---- threads that have ended ---- */

/* Where the descriptor keeps the thread's id: the calling thread's own shows it. 0 = not found. */
static size_t tid_offset(const struct scan *scan)
{
    static const size_t usual = 0x2d0;
    uint32_t words[TID_OFFSET_LAST / 4], own = (uint32_t)scan->threads->caller;

    if (!scan_copy(&scan->reader, words, (uintptr_t)pthread_self(), sizeof(words)))
        return 0;
    if (words[usual / 4] == own)
        return usual;
    for (size_t i = 64; i < ARRAY_SIZE(words); i++)
        if (words[i] == own)
            return i * 4;
    return 0;
}

/* The descriptor at the top of a thread's stack, or 0. */
static uintptr_t find_descriptor(struct scan *scan, const struct scan_mapping *mapping)
{
    uintptr_t from = MAX(mapping->start, mapping->end - TCB_SEARCH);

    for (uintptr_t at = mapping->end - 64; at >= from; at -= 64) {
        const uint64_t *words = scan_read(&scan->reader, at, TCB_SELF + 8);
        if (words && words[0] == at && words[TCB_SELF / 8] == at)
            return at;
    }
    return 0;
}

/* The descriptor itself stays: the stack is kept for the next thread, together with what hangs on it. */
static void cut_dead_stacks(struct scan *scan)
{
    const struct scan_mapping *mappings = (const void *)scan->mappings.data;
    size_t count = scan->mappings.used / sizeof(*mappings), offset = tid_offset(scan);

    for (size_t i = 1; offset && i < count; i++) {
        const struct scan_mapping *guard = &mappings[i - 1], *stack = &mappings[i];
        int32_t tid = 1; /* 0 once the thread has ended, -1 once it was joined */
        if (guard->end != stack->start || guard->flags & (MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC) ||
            (stack->flags & (MAPPING_READ | MAPPING_WRITE | MAPPING_FILE | MAPPING_SHARED)) !=
                (MAPPING_READ | MAPPING_WRITE) ||
            has_blocks(scan, stack->start, stack->end))
            continue;
        uintptr_t descriptor = find_descriptor(scan, stack);
        if (descriptor && scan_copy(&scan->reader, &tid, descriptor + offset, sizeof(tid)) && tid <= 0)
            scan_range_add(&scan->holes, stack->start, descriptor);
    }
}

void scan_stacks(struct scan *scan)
{
    const struct scan_array *others = &scan->threads->pointers;
    struct scan_array pointers = {0};

    if (!add_pointer(&pointers, scan->stack + RED_ZONE))
        scan->failed = true;
    for (size_t i = 0; i < others->used / sizeof(uintptr_t); i++)
        add_pointer(&pointers, ((const uintptr_t *)(const void *)others->data)[i]);
    const uintptr_t *list = (const void *)pointers.data;
    size_t count = pointers.used / sizeof(*list);
    for (size_t i = 0; i < count; i++)
        if (is_lowest(scan, list, count, list[i]))
            cut_stack(scan, list[i]);
    scan_array_done(&pointers);
    cut_dead_stacks(scan);
}
