/* SPDX-License-Identifier: MIT
 *
 * Ledgers to reports. A ledger belongs to one image of one process; it is finished when no process with its pid maps its
 * file any more: that holds for ends of every kind and for exec, and a reused pid does not fool it. See harvest.h. */
#include "harvest.h"

#include "compiler.h"
#include "ledger_view.h"
#include "mappers.h"
#include "memshim/report.h"
#include "report_writer.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* For all processes together that are still alive when the command has ended (helpers of multiprocessing end just then). */
#define GRACE_MS 500
#define ROUNDS_MAX 4

void names_clear(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct names){0};
}

static int names_add(struct names *names, const char *name)
{
    char **items = reallocarray(names->items, names->count + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    names->items = items;
    items[names->count] = strdup(name);
    if (!items[names->count])
        return -ENOMEM;
    names->count++;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void cleanup_closedirp(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* A pool that is still there: a link to one that was destroyed tells nothing. */
static bool is_pool(const char *folder, const char *name)
{
    _cleanup_free_ char *path = NULL;

    if (!text_ends_with(name, MEMSHIM_POOL_SUFFIX))
        return false;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        path = NULL;
    return path && access(path, R_OK) == 0;
}

int names_read(const char *folder, struct names *ret)
{
    struct names names = {0};
    __attribute__((cleanup(cleanup_closedirp))) DIR *stream = opendir(folder);
    if (!stream)
        return -errno;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (!text_ends_with(entry->d_name, MEMSHIM_REPORT_SUFFIX) &&
            !text_ends_with(entry->d_name, MEMSHIM_LEDGER_SUFFIX) && !is_pool(folder, entry->d_name))
            continue;
        if (names_add(&names, entry->d_name) < 0) {
            names_clear(&names);
            return -ENOMEM;
        }
    }
    if (names.count > 0)
        qsort(names.items, names.count, sizeof(*names.items), compare_names);
    *ret = names;
    return 0;
}

bool names_have(const struct names *names, const char *name)
{
    return names->count > 0 && bsearch(&name, names->items, names->count, sizeof(*names->items), compare_names) != NULL;
}

/* One ledger of the run. */
struct image {
    char *path;
    char *target; /* the file itself, where `path` is a link */
    pid_t pid;
    pid_t seen_as; /* its id here, in place of `pid`; 0 = there is none */
    uint32_t sequence, ended;
    ino_t inode;
    bool open; /* the view is */
    bool alive;
    struct ledger_view view;
};

static void images_clear(struct image *images, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ledger_view_close(&images[i].view);
        free(images[i].path);
        free(images[i].target);
    }
    free(images);
}

static int add_problem(struct harvest *harvest, const char *path, int error, const char *why)
{
    struct harvest_problem *problems = reallocarray(harvest->problems, harvest->problem_count + 1, sizeof(*problems));
    if (!problems)
        return -ENOMEM;
    harvest->problems = problems;
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    problems[harvest->problem_count++] = (struct harvest_problem){.path = copy, .error = error, .why = why};
    return 0;
}

/* Removes the ledger of a process that was killed between making the file and writing anything into it: it knows nothing.
 * The file's name, which the shim gave it, says whose it is. */
static bool remove_stillborn(const char *path)
{
    _cleanup_free_ char *target = realpath(path, NULL);
    const char *name = target ? strrchr(target, '/') : NULL;
    struct stat status;
    int pid;

    if (!name || sscanf(name, "/memshim-%d-%*[0-9a-f]-", &pid) != 1 || strcmp(path, target) == 0)
        return false;
    if (stat(target, &status) < 0 || status.st_size != 0 || pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH)
        return false;
    unlink(path);
    unlink(target);
    return true;
}

/* Opens the view of image->path. A file that is no ledger stays closed and is noted. */
static int image_open(struct image *image, struct harvest *harvest)
{
    const char *why = NULL;
    struct stat status;
    int r = ledger_view_open(&image->view, image->path, &why);
    /* Gone since: its process just ended and wrote its report. */
    if (r == -ENOENT || (r < 0 && remove_stillborn(image->path)))
        return 0;
    if (r < 0)
        return r == -ENOMEM ? r : add_problem(harvest, image->path, r, why);
    image->open = true;
    image->target = realpath(image->path, NULL);
    if (!image->target)
        return -errno;
    if (stat(image->path, &status) == 0)
        image->inode = status.st_ino;
    image->pid = image->view.header->pid;
    image->seen_as = image->pid;
    image->sequence = image->view.header->sequence;
    return 0;
}

/* One line of /proc/PID/maps: "start-end perms offset dev inode   path". */
static bool line_maps(const char *line, const struct image *image)
{
    unsigned long long inode = 0;
    int path = 0;
    if (sscanf(line, "%*s %*s %*s %*s %llu %n", &inode, &path) < 1)
        return false;
    if (inode != 0 && inode == (unsigned long long)image->inode)
        return true;
    return path > 0 && strncmp(line + path, image->target, strlen(image->target)) == 0;
}

static bool image_is_alive(const struct image *image)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)image->seen_as);
    _cleanup_fclose_ FILE *maps = fopen(path, "re");
    /* Another user's process: it is there, and more we cannot know. */
    if (!maps)
        return errno != ENOENT && errno != ESRCH;
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, maps) > 0) {
        if (line_maps(line, image))
            return true;
    }
    return ferror(maps) && errno != ESRCH;
}

