/* SPDX-License-Identifier: MIT */
#include "ledger_file.h"

#include "compiler.h"
#include "memshim/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define SHARED_MEMORY "/dev/shm"
#define SHARED_MEMORY_ROOM \
    (512ULL << 20) /* with less free (containers have 64 MiB) the ledger goes beside the report */
#define NAMES_MAX 10000u
#define DESCRIPTOR_MIN 100

uint64_t ledger_file_process_start(void)
{
    char text[1024];
    _cleanup_close_ int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    /* The name in parentheses may hold anything: fields are counted from its end, which is field 2. */
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* Moves a descriptor out of the program's way. */
static int raise_descriptor(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);
    if (high < 0)
        return fd;
    close(fd);
    return high;
}

static bool is_ledger(const struct ledger_file *file, int fd)
{
    struct stat status;
    return fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == file->device && status.st_ino == file->inode;
}

int ledger_file_descriptor(struct ledger_file *file)
{
    if (is_ledger(file, file->fd))
        return file->fd;
    int fd = open(file->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    if (!is_ledger(file, fd)) {
        close(fd);
        return -ENOENT;
    }
    file->fd = raise_descriptor(fd);
    return file->fd;
}

int ledger_file_adopt(struct ledger_file *file, int fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    file->fd = fd;
    file->device = status.st_dev;
    file->inode = status.st_ino;
    return 0;
}

void ledger_file_close(struct ledger_file *file)
{
    if (is_ledger(file, file->fd))
        close(file->fd);
    file->fd = -1;
}

void ledger_file_remove(struct ledger_file *file)
{
    unlink(file->link);
    if (strcmp(file->link, file->path) != 0)
        unlink(file->path);
    ledger_file_close(file);
}

/* "dir/a.jsonl" -> "dir/a" and, for n > 0, "dir/a.n". */
static int name_report(struct ledger_file *file, const char *output, uint32_t n)
{
    size_t stem = strlen(output), suffix = strlen(MEMSHIM_REPORT_SUFFIX);
    char number[16] = "";

    if (stem > suffix && strcmp(output + stem - suffix, MEMSHIM_REPORT_SUFFIX) == 0)
        stem -= suffix;
    if (stem + sizeof(number) + sizeof(MEMSHIM_LEDGER_SUFFIX) > sizeof(file->report))
        return -ENAMETOOLONG;
    if (n)
        snprintf(number, sizeof(number), ".%u", n);
    snprintf(file->report, sizeof(file->report), "%.*s%s" MEMSHIM_REPORT_SUFFIX, (int)stem, output, number);
    snprintf(file->link, sizeof(file->link), "%.*s%s" MEMSHIM_LEDGER_SUFFIX, (int)stem, output, number);
    return 0;
}

/* Opens what was a ledger of ours: a regular file of our own, by a link of our own. Others may put links and pipes into a shared
 * folder, whose mere opening has effects. */
static int open_own(const char *path)
{
    struct stat status;
    bool own_link = lstat(path, &status) == 0 && S_ISLNK(status.st_mode) && status.st_uid == geteuid();
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (own_link ? 0 : O_NOFOLLOW));

    if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid())) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The name was taken. If an earlier image of this very process holds it, that image ended by exec: say so in its ledger. */
static void mark_replaced(const struct ledger_file *file)
{
    _cleanup_close_ int fd = open_own(file->link);
    struct ledger_header header; /* only the fields before the long ones are read */
    const size_t head = offsetof(struct ledger_header, program);
    uint32_t ended = END_EXEC;

    if (fd < 0 || pread(fd, &header, head, 0) != (ssize_t)head)
        return;
    if (header.magic != LEDGER_MAGIC || header.version != LEDGER_VERSION || header.pid != getpid() ||
        header.process_start != ledger_file_process_start() || header.ended != END_NONE)
        return;
    if (pwrite(fd, &ended, sizeof(ended), offsetof(struct ledger_header, ended)) < 0) {
        /* the reader will find out by the sequence numbers */
    }
}

static int create_exclusive(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

static bool shared_memory_has_room(void)
{
    struct statvfs room;
    return statvfs(SHARED_MEMORY, &room) == 0 && (uint64_t)room.f_bavail * room.f_bsize >= SHARED_MEMORY_ROOM;
}

/* The name is that of the process, so that an image that exec put in the place of another finds the other's ledger. */
void ledger_file_shared_name(char *path, size_t size, unsigned n)
{
    snprintf(path, size, SHARED_MEMORY "/memshim-%d-%llx-%u" MEMSHIM_LEDGER_SUFFIX, getpid(),
             (unsigned long long)ledger_file_process_start(), n);
}

static int create_in_shared_memory(struct ledger_file *file)
{
    int fd = -EEXIST;

    if (!shared_memory_has_room())
        return -ENOSPC;
    for (unsigned n = 0; fd == -EEXIST && n < NAMES_MAX; n++) {
        ledger_file_shared_name(file->path, sizeof(file->path), n);
        fd = create_exclusive(file->path);
    }
    if (fd == -EEXIST)
        return -ENOSPC;
    if (fd >= 0 && symlink(file->path, file->link) < 0) {
        int error = errno;
        close(fd);
        unlink(file->path);
        return -error;
    }
    return fd;
}

/* Creates the ledger under the name in file->link. -EEXIST: the name is taken. */
static int create_named(struct ledger_file *file)
{
    struct stat status;

    if (lstat(file->report, &status) == 0)
        return -EEXIST;
    int fd = create_in_shared_memory(file);
    if (fd >= 0 || fd == -EEXIST)
        return fd;
    memcpy(file->path, file->link, sizeof(file->path));
    return create_exclusive(file->path);
}

int ledger_file_create(struct ledger_file *file, const char *output)
{
    struct stat status;
    int fd = -EEXIST;

    file->fd = -1;
    for (file->sequence = 0; fd == -EEXIST && file->sequence < NAMES_MAX; file->sequence++) {
        int result = name_report(file, output, file->sequence);
        if (result < 0)
            return result;
        fd = create_named(file);
        if (fd == -EEXIST)
            mark_replaced(file);
    }
    if (fd < 0)
        return fd;
    file->sequence--;
    fd = raise_descriptor(fd);
    if (fstat(fd, &status) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    file->fd = fd;
    file->device = status.st_dev;
    file->inode = status.st_ino;
    return 0;
}
