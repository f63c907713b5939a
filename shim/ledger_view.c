/* SPDX-License-Identifier: MIT
 *
 * Read-only access to a ledger of which not one byte is trusted: sizes come from the file itself, the directory is
 * turned into lists of segments that are surely mapped, and every id is checked against them. */
#include "ledger_view.h"

#include "compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Bounds for a chain of text pieces, so that a damaged one ends. */
#define TEXT_BYTES_MAX (16u << 20)
#define TEXT_PIECES_MAX 4096u

/* Where the word lies by which each kind's entries are published. */
struct publishing_word {
    uint8_t offset;
    uint8_t size;
};

#define PUBLISHED_BY(type, field) \
    { \
        offsetof(struct type, field), sizeof(((struct type *)0)->field) \
    }

static const struct publishing_word publishing_words[LEDGER_KIND_COUNT] = {
    [LEDGER_RECORDS] = PUBLISHED_BY(ledger_record, owner),      [LEDGER_NODES] = PUBLISHED_BY(ledger_node, meta),
    [LEDGER_TRACES] = PUBLISHED_BY(ledger_trace, used),         [LEDGER_CODES] = PUBLISHED_BY(ledger_code, used),
    [LEDGER_MODULES] = PUBLISHED_BY(ledger_module, end),        [LEDGER_THREADS] = PUBLISHED_BY(ledger_thread, used),
    [LEDGER_ERRORS] = PUBLISHED_BY(ledger_error, kind),         [LEDGER_TALLIES] = PUBLISHED_BY(ledger_tally, trace),
    [LEDGER_REFERENCES] = PUBLISHED_BY(ledger_reference, used), [LEDGER_LINKS] = PUBLISHED_BY(ledger_link, role),
    [LEDGER_MARKS] = PUBLISHED_BY(ledger_mark, time),           [LEDGER_GROWTH] = PUBLISHED_BY(ledger_growth, mark),
    [LEDGER_ARENAS] = PUBLISHED_BY(ledger_arena, size),
};

static int refuse(const char **ret_why, int error, const char *why)
{
    if (ret_why)
        *ret_why = why;
    return error;
}

static bool kind_has_entries(unsigned kind)
{
    return kind > LEDGER_HEADER && kind < LEDGER_KIND_COUNT;
}

static size_t lists_size(const struct ledger_view *view)
{
    size_t entries = 0;

    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        entries += view->counts[kind];
    return entries * sizeof(uint32_t);
}

/* The number of segments that the header names and the mapping holds. */
static uint32_t usable_segments(struct ledger_view *view, int fd)
{
    uint32_t mapped = (uint32_t)(view->size / LEDGER_SEGMENT_SIZE);
    uint32_t named = __atomic_load_n(&view->header->segments, __ATOMIC_ACQUIRE);
    struct stat st;

    if (named == 0 || named > LEDGER_SEGMENTS_MAX) {
        view->truncated = true;
        return mapped;
    }
    if (named <= mapped)
        return named;
    /* A live writer may have grown the file since it was mapped: that is no damage. */
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size / LEDGER_SEGMENT_SIZE < named)
        view->truncated = true;
    return mapped;
}

/* Sorts the segments by kind, in directory order. One private mapping holds all the lists, each as long as counts[] says. */
static int list_segments(struct ledger_view *view, int fd)
{
    uint32_t usable = usable_segments(view, fd);
    uint32_t filled[LEDGER_KIND_COUNT] = {0};
    uint32_t *lists;

    if (view->header->directory[0] != LEDGER_HEADER)
        view->truncated = true;
    for (uint32_t n = 1; n < usable; n++) {
        unsigned kind = __atomic_load_n(&view->header->directory[n], __ATOMIC_RELAXED);
        if (kind_has_entries(kind))
            view->counts[kind]++;
        else if (kind != LEDGER_FREE)
            view->truncated = true;
    }
    if (lists_size(view) == 0)
        return 0;
    lists = mmap(NULL, lists_size(view), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (lists == MAP_FAILED)
        return -ENOMEM;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        view->segments[kind] = lists;
        lists += view->counts[kind];
    }
    for (uint32_t n = 1; n < usable; n++) {
        unsigned kind = __atomic_load_n(&view->header->directory[n], __ATOMIC_RELAXED);
        /* The second test is for a directory that changed between the two passes. */
        if (kind_has_entries(kind) && filled[kind] < view->counts[kind])
            view->segments[kind][filled[kind]++] = n;
    }
    return 0;
}

static int check_header(const struct ledger_header *header, const char **ret_why)
{
    if (header->magic != LEDGER_MAGIC)
        return refuse(ret_why, -EINVAL, "not a ledger");
    if (header->version != LEDGER_VERSION || header->header_size != sizeof(*header))
        return refuse(ret_why, -EINVAL, "a ledger of another version");
    return 0;
}

int ledger_view_open_fd(struct ledger_view *view, int fd, const char **ret_why)
{
    struct stat st;
    void *base;
    int error;

    memset(view, 0, sizeof(*view));
    refuse(ret_why, 0, "cannot be read");
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return refuse(ret_why, -EINVAL, "not a regular file");
    if ((uint64_t)st.st_size < sizeof(struct ledger_header))
        return refuse(ret_why, -EINVAL, "too short for a ledger");
    view->size = (size_t)MIN((uint64_t)st.st_size, (uint64_t)LEDGER_SEGMENTS_MAX << LEDGER_SEGMENT_SHIFT);
    base = mmap(NULL, view->size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    view->base = base;
    view->header = base;
    error = check_header(view->header, ret_why);
    if (!error)
        error = list_segments(view, fd);
    if (error)
        ledger_view_close(view);
    return error;
}

/* Opens without following a link, except to a file that the caller or root owns: a ledger may lie in a folder that
 * everyone can write to. */
static int open_file(const char *path, const char **ret_why)
{
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, flags | O_NOFOLLOW);
    struct stat st;
    int error;

    if (fd >= 0 || errno != ELOOP)
        return fd >= 0 ? fd : -errno;
    fd = open(path, flags);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && (st.st_uid == geteuid() || st.st_uid == 0))
        return fd;
    error = refuse(ret_why, -EACCES, "a symbolic link to another user's file");
    close(fd);
    return error;
}

