/* SPDX-License-Identifier: MIT
 *
 * memshim info: what was traced. Needs no symbols, so it works on reports from other machines at once. */
#include "command.h"

#include "load.h"

#include <errno.h>
#include <signal.h>

static void info_help(FILE *out)
{
    fputs("usage: memshim info [options] PATH...\n"
          "\n"
          "Says what was traced: process, versions, options, how it ended, counts, what is missing.\n"
          "\n"
          "options:\n"
          "  -o, --output FILE      write to FILE, which appears when it is complete\n"
          "      --format FORMAT    text or json\n"
          "      --no-pager         do not show the output through a pager\n"
          "      --color WHEN       auto (default), always or never\n"
          "  -h, --help             this help\n",
          out);
}

static int write_info(const struct reading *reading, struct view *view)
{
    if (!view->output->info) {
        command_error("format \"%s\" is not for info", view->output->name);
        return EXIT_USAGE;
    }
    struct document document;
    int code = document_open(&document, view);
    if (code != EXIT_DONE)
        return code;
    struct output_job job;
    output_job_init(&job, view->output, &view->options, &reading->model, NULL, document.out);
    errno = 0;
    int r = view->output->info(&job);
    if (r == 0 && ferror(document.out))
        r = errno ? -errno : -EIO;
    return document_close(&document, view, r);
}

/* Like reading_open, but without leaks. */
static int read_models(struct reading *reading, char *const *paths, size_t count)
{
    if (count == 0) {
        command_error("no report given: name reports, ledgers, or folders of them");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < count; i++) {
        int code = reading_add(reading, paths[i]);
        if (code != EXIT_DONE)
            return code;
    }
    load_done(&reading->model);
    return EXIT_DONE;
}

static int info_run(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"format", required_argument, NULL, VIEW_FORMAT},
                                            {"no-pager", no_argument, NULL, VIEW_NO_PAGER},
                                            {"color", required_argument, NULL, VIEW_COLOR},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct view view;
    view_init(&view);
    signal(SIGPIPE, SIG_IGN);
    for (int code; (code = getopt_long(argc, argv, ":ho:", options, NULL)) != -1;) {
        if (code == 'h') {
            info_help(stdout);
            return EXIT_DONE;
        }
        int r = view_option(&view, code, optarg, argv);
        if (r != EXIT_DONE)
            return r;
    }
    struct reading reading = {0};
    int code = view_choose(&view);
    if (code == EXIT_DONE)
        code = read_models(&reading, argv + optind, (size_t)(argc - optind));
    if (code == EXIT_DONE)
        code = write_info(&reading, &view);
    reading_close(&reading);
    return code;
}

const struct command command_info = {
    .name = "info",
    .summary = "what was traced: process, versions, options, counts, what is missing",
    .help = info_help,
    .run = info_run,
};
