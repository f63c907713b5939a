/* SPDX-License-Identifier: MIT
 *
 * The stack pointers of the other threads, as far as they wait in the system: /proc shows them. */
#include "scan.h"
#include "scan_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define THREADS_MAX 65536u
#define KEPT_REGISTERS 6u /* whose values a function of the C library may have left in them */
#define ALL_REGISTERS 16u

/* /proc/self/task/TID/syscall: "running", or number, six arguments, stack pointer, instruction pointer; or, where it was stopped
 * or waits for memory, -1 and the last two. */
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
        threads->running++;
        return true;
    }
    if (!waiting || first_argument(text) != (uintptr_t)waiting)
        threads->registers += KEPT_REGISTERS;
    threads->running += text[0] == '-';
    return add_pointer(&threads->pointers, stack_pointer(text));
}

struct reading {
    struct scan_threads *threads;
    const volatile void *waiting;
    unsigned count;
};

static bool take_thread(void *context, const char *tid)
{
    struct reading *reading = context;

    if (strtol(tid, NULL, 10) == reading->threads->caller)
        return true;
    return ++reading->count <= THREADS_MAX && add_thread(reading->threads, tid, reading->waiting);
}

bool scan_threads_read(struct scan_threads *threads, const volatile void *waiting)
{
    struct reading reading = {.threads = threads, .waiting = waiting};

    *threads = (struct scan_threads){.caller = syscall(SYS_gettid)};
    return scan_names("/proc/self/task", take_thread, &reading) || reading.count > THREADS_MAX;
}

void scan_threads_done(struct scan_threads *threads)
{
    scan_array_done(&threads->pointers);
}