static int64_t milliseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Waits until the image's process ends, at the latest until `deadline`. */
static void wait_for_end(const struct image *image, int64_t deadline)
{
    _cleanup_close_ int fd = pidfd_open(image->seen_as, 0);
    int64_t left = deadline - milliseconds();
    if (fd < 0 || left <= 0)
        return;
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    poll(&poller, 1, (int)left);
}

/* Whether the process of this id is another one, or none: the image's own may have been killed, or go by another id here. */
static bool is_of_another(const struct image *image)
{
    const struct ledger_header *header = image->view.header;

    return __atomic_load_n(&header->ended, __ATOMIC_ACQUIRE) == END_NONE && header->process_start &&
           report_process_start(image->pid) != header->process_start;
}

static void look_at(struct image *image, struct mappers *mappers)
{
    if (is_of_another(image))
        image->seen_as = mappers_find(mappers, strrchr(image->target, '/') + 1, image->inode);
    image->alive = image_is_alive(image);
}

static void find_alive(struct image *images, size_t count)
{
    struct mappers mappers = {0};
    int64_t deadline = milliseconds() + GRACE_MS;
    for (size_t i = 0; i < count; i++) {
        if (!images[i].open)
            continue;
        look_at(&images[i], &mappers);
        if (!images[i].alive)
            continue;
        wait_for_end(&images[i], deadline);
        images[i].alive = image_is_alive(&images[i]);
    }
    mappers_clear(&mappers);
}

static bool has_successor(const struct image *images, size_t count, const struct image *image)
{
    for (size_t i = 0; i < count; i++) {
        if (images[i].open && images[i].pid == image->pid && images[i].sequence > image->sequence)
            return true;
    }
    return false;
}

/* What we know of the end of an image beyond what its ledger says; NULL: nothing. */
static const struct report_end *end_of(const struct image *images, size_t count, const struct image *image,
                                       const struct launch_result *result, struct report_end *end)
{
    uint32_t ended = __atomic_load_n(&image->view.header->ended, __ATOMIC_ACQUIRE);
    if (ended != END_EXEC && has_successor(images, count, image)) {
        *end = (struct report_end){.ended = "exec"};
        return end;
    }
    if (ended == END_EXEC || image->pid != result->pid)
        return NULL;
    bool killed = WIFSIGNALED(result->status);
    *end = (struct report_end){.ended = killed ? "signal" : "exit",
                               .status = killed ? WTERMSIG(result->status) : WEXITSTATUS(result->status),
                               .ended_at = result->ended_at};
    return end;
}

/* Writes the report of one finished image. Returns 0, also if it could not be written (a problem is noted then). */
static int image_finish(const struct image *images, size_t count, struct image *image,
                        const struct launch_result *result, struct harvest *harvest)
{
    size_t stem = strlen(image->path) - strlen(MEMSHIM_LEDGER_SUFFIX);
    _cleanup_free_ char *report = NULL;
    if (asprintf(&report, "%.*s%s", (int)stem, image->path, MEMSHIM_REPORT_SUFFIX) < 0) {
        report = NULL;
        return -ENOMEM;
    }
    struct report_end end;
    int r = report_write_file(&image->view, end_of(images, count, image, result, &end), report);
    if (r < 0 && r != -EEXIST) { /* a report that is there was written by the process itself */
        int added = add_problem(harvest, report, r, NULL);
        return added < 0 ? added : names_add(&harvest->reports, image->path);
    }
    unlink(image->path);
    if (strcmp(image->path, image->target) != 0)
        unlink(image->target);
    return 0;
}

