/* SPDX-License-Identifier: MIT
 *
 * Ledgers in shared memory that the folder of the reports does not show: what ran has removed the folder, or the link in it, or
 * has moved to a view of the system where it could not remove the ledger. See harvest.h. */
#include "harvest.h"

#include "compiler.h"
#include "ledger_format.h"
#include "memshim/report.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARED_MEMORY "/dev/shm"
#define LEDGER_NAME "memshim-"

/* Reads the beginning of a ledger of ours. Anybody may put files there, of any kind. */
static bool read_header(const char *path, struct ledger_header *header)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    return fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
           read(fd, header, sizeof(*header)) == (ssize_t)sizeof(*header) && header->magic == LEDGER_MAGIC &&
           header->version == LEDGER_VERSION && memchr(header->output, '\0', sizeof(header->output));
}

/* The name of the report in `folder` that the ledger was to become, or NULL. */
static const char *name_in(const char *folder, const struct ledger_header *header)
{
    size_t length = strlen(folder);
    const char *name = header->output + length + 1;

    if (strncmp(header->output, folder, length) != 0 || header->output[length] != '/' || strchr(name, '/') ||
        !text_ends_with(name, MEMSHIM_REPORT_SUFFIX))
        return NULL;
    return name;
}

static int relink(const char *folder, const char *ledger, const char *report)
{
    size_t stem = strlen(report) - strlen(MEMSHIM_REPORT_SUFFIX);
    _cleanup_free_ char *link = NULL;

    if (asprintf(&link, "%s/%.*s" MEMSHIM_LEDGER_SUFFIX, folder, (int)stem, report) < 0) {
        link = NULL;
        return -ENOMEM;
    }
    if (symlink(ledger, link) == 0 || errno == EEXIST)
        return 0;
    if (errno != ENOENT || mkdir(folder, 0700) < 0)
        return -errno;
    return symlink(ledger, link) < 0 ? -errno : 0;
}

static int relink_one(const char *folder, uint64_t begun, const char *name, struct ledger_header *header)
{
    _cleanup_free_ char *path = NULL;
    const char *report;

    if (strncmp(name, LEDGER_NAME, strlen(LEDGER_NAME)) != 0 || !text_ends_with(name, MEMSHIM_LEDGER_SUFFIX))
        return 0;
    if (asprintf(&path, SHARED_MEMORY "/%s", name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    report = read_header(path, header) && header->process_start >= begun ? name_in(folder, header) : NULL;
    return report ? relink(folder, path, report) : 0;
}

int harvest_relink(const char *folder, uint64_t begun)
{
    _cleanup_free_ struct ledger_header *header = malloc(sizeof(*header));
    DIR *stream = header && begun ? opendir(SHARED_MEMORY) : NULL;
    int result = header ? 0 : -ENOMEM;

    if (!stream)
        return result;
    for (struct dirent *entry; result == 0 && (entry = readdir(stream)) != NULL;)
        result = relink_one(folder, begun, entry->d_name, header);
    closedir(stream);
    return result;
}
