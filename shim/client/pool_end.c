/* SPDX-License-Identifier: MIT */
#include "pool_end.h"

#include "compiler.h"
#include "pool_report.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define NOTED_MAX 64 /* pools that a process is asked about at its end; their attachments are reported anyway */

static struct noted {
    int taken;
    struct pool_name name;
} noted[NOTED_MAX];

/* ---- files beside the report ---- */

/* FOLDER/pool-NAME-INSTANCE.jsonl */
static bool report_path(const struct pool_name *name, const char *suffix, char *path, size_t size)
{
    char output[4096];

    if (!&memshim_output || !memshim_output(output, sizeof(output)))
        return false;
    char *slash = strrchr(output, '/');
    if (!slash)
        return false;
    *slash = '\0';
    int length =
        snprintf(path, size, "%s/pool-%s-%016llx%s", output, name->name, (unsigned long long)name->instance, suffix);
    return length > 0 && (size_t)length < size;
}

/* A whole file or none; one that is there is older and is replaced. */
static void write_report(const struct pool_view *view, const struct pool_name *name)
{
    char path[4600], part[4700];

    if (!pool_report_wanted(view, POOL_REPORT_ALLOCATIONS) || !report_path(name, ".jsonl", path, sizeof(path)))
        return;
    snprintf(part, sizeof(part), "%s.%d.part", path, (int)getpid());
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file) {
        if (fd >= 0)
            close(fd);
        return;
    }
    int result = pool_report_write(view, POOL_REPORT_ALLOCATIONS, file);
    if (fclose(file) || result || rename(part, path))
        unlink(part);
}

static void remove_link(const struct pool_name *name)
{
    char path[4600];

    if (report_path(name, ".pool", path, sizeof(path)))
        unlink(path);
}

/* ---- destroyed ---- */

void pool_end_destroy(struct pool_mapping *mapping)
{
    write_report(&mapping->view, &mapping->name);
    remove_link(&mapping->name);
}

/* ---- the end of the process ---- */

/* A link beside the report: whatever ends this process, its pool is found there. */
static void leave_link(const struct pool_name *name)
{
    char path[4600], target[POOL_NAME_MAX + 32];

    snprintf(target, sizeof(target), "/dev/shm/%s", name->name);
    if (report_path(name, ".pool", path, sizeof(path)) && access(target, R_OK) == 0 && symlink(target, path) < 0) {
        /* another process has left it, or cannot */
    }
}

void pool_end_note(const struct pool_mapping *mapping)
{
    if (!&memshim_at_end)
        return;
    for (int i = 0; i < NOTED_MAX; i++) {
        if (__atomic_load_n(&noted[i].taken, __ATOMIC_ACQUIRE)) {
            if (noted[i].name.instance == mapping->name.instance)
                return;
        } else if (!__atomic_exchange_n(&noted[i].taken, 1, __ATOMIC_ACQ_REL)) {
            noted[i].name = mapping->name;
            leave_link(&mapping->name);
            return;
        }
    }
}

/* The pool as it is now, by its name: this process may have detached from it. Takes no lock. */
static void look_at(const struct pool_name *name)
{
    char path[POOL_NAME_MAX + 16];
    struct pool_view view;

    snprintf(path, sizeof(path), "/%s", name->name);
    _cleanup_close_ int fd = shm_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0 || pool_file_read(fd, &view) < 0)
        return;
    if (view.instance == name->instance && !pool_report_is_in_use(&view, getpid())) {
        write_report(&view, name);
        remove_link(name);
    }
    munmap(view.header, view.mapped);
}

static void at_end(void)
{
    for (int i = 0; i < NOTED_MAX && __atomic_load_n(&noted[i].taken, __ATOMIC_ACQUIRE); i++)
        if (noted[i].name.instance)
            look_at(&noted[i].name);
}

__attribute__((constructor)) static void begin(void)
{
    if (&memshim_at_end)
        memshim_at_end(at_end);
}