int ledger_view_open(struct ledger_view *view, const char *path, const char **ret_why)
{
    int fd;
    int error;

    memset(view, 0, sizeof(*view));
    refuse(ret_why, 0, "cannot be opened");
    fd = open_file(path, ret_why);
    if (fd < 0)
        return fd;
    error = ledger_view_open_fd(view, fd, ret_why);
    close(fd);
    return error;
}

void ledger_view_close(struct ledger_view *view)
{
    if (view->segments[0])
        munmap(view->segments[0], lists_size(view));
    if (view->base)
        munmap((void *)(uintptr_t)view->base, view->size);
    memset(view, 0, sizeof(*view));
}

uint32_t ledger_view_limit(const struct ledger_view *view, enum ledger_kind kind)
{
    if (!kind_has_entries(kind))
        return 0;
    return (uint32_t)MIN((uint64_t)view->counts[kind] * ledger_per_segment(kind), UINT32_MAX);
}

const void *ledger_view_segment(const struct ledger_view *view, enum ledger_kind kind, uint32_t n)
{
    if (!kind_has_entries(kind) || n >= view->counts[kind] || view->segments[kind][n] == 0)
        return NULL;
    return view->base + ((size_t)view->segments[kind][n] << LEDGER_SEGMENT_SHIFT);
}

void ledger_view_drop(const struct ledger_view *view, enum ledger_kind kind, uint32_t n)
{
    const void *segment = ledger_view_segment(view, kind, n);

    /* Of a shared file mapping this drops the pages' entries only, never what is in them. */
    if (segment)
        madvise((void *)(uintptr_t)segment, LEDGER_SEGMENT_SIZE, MADV_DONTNEED);
}

static bool entry_is_published(enum ledger_kind kind, const uint8_t *entry)
{
    const uint8_t *word = entry + publishing_words[kind].offset;

    if (publishing_words[kind].size == sizeof(uint64_t))
        return __atomic_load_n((const uint64_t *)(const void *)word, __ATOMIC_ACQUIRE) != 0;
    return __atomic_load_n((const uint32_t *)(const void *)word, __ATOMIC_ACQUIRE) != 0;
}

const void *ledger_view_entry(const struct ledger_view *view, enum ledger_kind kind, uint32_t id)
{
    const uint8_t *segment;
    const uint8_t *entry;
    uint32_t per;

    if (id == 0 || !kind_has_entries(kind) || kind == LEDGER_TEXT)
        return NULL;
    per = ledger_per_segment(kind);
    segment = ledger_view_segment(view, kind, id / per);
    if (!segment)
        return NULL;
    entry = segment + (size_t)(id % per) * ledger_entry_size(kind);
    return entry_is_published(kind, entry) ? entry : NULL;
}

/* One piece of a text; NULL when `ref` is 0 or the piece would leave its segment. */
static const struct ledger_text *text_piece(const struct ledger_view *view, uint32_t ref, size_t *ret_length)
{
    uint32_t per = ledger_per_segment(LEDGER_TEXT);
    size_t offset = (size_t)(ref % per) * LEDGER_TEXT_UNIT;
    const uint8_t *segment = ref ? ledger_view_segment(view, LEDGER_TEXT, ref / per) : NULL;
    const struct ledger_text *piece;
    uint32_t length_plus_1;

    if (!segment)
        return NULL;
    piece = (const void *)(segment + offset);
    length_plus_1 = __atomic_load_n(&piece->length_plus_1, __ATOMIC_ACQUIRE);
    if (length_plus_1 == 0 || length_plus_1 - 1 > LEDGER_SEGMENT_SIZE - sizeof(*piece) - offset)
        return NULL;
    *ret_length = length_plus_1 - 1;
    return piece;
}

size_t ledger_view_text_read(const struct ledger_view *view, uint32_t ref, char *buffer, size_t size)
{
    size_t total = 0;

    for (unsigned pieces = 0; pieces < TEXT_PIECES_MAX; pieces++) {
        size_t length;
        const struct ledger_text *piece = text_piece(view, ref, &length);

        if (!piece || length > TEXT_BYTES_MAX - total)
            return SIZE_MAX;
        if (total < size)
            memcpy(buffer + total, piece->bytes, MIN(length, size - total));
        total += length;
        ref = __atomic_load_n(&piece->next, __ATOMIC_RELAXED);
        if (ref == 0)
            return total;
    }
    return SIZE_MAX;
}

char *ledger_view_text(const struct ledger_view *view, uint32_t ref, size_t *ret_length)
{
    size_t length = ledger_view_text_read(view, ref, NULL, 0);
    char *copy;

    if (length == SIZE_MAX)
        return NULL;
    copy = malloc(length + 1);
    if (!copy)
        return NULL;
    if (ledger_view_text_read(view, ref, copy, length) != length) { /* it changed meanwhile */
        free(copy);
        return NULL;
    }
    copy[length] = 0;
    if (ret_length)
        *ret_length = length;
    return copy;
}