static int add_running(struct harvest *harvest, int pid)
{
    int *running = reallocarray(harvest->running, harvest->running_count + 1, sizeof(*running));
    if (!running)
        return -ENOMEM;
    harvest->running = running;
    running[harvest->running_count++] = pid;
    return 0;
}

static int finish_images(struct image *images, size_t count, const struct launch_result *result,
                         struct harvest *harvest)
{
    for (size_t i = 0; i < count; i++) {
        struct image *image = &images[i];
        if (!image->open)
            continue;
        int r =
            image->alive ? add_running(harvest, image->seen_as) : image_finish(images, count, image, result, harvest);
        if (r < 0)
            return r;
    }
    return 0;
}

static int open_images(const char *folder, const struct names *found, const struct names *done, struct image *images,
                       size_t *count, struct harvest *harvest)
{
    for (size_t i = 0; i < found->count; i++) {
        const char *name = found->items[i];
        if (!text_ends_with(name, MEMSHIM_LEDGER_SUFFIX) || names_have(done, name))
            continue;
        struct image *image = &images[*count];
        if (asprintf(&image->path, "%s/%s", folder, name) < 0) {
            image->path = NULL;
            return -ENOMEM;
        }
        ++*count;
        int r = image_open(image, harvest);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Turns the ledgers among `found` that `done` does not have into reports; *ret_count receives their number. */
static int harvest_ledgers(const char *folder, const struct names *found, const struct names *done,
                           const struct launch_result *result, struct harvest *harvest, size_t *ret_count)
{
    struct image *images = calloc(found->count + 1, sizeof(*images));
    size_t count = 0;
    if (!images)
        return -ENOMEM;
    int r = open_images(folder, found, done, images, &count, harvest);
    if (r == 0) {
        find_alive(images, count);
        r = finish_images(images, count, result, harvest);
    }
    images_clear(images, count);
    *ret_count = count;
    return r;
}

/* Looks again as long as there are new ledgers: a process that was just forked makes its own a moment later. */
static int harvest_rounds(const char *folder, const struct names *before, const struct launch_result *result,
                          struct harvest *harvest)
{
    struct names done = {0};
    int r = 0;
    size_t count = 1;
    for (int round = 0; r == 0 && count > 0 && round < ROUNDS_MAX; round++) {
        struct names found = {0};
        r = names_read(folder, &found);
        if (r == 0)
            r = harvest_ledgers(folder, &found, round == 0 ? before : &done, result, harvest, &count);
        names_clear(&done);
        done = found;
    }
    names_clear(&done);
    return r;
}

/* The second look at the folder: the reports that are there now. */
static int collect(const char *folder, const struct names *before, struct harvest *harvest)
{
    struct names found = {0};
    int r = names_read(folder, &found);
    for (size_t i = 0; r == 0 && i < found.count; i++) {
        if (text_ends_with(found.items[i], MEMSHIM_LEDGER_SUFFIX) || names_have(before, found.items[i]) ||
            text_is_snapshot(found.items[i], NULL, NULL))
            continue;
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s/%s", folder, found.items[i]) < 0) {
            path = NULL;
            r = -ENOMEM;
        } else {
            r = names_add(&harvest->reports, path);
        }
    }
    names_clear(&found);
    return r;
}

int harvest_folder(const char *folder, const struct names *before, const struct launch_result *result,
                   struct harvest *ret)
{
    *ret = (struct harvest){0};
    int linked = harvest_relink(folder, result->begun);
    int r = harvest_rounds(folder, before, result, ret);
    int collected = collect(folder, before, ret);
    return r < 0 ? r : linked < 0 ? linked : collected;
}

void harvest_clear(struct harvest *harvest)
{
    names_clear(&harvest->reports);
    free(harvest->running);
    for (size_t i = 0; i < harvest->problem_count; i++)
        free(harvest->problems[i].path);
    free(harvest->problems);
    *harvest = (struct harvest){0};
}
