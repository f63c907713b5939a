/* SPDX-License-Identifier: MIT
 *
 * Before and after a traced run. See cmd_session.h. */
#include "cmd_session.h"

#include "memshim/report.h"
#include "options.h"
#include "program.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_FOLDERS_MAX 1000 /* numbers tried when old folders with our process id are in the way */

/* Makes "memshim-PID", or "memshim-PID-2" and so on where a run of the past had the same process id. */
static int make_default_folder(struct session *session)
{
    for (int i = 1; i < DEFAULT_FOLDERS_MAX; i++) {
        char name[64], number[16] = "";
        if (i > 1)
            snprintf(number, sizeof(number), "-%d", i);
        snprintf(name, sizeof(name), "memshim-%d%s", (int)getpid(), number);
        if (mkdir(name, 0700) == 0) {
            session->created = true;
            session->shown = strdup(name);
            return session->shown ? 0 : -ENOMEM;
        }
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

/* Makes `path` and the folders above it. A folder that is there is fine. */
static int make_folders(struct session *session, const char *path)
{
    session->shown = strdup(path);
    _cleanup_free_ char *copy = strdup(path);
    if (!session->shown || !copy)
        return -ENOMEM;
    for (char *slash = copy; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        if (mkdir(copy, 0777) < 0 && errno != EEXIST)
            return -errno;
    }
    struct stat status;
    if (mkdir(path, 0700) == 0)
        session->created = true;
    else if (errno != EEXIST)
        return -errno;
    else if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
        return -ENOTDIR;
    return 0;
}

static int make_folder(struct session *session, const char *wanted)
{
    int r = wanted ? make_folders(session, wanted) : make_default_folder(session);
    if (r == 0) {
        session->folder = realpath(session->shown, NULL);
        r = session->folder ? names_read(session->folder, &session->before) : -errno;
    }
    if (r == 0)
        return EXIT_DONE;
    command_error("cannot make the folder \"%s\" for the reports: %s%s",
                  session->shown ? session->shown : "memshim-PID", strerror(-r),
                  wanted ? "" : " (name another with -o)");
    return wanted && r != -ENOMEM && r != -ENOSPC ? EXIT_USAGE : EXIT_TROUBLE;
}

/* The option `output`, in which a percent sign of the folder's name is doubled. */
static int add_output(char **options, const char *folder)
{
    char value[2 * OPTION_TEXT_MAX];
    size_t used = 0;
    for (const char *p = folder; *p && used < OPTION_TEXT_MAX; p++) {
        if (*p == '%')
            value[used++] = '%';
        value[used++] = *p;
    }
    used += (size_t)snprintf(value + used, sizeof(value) - used, "/%%n-%%p%s", MEMSHIM_REPORT_SUFFIX);
    if (used >= OPTION_TEXT_MAX) {
        command_error("the name of the folder for the reports is too long: %s", folder);
        return EXIT_USAGE;
    }
    if (launch_option(options, "output", value) == 0)
        return EXIT_DONE;
    command_error("out of memory");
    return EXIT_TROUBLE;
}

static int find_shim(char **ret)
{
    const char *override = secure_getenv("MEMSHIM_SHIM");
    int r = launch_find_shim(override, MEMSHIM_SHIM_PATH, ret);
    if (r < 0) {
        if (r != -ENOENT)
            command_error("out of memory");
        else if (override)
            command_error("MEMSHIM_SHIM names no readable file: %s", override);
        else
            command_error("libmemshim.so is neither beside this program's build tree nor at %s: "
                          "name it in MEMSHIM_SHIM",
                          MEMSHIM_SHIM_PATH);
        return EXIT_TROUBLE;
    }
    if (!strpbrk(*ret, ": "))
        return EXIT_DONE;
    command_error("%s cannot be preloaded: LD_PRELOAD allows no colon and no space in a path", *ret);
    return EXIT_TROUBLE;
}

static int launch(struct session *session, const struct launch *what)
{
    int r = launch_run(what, &session->result);
    if (r < 0) {
        command_error("cannot start a process: %s", strerror(-r));
        return EXIT_TROUBLE;
    }
    if (session->result.error)
        command_error("\"%s\": %s", what->argv[0], strerror(session->result.error));
    return EXIT_DONE;
}

static int run_traced(struct session *session, const struct session_options *options, char **argv)
{
    _cleanup_free_ char *shim = NULL, *ours = NULL;
    int code = find_shim(&shim);
    if (code == EXIT_DONE)
        code = make_folder(session, options->folder);
    if (code != EXIT_DONE)
        return code;
    if (options->options && !(ours = strdup(options->options))) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    code = add_output(&ours, session->folder);
    if (code != EXIT_DONE)
        return code;
    _cleanup_free_ char *preload = launch_preload(getenv("LD_PRELOAD"), shim);
    _cleanup_free_ char *value = launch_options(getenv("MEMSHIM_OPTIONS"), ours);
    if (!preload || !value) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    return launch(session, &(struct launch){.argv = argv, .preload = preload, .options = value});
}

int session_run(struct session *session, const struct session_options *options, char **argv)
{
    *session = (struct session){0};
    errno = 0;
    _cleanup_free_ char *path = program_find(argv[0]);
    if (!path && errno == ENOMEM) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    const char *obstacle = path ? program_obstacle(path) : NULL;
    if (obstacle)
        command_error("\"%s\" is %s: cannot be traced; running it untouched", argv[0], obstacle);
    /* A command that does not exist needs no folder; the failing exec says what is wrong. */
    if (obstacle || !path)
        return launch(session, &(struct launch){.argv = argv});
    return run_traced(session, options, argv);
}

static void tell_running(const struct harvest *harvest)
{
    if (harvest->running_count == 0)
        return;
    char pids[128] = "";
    size_t used = 0;
    for (size_t i = 0; i < harvest->running_count && used < sizeof(pids) - 16; i++)
        used += (size_t)snprintf(pids + used, sizeof(pids) - used, " %d", harvest->running[i]);
    command_error("%zu process%s still running and recording, not in this summary:%s%s", harvest->running_count,
                  harvest->running_count == 1 ? " is" : "es are", pids, harvest->running_count > 8 ? " .." : "");
}

static int tell_problems(const struct harvest *harvest)
{
    for (size_t i = 0; i < harvest->problem_count; i++) {
        const struct harvest_problem *problem = &harvest->problems[i];
        command_error("%s: %s", problem->path, problem->why ? problem->why : strerror(-problem->error));
    }
    return harvest->problem_count > 0 ? EXIT_USAGE : EXIT_DONE;
}

int session_collect(const struct session *session, struct reading *reading, size_t *ret_reports)
{
    struct harvest harvest;
    int r = harvest_folder(session->folder, &session->before, &session->result, &harvest);
    int code = EXIT_DONE;
    if (r < 0)
        code = command_failed(session->shown, r);
    int problems = tell_problems(&harvest);
    code = code == EXIT_DONE ? problems : code;
    for (size_t i = 0; i < harvest.reports.count; i++) {
        int added = reading_add(reading, harvest.reports.items[i]);
        code = code == EXIT_DONE ? added : code;
    }
    tell_running(&harvest);
    *ret_reports = harvest.reports.count;
    harvest_clear(&harvest);
    return code;
}

void session_done(struct session *session, struct session_options *options)
{
    if (session->created && session->folder)
        rmdir(session->folder); /* fails if there is something in it, as it should */
    names_clear(&session->before);
    free(session->folder);
    free(session->shown);
    free(options->options);
    *session = (struct session){0};
    options->options = NULL;
}
