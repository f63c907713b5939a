/* SPDX-License-Identifier: MIT */
#include "scan_memory.h"

#include "arena.h"
#include "block.h"
#include "scan_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define PAGE 4096u
#define WINDOW (256u << 10)
#define ARRAY_FIRST (64u << 10)
#define PAGEMAP_ENTRIES 2048u
#define PAGE_PRESENT (1ULL << 63)
#define PAGE_SWAPPED (1ULL << 62)

/* ---- arrays ---- */

bool scan_array_grow(struct scan_array *array, size_t size)
{
    size_t room = MAX(array->room * 2, (size_t)ARRAY_FIRST);

    while (room - array->used < size)
        room *= 2;
    void *data = arena_remap(array->data, array->room, room);
    if (!data)
        return false;
    array->data = data;
    array->room = room;
    return true;
}

void scan_array_done(struct scan_array *array)
{
    arena_unmap(array->data, array->room);
    *array = (struct scan_array){0};
}

/* ---- contents ---- */

int scan_reader_init(struct scan_reader *reader)
{
    *reader = (struct scan_reader){.pagemap = -1};
    reader->buffer = arena_map(WINDOW);
    if (!reader->buffer)
        return -ENOMEM;
    reader->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    return scan_absent_find(reader) ? 0 : -ENOMEM;
}

void scan_reader_done(struct scan_reader *reader)
{
    arena_unmap(reader->buffer, WINDOW);
    scan_array_done(&reader->absent);
    if (reader->pagemap >= 0)
        close(reader->pagemap);
    *reader = (struct scan_reader){.pagemap = -1};
}

static ssize_t copy_by_kernel(void *to, uintptr_t address, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)address, size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

/* Another thread can still take the page away between the question and the copy: the best that can be had here. */
static size_t copy_by_pages(void *to, uintptr_t address, size_t size)
{
    size_t done = 0;

    while (done < size) {
        uintptr_t at = address + done;
        size_t piece = MIN(size - done, PAGE - at % PAGE);
        if (!block_prefix_readable((const void *)((at & ~(uintptr_t)7) + block_distance)))
            break;
        memcpy((uint8_t *)to + done, (const void *)at, piece);
        done += piece;
    }
    return done;
}

/* Copies from the beginning as much as can be read. */
static size_t copy_some(const struct scan_reader *reader, void *to, uintptr_t address, size_t size)
{
    if (unlikely(reader->absent.used))
        size = scan_absent_cut(reader, address, size);
    if (!reader->forbidden) {
        ssize_t done = copy_by_kernel(to, address, size);
        if (done >= 0)
            return (size_t)done;
        if (errno == EFAULT || errno == ENOMEM)
            return 0;
    }
    return copy_by_pages(to, address, size);
}

_cold_ const void *scan_read_slow(struct scan_reader *reader, uintptr_t address, size_t size)
{
    uintptr_t start = address & ~(uintptr_t)(PAGE - 1);
    int saved = errno;

    if (size > SCAN_PIECE)
        return NULL;
    if (!reader->forbidden && !reader->absent.used && copy_by_kernel(reader->buffer, start, 8) < 0 && errno != EFAULT &&
        errno != ENOMEM)
        reader->forbidden = true;
    reader->start = start;
    reader->end = start + copy_some(reader, reader->buffer, start, WINDOW);
    errno = saved;
    if (address + size <= reader->end)
        return reader->buffer + (address - start);
    reader->unreadable += size;
    return NULL;
}

bool scan_copy(const struct scan_reader *reader, void *to, uintptr_t address, size_t size)
{
    int saved = errno;
    bool whole = copy_some(reader, to, address, size) == size;

    errno = saved;
    return whole;
}

/* Finds in `entries` the first run of pages that are there. */
static bool find_run(const uint64_t *entries, size_t count, size_t *ret_first, size_t *ret_end)
{
    size_t first = 0;

    while (first < count && !(entries[first] & (PAGE_PRESENT | PAGE_SWAPPED)))
        first++;
    *ret_first = *ret_end = first;
    while (*ret_end < count && entries[*ret_end] & (PAGE_PRESENT | PAGE_SWAPPED))
        (*ret_end)++;
    return first < count;
}

bool scan_resident(struct scan_reader *reader, uintptr_t *address, uintptr_t end, uintptr_t *ret_end)
{
    uint64_t entries[PAGEMAP_ENTRIES];

    while (*address < end) {
        uintptr_t page = *address / PAGE;
        size_t count = MIN((end - 1) / PAGE - page + 1, (size_t)PAGEMAP_ENTRIES), first, last;
        ssize_t got = reader->pagemap < 0 ? -1 : pread(reader->pagemap, entries, count * 8, (off_t)(page * 8));
        if (got <= 0) {
            *ret_end = end;
            return true;
        }
        count = (size_t)got / 8;
        if (find_run(entries, count, &first, &last)) {
            *address = MAX(*address, (page + first) * PAGE);
            *ret_end = MIN(end, (page + last) * PAGE);
            return true;
        }
        *address = (page + count) * PAGE;
    }
    return false;
}

