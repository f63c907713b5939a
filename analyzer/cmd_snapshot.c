/* SPDX-License-Identifier: MIT
 *
 * memshim snapshot: asks a traced process for a report while it goes on (shim/snapshot.h). The request is a number in the
 * header of its ledger, which the process has mapped; a signal, if it was started with one for that, makes it look at once. */
#include "command.h"

#include "ledger_format.h"
#include "memshim/report.h"
#include "output.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define TIMEOUT_DEFAULT 30 /* seconds */
#define POLL_NS 5000000

static void snapshot_help(FILE *out)
{
    fprintf(out,
            "usage: memshim snapshot [options] PID\n"
            "\n"
            "Makes a traced process write a leak report while it goes on, and prints the report's name. A process that "
            "was\n"
            "started with --snapshot-signal=SIGNAL does it at once, another one when it has allocated some hundred "
            "blocks.\n"
            "\n"
            "options:\n"
            "  -o, --output FILE      move the report to FILE\n"
            "      --timeout SECONDS  how long to wait for the report (%d)\n"
            "  -h, --help             this help\n",
            TIMEOUT_DEFAULT);
}

struct snapshot_job {
    pid_t pid;
    const char *output;
    uint64_t timeout;
    struct ledger_header *header;
    char root[64]; /* what paths of the process begin with, as seen from here: it may be in a container */
};

/* ---- the ledger of a process ---- */

static struct ledger_header *map_header(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size < (off_t)LEDGER_SEGMENT_SIZE)
        return NULL;
    struct ledger_header *header = mmap(NULL, LEDGER_SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (header == MAP_FAILED)
        return NULL;
    if (header->magic == LEDGER_MAGIC && header->version == LEDGER_VERSION && header->header_size == sizeof(*header))
        return header;
    munmap(header, LEDGER_SEGMENT_SIZE);
    return NULL;
}

/* The file of one line of /proc/PID/maps, if its name is that of a ledger. */
static const char *ledger_of(char *line)
{
    char *path = strchr(line, '/');

    if (path)
        path[strcspn(path, "\n")] = '\0';
    return path && text_ends_with(path, MEMSHIM_LEDGER_SUFFIX) ? path : NULL;
}

/* A process has two ledgers mapped for a moment when it forks: the one with its own number is the one. Returns 0 or -ENOMEM. */
static int try_line(struct snapshot_job *job, char *line)
{
    const char *path = ledger_of(line);
    _cleanup_free_ char *outside = NULL;

    if (!path)
        return 0;
    if (asprintf(&outside, "%s%s", job->root, path) < 0) {
        outside = NULL;
        return -ENOMEM;
    }
    job->header = map_header(outside);
    return 0;
}

/* Returns 0, also where there is none, or an error of the C library. */
static int search_maps(struct snapshot_job *job, FILE *maps)
{
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    int r = 0;

    errno = 0;
    while (r == 0 && !job->header) {
        if (getline(&line, &size, maps) < 0)
            return feof(maps) || errno == ESRCH ? 0 : -errno;
        r = try_line(job, line);
    }
    return r;
}

static int find_ledger(struct snapshot_job *job)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)job->pid);
    snprintf(job->root, sizeof(job->root), "/proc/%d/root", (int)job->pid);
    _cleanup_fclose_ FILE *maps = fopen(path, "re");
    int r = maps ? search_maps(job, maps) : -errno;
    if (r < 0) {
        command_error("process %d: %s", (int)job->pid, r == -ENOENT ? "there is no such process" : strerror(-r));
        return r == -ENOMEM ? EXIT_TROUBLE : EXIT_USAGE;
    }
    if (job->header)
        return EXIT_DONE;
    command_error("process %d is not traced by this version of memshim, or is another user's", (int)job->pid);
    return EXIT_USAGE;
}

/* ---- the request ---- */

static int64_t milliseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static bool is_answered(const struct snapshot_job *job, uint32_t request)
{
    uint32_t answered = __atomic_load_n(&job->header->answered, __ATOMIC_ACQUIRE);
    return (int32_t)(answered - request) >= 0;
}

