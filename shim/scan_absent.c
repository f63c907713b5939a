/* SPDX-License-Identifier: MIT
 *
 * Memory whose missing pages somebody brings when they are touched, in this process or another (userfaultfd): the scan must not
 * wait for that, at an end where perhaps nobody does it any more. What is there of it is read. */
#include "scan_memory.h"

#include "scan_proc.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096u
#define PAGE_PRESENT (1ULL << 63)

static bool is_userfault(const char *name)
{
    static const char userfault[] = "anon_inode:[userfaultfd]";
    char path[64], target[sizeof(userfault)];

    snprintf(path, sizeof(path), "/proc/self/fd/%s", name);
    return readlink(path, target, sizeof(target)) == sizeof(userfault) - 1 &&
           memcmp(target, userfault, sizeof(userfault) - 1) == 0;
}

static bool is_other(void *unused, const char *name)
{
    (void)unused;
    return !is_userfault(name);
}

struct lines {
    struct scan_array *absent;
    struct scan_range mapping; /* what the lines are about */
};

/* "START-END ..." begins a mapping, of which "VmFlags: .. um .." says it. */
static bool take_line(void *context, const char *line)
{
    struct lines *lines = context;
    unsigned long start, end;

    if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
        lines->mapping = (struct scan_range){start, end};
    else if (strncmp(line, "VmFlags:", 8) == 0 && (strstr(line, " um") || strstr(line, " ui")))
        return scan_range_add(lines->absent, lines->mapping.start, lines->mapping.end);
    return true;
}

/* Hardly any program has such memory, and the list that shows where it is is long in coming. */
bool scan_absent_find(struct scan_reader *reader)
{
    struct lines lines = {.absent = &reader->absent};

    if (scan_names("/proc/self/fd", is_other, NULL))
        return true;
    int result = scan_lines("/proc/self/smaps", take_line, &lines);
    scan_ranges_order(&reader->absent);
    return result != -ENOMEM;
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
