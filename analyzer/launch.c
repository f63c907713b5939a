/* SPDX-License-Identifier: MIT
 *
 * Environment, fork and exec, signals, exit status. See launch.h. */
#include "launch.h"

#include "compiler.h"
#include "preload.h"
#include "report_writer.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/lib-names.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* Signals that a supervisor is sent on behalf of its program. Not those that stop and continue: by their default action
 * they stop us beside the command, which is what the shell waits for. */
static const int forwarded[] = {SIGHUP,  SIGINT,    SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
                                SIGALRM, SIGVTALRM, SIGPROF, SIGIO,   SIGPWR,  SIGWINCH};

static sigset_t original_mask;

static void watched_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
        sigaddset(set, forwarded[i]);
    for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++)
        sigaddset(set, signal);
}

/* The command's side of the fork: tells its errno through `channel` if there is no program to become. */
static _Noreturn void become(const struct launch *launch, const struct sigaction *old_child, int channel)
{
    sigaction(SIGCHLD, old_child, NULL);
    sigprocmask(SIG_SETMASK, &original_mask, NULL);
    if (!launch->preload ||
        (setenv("LD_PRELOAD", launch->preload, 1) == 0 && setenv("MEMSHIM_OPTIONS", launch->options, 1) == 0))
        execvp(launch->argv[0], launch->argv);
    int error = errno;
    ssize_t written = write(channel, &error, sizeof(error));
    _exit(written == (ssize_t)sizeof(error) ? 127 : 126);
}

/* A signal of the terminal goes to the whole foreground group, so the command has it already; the kernel marks it. It marks
 * timers, too, but those were set by whoever executed us (alarm, then exec) and are meant for the command. */
static void forward(pid_t pid, const siginfo_t *info)
{
    int signal = info->si_signo;
    if (info->si_code <= 0 || signal == SIGALRM || signal == SIGVTALRM || signal == SIGPROF)
        kill(pid, signal);
}

/* Waits for the end of `pid`. SIGCHLD is blocked and may stand for any child, or for several ends at once. */
static int wait_for(pid_t pid)
{
    sigset_t watched;
    watched_signals(&watched);
    for (;;) {
        int status;
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid)
            return status;
        if (ended < 0 && errno != EINTR)
            return 0;
        siginfo_t info;
        int signal = sigwaitinfo(&watched, &info);
        if (signal > 0 && signal != SIGCHLD)
            forward(pid, &info);
    }
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Reads the errno that become() may have sent; the end of the channel means that exec went well. */
static int read_error(int channel)
{
    int error = 0;
    ssize_t size;
    do {
        size = read(channel, &error, sizeof(error));
    } while (size < 0 && errno == EINTR);
    return size == (ssize_t)sizeof(error) ? error : 0;
}

int launch_run(const struct launch *launch, struct launch_result *ret)
{
    int channel[2];
    if (pipe2(channel, O_CLOEXEC) < 0)
        return -errno;
    _cleanup_close_ int from_child = channel[0];
    sigset_t watched;
    watched_signals(&watched);
    sigprocmask(SIG_BLOCK, &watched, &original_mask);
    /* With SIGCHLD ignored, as some parents leave it, the command's status would be thrown away. */
    struct sigaction old_child, default_child = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &default_child, &old_child);
    pid_t pid = fork();
    if (pid == 0)
        become(launch, &old_child, channel[1]);
    int error = errno;
    close(channel[1]);
    if (pid < 0) {
        sigaction(SIGCHLD, &old_child, NULL);
        launch_unblock();
        return -error;
    }
    *ret = (struct launch_result){.pid = pid, .error = read_error(from_child), .begun = report_process_start(getpid())};
    ret->status = wait_for(pid);
    ret->ended_at = now();
    return 0;
}

void launch_unblock(void)
{
    sigprocmask(SIG_SETMASK, &original_mask, NULL);
}

int launch_exit_code(const struct launch_result *result)
{
    if (result->error)
        return result->error == ENOENT ? 127 : 126;
    return WIFSIGNALED(result->status) ? 128 + WTERMSIG(result->status) : WEXITSTATUS(result->status);
}

/* True if `list`, joined by colons and spaces as LD_PRELOAD has it, begins with `item`. */
static bool list_begins(const char *list, const char *item)
{
    list += strspn(list, ": ");
    return strncmp(list, item, strlen(item)) == 0 && strchr(": ", list[strlen(item)]);
}

char *launch_preload(const char *old, const char *shim)
{
    /* Only where the C library is in the folder that this stands for, as it is on nearly all systems. */
    void *library = *shim == '/' ? dlopen("/$LIB/" LIBC_SO, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    const char *before = library ? PRELOAD_GNU_ONLY : "";
    _cleanup_free_ char *item = NULL;
    char *value = NULL;

    if (library)
        dlclose(library);
    if (asprintf(&item, "%s%s", before, shim) < 0) {
        item = NULL;
        return NULL;
    }
    if (!old || !*old)
        return TAKE_PTR(item);
    if (list_begins(old, item) || list_begins(old, shim))
        return strdup(old);
    return asprintf(&value, "%s:%s", item, old) < 0 ? NULL : value;
}

static bool value_is_plain(const char *value)
{
    for (; *value; value++) {
        bool letter = (*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z');
        if (!letter && !(*value >= '0' && *value <= '9') && !strchr("_-./%+,=@", *value))
            return false;
    }
    return true;
}

/* Quotes have no escapes: each ' stands in a piece of its own between ". */
static void put_quoted(FILE *out, const char *value)
{
    fputc('\'', out);
    for (; *value; value++) {
        if (*value == '\'')
            fputs("'\"'\"'", out);
        else
            fputc(*value, out);
    }
    fputc('\'', out);
}

int launch_option(char **options, const char *name, const char *value)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return -ENOMEM;
    if (*options)
        fprintf(out, "%s:", *options);
    fprintf(out, "%s=", name);
    if (*value && value_is_plain(value))
        fputs(value, out);
    else
        put_quoted(out, value);
    bool failed = ferror(out);
    if (fclose(out) != 0 || failed || !text) { /* the last request, to make it fit, is refused without an error */
        free(text);
        return -ENOMEM;
    }
    free(*options);
    *options = text;
    return 0;
}

char *launch_options(const char *old, const char *more)
{
    if (!old || !*old)
        return strdup(more ? more : "");
    if (!more || !*more)
        return strdup(old);
    char *value = NULL;
    return asprintf(&value, "%s:%s", old, more) < 0 ? NULL : value;
}

static bool is_readable_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, R_OK) == 0;
}

int launch_find_shim(const char *override, const char *installed, char **ret)
{
    if (override) {
        char *path = realpath(override, NULL);
        if (path && is_readable_file(path)) {
            *ret = path;
            return 0;
        }
        int error = path || errno != ENOMEM ? -ENOENT : -ENOMEM;
        free(path);
        return error;
    }
    _cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
    if (!self && errno == ENOMEM)
        return -ENOMEM;
    char *slash = self ? strrchr(self, '/') : NULL;
    if (slash) {
        *slash = '\0';
        _cleanup_free_ char *sibling = NULL;
        if (asprintf(&sibling, "%s/../shim/libmemshim.so", self) < 0) {
            sibling = NULL;
            return -ENOMEM;
        }
        char *path = realpath(sibling, NULL);
        if (path && is_readable_file(path)) {
            *ret = path;
            return 0;
        }
        if (!path && errno == ENOMEM)
            return -ENOMEM;
        free(path);
    }
    if (!is_readable_file(installed))
        return -ENOENT;
    *ret = strdup(installed);
    return *ret ? 0 : -ENOMEM;
}