/* Takes the request back, unless somebody else has made one since. */
static void withdraw(struct snapshot_job *job, uint32_t request)
{
    __atomic_compare_exchange_n(&job->header->requested, &request, request - 1, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
}

static int wait_for_answer(struct snapshot_job *job, uint32_t request)
{
    const struct timespec nap = {.tv_nsec = POLL_NS};
    int64_t end = milliseconds() + (int64_t)job->timeout * 1000;

    while (!is_answered(job, request)) {
        if (kill(job->pid, 0) < 0 && errno == ESRCH) {
            command_error("process %d has ended before it had written its snapshot", (int)job->pid);
            return EXIT_FOUND;
        }
        if (milliseconds() > end) {
            withdraw(job, request);
            command_error("process %d has written no snapshot within %" PRIu64 " s%s", (int)job->pid, job->timeout,
                          job->header->snapshot_signal
                              ? ""
                              : ": it allocates nothing (start it with --snapshot-signal=USR2 to ask it at any time)");
            return EXIT_FOUND;
        }
        nanosleep(&nap, NULL);
    }
    if (job->header->answer_error == 0)
        return EXIT_DONE;
    command_error("process %d could not write a snapshot: %s", (int)job->pid, strerror(-job->header->answer_error));
    return EXIT_TROUBLE;
}

static int request(struct snapshot_job *job)
{
    uint32_t number = __atomic_add_fetch(&job->header->requested, 1, __ATOMIC_RELEASE);
    uint32_t with = job->header->snapshot_signal;

    if (with && kill(job->pid, (int)with) < 0) {
        int error = errno;
        withdraw(job, number);
        command_error("process %d: %s", (int)job->pid, strerror(error));
        return EXIT_USAGE;
    }
    return wait_for_answer(job, number);
}

/* ---- the report ---- */

/* The report's path as the process wrote it. The caller frees it; NULL when memory is out. */
static char *report_path(const struct snapshot_job *job)
{
    const struct ledger_header *header = job->header;
    size_t stem = strnlen(header->output, sizeof(header->output)), suffix = strlen(MEMSHIM_REPORT_SUFFIX);
    char *path = NULL;

    if (stem > suffix && strncmp(header->output + stem - suffix, MEMSHIM_REPORT_SUFFIX, suffix) == 0)
        stem -= suffix;
    if (asprintf(&path, "%.*s" MEMSHIM_SNAPSHOT_INFIX "%u%s", (int)stem, header->output, header->answer,
                 MEMSHIM_REPORT_SUFFIX) < 0)
        return NULL;
    return path;
}

static int copy_file(const char *from, const char *to)
{
    struct output_file file;
    char buffer[65536];
    size_t got;
    _cleanup_fclose_ FILE *in = fopen(from, "re");
    if (!in)
        return -errno;
    int r = output_file_open(&file, to);
    if (r < 0)
        return r;
    while (r == 0 && (got = fread(buffer, 1, sizeof(buffer), in)) > 0)
        if (fwrite(buffer, 1, got, file.out) != got)
            r = errno ? -errno : -EIO;
    if (r == 0 && ferror(in))
        r = -EIO;
    int closed = output_file_close(&file, r == 0);
    return r < 0 ? r : closed;
}

static int move_report(const struct snapshot_job *job, const char *path)
{
    int r = rename(path, job->output) == 0 ? 0 : -errno;

    if (r == -EXDEV) {
        r = copy_file(path, job->output);
        if (r == 0)
            unlink(path);
    }
    return r < 0 ? command_failed(job->output, r) : EXIT_DONE;
}

static int deliver(const struct snapshot_job *job)
{
    _cleanup_free_ char *inside = report_path(job), *outside = NULL;

    if (!inside || asprintf(&outside, "%s%s", job->root, inside) < 0) {
        outside = NULL;
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    /* The short name, unless the process sees another file system. */
    struct stat near, far;
    bool same =
        stat(inside, &near) == 0 && stat(outside, &far) == 0 && near.st_ino == far.st_ino && near.st_dev == far.st_dev;
    const char *path = same ? inside : outside;
    if (job->output) {
        int code = move_report(job, path);
        if (code != EXIT_DONE)
            return code;
        path = job->output;
    }
    printf("%s\n", path);
    return fflush(stdout) == 0 ? EXIT_DONE : command_failed("standard output", -errno);
}

/* ---- the command ---- */

static int take_pid(struct snapshot_job *job, int argc, char **argv)
{
    uint64_t pid;

    if (optind + 1 != argc) {
        command_error(optind < argc ? "one process at a time (see memshim snapshot --help)"
                                    : "no process named (see memshim snapshot --help)");
        return EXIT_USAGE;
    }
    if (text_parse_count(argv[optind], &pid) < 0 || pid == 0 || pid > INT32_MAX) {
        command_error("\"%s\" is not a process id", argv[optind]);
        return EXIT_USAGE;
    }
    job->pid = (pid_t)pid;
    return EXIT_DONE;
}

static int snapshot_run(int argc, char **argv)
{
    enum { TIMEOUT = VIEW_OPTION_END };
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"timeout", required_argument, NULL, TIMEOUT},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct snapshot_job job = {.timeout = TIMEOUT_DEFAULT};
    struct view view;
    view_init(&view);
    for (int code; (code = getopt_long(argc, argv, ":ho:", options, NULL)) != -1;) {
        if (code == 'h') {
            snapshot_help(stdout);
            return EXIT_DONE;
        }
        if (code == 'o') {
            job.output = optarg;
        } else if (code != TIMEOUT) {
            return view_option(&view, code, optarg, argv);
        } else if (text_parse_count(optarg, &job.timeout) < 0 || job.timeout > 86400) {
            command_error("option \"--timeout\": \"%s\" is not a number of seconds up to 86400", optarg);
            return EXIT_USAGE;
        }
    }
    int code = take_pid(&job, argc, argv);
    if (code == EXIT_DONE)
        code = find_ledger(&job);
    if (code == EXIT_DONE)
        code = request(&job);
    if (code == EXIT_DONE)
        code = deliver(&job);
    if (job.header)
        munmap(job.header, LEDGER_SEGMENT_SIZE);
    return code;
}

const struct command command_snapshot = {
    .name = "snapshot",
    .summary = "make a running process write a report",
    .help = snapshot_help,
    .run = snapshot_run,
};
