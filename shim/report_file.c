/* SPDX-License-Identifier: MIT
 *
 * A file that appears whole (report_file.h). The writer holds a lock (flock) on its .part: one that can be locked
 * belongs to a writer that died. */
#include "report_file.h"

#include "compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define CREATE_TRIES 4

/* Creates and locks the .part. Returns the descriptor, -EEXIST, or -errno. */
static int create_part(const char *part)
{
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
    struct stat st;

    if (fd < 0)
        return -errno;
    /* Between the two calls another writer may have taken the file for a dead one's; it is then its turn. A file system
     * without locks gives other errors: two writers at a time are not told apart there. */
    if ((flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) || (fstat(fd, &st) == 0 && st.st_nlink == 0)) {
        close(fd);
        return -EBUSY;
    }
    return fd;
}

/* Removes a .part whose writer died. Returns 0 or -errno (-EBUSY: it lives). */
static int remove_stale_part(const char *part)
{
    _cleanup_close_ int fd = open(part, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat opened, named;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &opened) < 0 || !S_ISREG(opened.st_mode))
        return -EEXIST;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -EBUSY;
    if (lstat(part, &named) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
        return 0;
    return unlink(part) < 0 ? -errno : 0;
}

int report_file_open(struct report_file *file, const char *path)
{
    struct stat st;
    int length = snprintf(file->part, sizeof(file->part), "%s" REPORT_PART_SUFFIX, path);

    if (length < 0 || (size_t)length >= sizeof(file->part))
        return -ENAMETOOLONG;
    if (lstat(path, &st) == 0)
        return -EEXIST;
    file->path = path;
    for (unsigned i = 0; i < CREATE_TRIES; i++) {
        int error;

        file->fd = create_part(file->part);
        if (file->fd != -EEXIST)
            return MIN(file->fd, 0);
        error = remove_stale_part(file->part);
        if (error)
            return error;
    }
    return -EBUSY;
}

/* Gives the .part its name, unless that is taken. */
static int publish(const struct report_file *file)
{
    if (renameat2(AT_FDCWD, file->part, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (link(file->part, file->path) < 0)
        return -errno;
    unlink(file->part);
    return 0;
}

int report_file_close(struct report_file *file, int error)
{
    /* The name is given before the close, because the close gives up the lock. An error of the close itself (network
     * file systems report a full disk there) takes the file back. */
    if (!error)
        error = publish(file);
    if (error)
        unlink(file->part);
    if (close(file->fd) < 0 && !error && errno != EINTR) {
        error = -errno;
        unlink(file->path);
    }
    return error;
}
