/* SPDX-License-Identifier: MIT
 *
 * Memory whose missing pages somebody brings when they are touched, in this process or another (userfaultfd): the scan must not
 * wait for that, at an end where perhaps nobody does it any more. What is there of it is read. */
#include "scan_memory.h"

#include "arena.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#define PAGE 4096u
#define LINES (64u << 10) /* bytes of a list that are read at once */
#define PAGE_PRESENT (1ULL << 63)

struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static bool is_userfault(const char *name)
{
    static const char userfault[] = "anon_inode:[userfaultfd]";
    char path[64], target[sizeof(userfault)];

    snprintf(path, sizeof(path), "/proc/self/fd/%s", name);
    return readlink(path, target, sizeof(target)) == sizeof(userfault) - 1 &&
           memcmp(target, userfault, sizeof(userfault) - 1) == 0;
}

/* Hardly any program does it, and the list that shows where is long in coming. */
static bool has_userfaults(void)
{
    _Alignas(struct directory_entry) char buffer[4096];
    _cleanup_close_ int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long got;

    while (fd >= 0 && (got = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < got;) {
            const struct directory_entry *entry = (const void *)(buffer + at);
            at += entry->length;
            if (is_userfault(entry->name))
                return true;
        }
    }
    return false;
}

/* "START-END ..." begins a mapping, of which "VmFlags: .. um .." says it. */
static bool take_line(struct scan_array *absent, struct scan_range *mapping, const char *line)
{
    unsigned long start, end;

    if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
        *mapping = (struct scan_range){start, end};
    else if (strncmp(line, "VmFlags:", 8) == 0 && (strstr(line, " um") || strstr(line, " ui")))
        return scan_range_add(absent, mapping->start, mapping->end);
    return true;
}

static bool take_lines(struct scan_array *absent, struct scan_range *mapping, char *buffer, size_t *used)
{
    char *line = buffer, *end;
    bool taken = true;

    while (taken && (end = memchr(line, '\n', *used - (size_t)(line - buffer)))) {
        *end = '\0';
        taken = take_line(absent, mapping, line);
        line = end + 1;
    }
    *used -= (size_t)(line - buffer);
    memmove(buffer, line, *used);
    return taken && *used < LINES;
}

bool scan_absent_find(struct scan_reader *reader)
{
    _cleanup_close_ int fd = has_userfaults() ? open("/proc/self/smaps", O_RDONLY | O_CLOEXEC) : -1;
    char *buffer = fd >= 0 ? arena_map(LINES) : NULL;
    struct scan_range mapping = {0};
    size_t used = 0;
    ssize_t got;
    bool taken = fd < 0 || buffer;

    while (buffer && taken && (got = read(fd, buffer + used, LINES - used)) > 0) {
        used += (size_t)got;
        taken = take_lines(&reader->absent, &mapping, buffer, &used);
    }
    arena_unmap(buffer, LINES);
    scan_ranges_order(&reader->absent);
    return taken;
}

size_t scan_absent_cut(const struct scan_reader *reader, uintptr_t address, size_t size)
{
    const struct scan_range *range = scan_range_find(&reader->absent, address);
    uint64_t entry = 0;

    if (!range || range->start >= address + size)
        return size;
    if (range->start > address)
        return range->start - address;
    if (pread(reader->pagemap, &entry, sizeof(entry), (off_t)(address / PAGE * sizeof(entry))) != sizeof(entry) ||
        !(entry & PAGE_PRESENT))
        return 0;
    return MIN(size, PAGE - address % PAGE);
}