/* ---- mappings ---- */

static uintptr_t parse_hex(const char **text)
{
    uintptr_t value = 0;

    for (;; (*text)++) {
        char c = **text;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uintptr_t)(c - 'a' + 10);
        else
            return value;
    }
}

static const char *skip_field(const char *text)
{
    text += strcspn(text, " ");
    return text + strspn(text, " ");
}

static uint32_t flags_of_name(const char *name, bool inode)
{
    if (strcmp(name, "[heap]") == 0)
        return MAPPING_HEAP;
    if (strcmp(name, "[stack]") == 0)
        return MAPPING_STACK;
    if (strncmp(name, "[v", 2) == 0 || strncmp(name, "[uprobes", 8) == 0)
        return MAPPING_ODD;
    return inode || *name == '/' || strncmp(name, "anon_inode:", 11) == 0 ? MAPPING_FILE : 0;
}

/* start-end perms offset device inode name */
static bool parse_mapping(const char *line, struct scan_mapping *mapping)
{
    mapping->start = parse_hex(&line);
    if (*line++ != '-')
        return false;
    mapping->end = parse_hex(&line);
    if (*line++ != ' ' || strlen(line) < 5)
        return false;
    mapping->flags = (line[0] == 'r' ? MAPPING_READ : 0) | (line[1] == 'w' ? MAPPING_WRITE : 0) |
                     (line[2] == 'x' ? MAPPING_EXEC : 0) | (line[3] == 's' ? MAPPING_SHARED : 0);
    line = skip_field(skip_field(skip_field(line)));
    bool inode = *line != '0';
    mapping->flags |= flags_of_name(skip_field(line), inode);
    return mapping->start < mapping->end;
}

static bool add_line(void *mappings, const char *line)
{
    struct scan_mapping mapping, *place;

    if (!parse_mapping(line, &mapping))
        return true;
    place = scan_array_push(mappings, sizeof(*place));
    if (place)
        *place = mapping;
    return place;
}

int scan_mappings_read(struct scan_array *mappings)
{
    int result = scan_lines("/proc/self/maps", add_line, mappings);
    return result == 0 && mappings->used == 0 ? -ENOENT : result;
}

const struct scan_mapping *scan_mapping_find(const struct scan_array *mappings, uintptr_t address)
{
    const struct scan_mapping *list = (const void *)mappings->data;
    size_t low = 0, high = mappings->used / sizeof(*list);

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < mappings->used / sizeof(*list) && list[low].start <= address ? &list[low] : NULL;
}

/* ---- ranges ---- */

bool scan_range_add(struct scan_array *ranges, uintptr_t start, uintptr_t end)
{
    struct scan_range *range = start < end ? scan_array_push(ranges, sizeof(*range)) : NULL;

    if (range)
        *range = (struct scan_range){start, end};
    return range || start >= end;
}

/* Heap sort: in place, whatever the order of what comes. */
static void sift(struct scan_range *list, size_t root, size_t count)
{
    struct scan_range range = list[root];
    size_t child;

    while ((child = 2 * root + 1) < count) {
        if (child + 1 < count && list[child + 1].start > list[child].start)
            child++;
        if (list[child].start <= range.start)
            break;
        list[root] = list[child];
        root = child;
    }
    list[root] = range;
}

void scan_ranges_order(struct scan_array *ranges)
{
    struct scan_range *list = (void *)ranges->data;
    size_t count = ranges->used / sizeof(*list), kept = 0;

    for (size_t i = count / 2; i-- > 0;)
        sift(list, i, count);
    for (size_t i = count; i-- > 1;) {
        struct scan_range last = list[i];
        list[i] = list[0];
        list[0] = last;
        sift(list, 0, i);
    }
    for (size_t i = 0; i < count; i++) {
        if (kept && list[i].start <= list[kept - 1].end)
            list[kept - 1].end = MAX(list[kept - 1].end, list[i].end);
        else
            list[kept++] = list[i];
    }
    ranges->used = kept * sizeof(*list);
}

const struct scan_range *scan_range_find(const struct scan_array *ranges, uintptr_t address)
{
    const struct scan_range *list = (const void *)ranges->data;
    size_t low = 0, count = ranges->used / sizeof(*list), high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count ? &list[low] : NULL;
}
