/* SPDX-License-Identifier: MIT */
#include "scan_proc.h"

#include "arena.h"
#include "compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#define WINDOW (256u << 10)

/* Lines are at most some 4200 bytes. */
static bool take_lines(char *buffer, size_t *used, bool (*take)(void *context, const char *line), void *context)
{
    char *line = buffer, *end;
    bool goes_on = true;

    while (goes_on && (end = memchr(line, '\n', *used - (size_t)(line - buffer)))) {
        *end = '\0';
        goes_on = take(context, line);
        line = end + 1;
    }
    *used -= (size_t)(line - buffer);
    memmove(buffer, line, *used);
    if (*used == WINDOW)
        *used = WINDOW / 2;
    return goes_on;
}

int scan_lines(const char *path, bool (*take)(void *context, const char *line), void *context)
{
    char *buffer = arena_map(WINDOW);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = !buffer ? -ENOMEM : fd < 0 ? -errno : 0;
    size_t used = 0;

    while (result == 0) {
        ssize_t got = read(fd, buffer + used, WINDOW - used);
        if (got <= 0) {
            result = got < 0 ? -errno : 0;
            break;
        }
        used += (size_t)got;
        if (!take_lines(buffer, &used, take, context))
            result = -ENOMEM;
    }
    arena_unmap(buffer, WINDOW);
    return result;
}

struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

bool scan_names(const char *path, bool (*take)(void *context, const char *name), void *context)
{
    _Alignas(struct directory_entry) char buffer[4096];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool goes_on = true;
    long got;

    while (goes_on && fd >= 0 && (got = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < got && goes_on;) {
            const struct directory_entry *entry = (const void *)(buffer + at);
            at += entry->length;
            if (*entry->name != '.')
                goes_on = take(context, entry->name);
        }
    }
    return goes_on;
}
