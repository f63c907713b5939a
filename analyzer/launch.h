/* SPDX-License-Identifier: MIT
 *
 * Starts a command under the shim and waits for it, changing nothing else about it: its environment is ours but for
 * LD_PRELOAD and MEMSHIM_OPTIONS, its signal mask and dispositions are those that we were started with, it stays in our
 * process group and session. Never prints. */
#ifndef ANALYZER_LAUNCH_H
#define ANALYZER_LAUNCH_H

#include <stdint.h>
#include <sys/types.h>

struct launch {
    char *const *argv;   /* NULL-terminated, found as execvp does */
    const char *preload; /* value of LD_PRELOAD; NULL: the environment is left as it is */
    const char *options; /* value of MEMSHIM_OPTIONS; goes with `preload` */
};

struct launch_result {
    pid_t pid;        /* of the command */
    int error;        /* errno if it could not be started, else 0 */
    int status;       /* as waitpid gives it */
    int64_t ended_at; /* nanoseconds since the epoch */
    uint64_t
        begun; /* when the launcher itself started (report_process_start), which all that it launches is younger than */
};

/* Runs the command to its end and passes on the signals that reach us meanwhile. Returns 0 (also if the command could not
 * be started: ret->error), or -errno if we could not even fork; nothing has run then. Signals are still blocked when it
 * returns, so that a late one cannot change our exit status: launch_unblock lets them through in a process that may die.
 * SIGCHLD keeps its default action, so that later children can be waited for. */
int launch_run(const struct launch *launch, struct launch_result *ret);
void launch_unblock(void);

/* The exit status that stands for `result`: the command's own, 128 + signal, 126 or 127. */
int launch_exit_code(const struct launch_result *result);

/* The value of LD_PRELOAD with `shim` before what `old` (may be NULL) has, in a form that programs of the musl C library do not
 * heed (preload.h); once, if it is there already. malloc'ed; NULL without memory. */
char *launch_preload(const char *old, const char *shim);

/* Appends "name=value", quoted as options_parse reads it, to the option string *options (malloc'ed, or NULL at first).
 * Returns 0 or -ENOMEM. */
int launch_option(char **options, const char *name, const char *value);

/* `old` and `more` (either may be NULL) joined by ':'. malloc'ed; NULL without memory. */
char *launch_options(const char *old, const char *more);

/* Finds the shim: `override` if not NULL (from the environment: nothing else is tried then), the build tree that our own
 * executable lies in, or `installed`. Returns 0 with *ret malloc'ed, -ENOENT, or -ENOMEM. */
int launch_find_shim(const char *override, const char *installed, char **ret);

#endif
