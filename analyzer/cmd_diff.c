/* SPDX-License-Identifier: MIT
 *
 * memshim diff: what leaks or grows in one run that did not in another. */
#include "command.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static void diff_help(FILE *out)
{
    fputs(
        "usage: memshim diff [options] OLD NEW\n"
        "\n"
        "Compares the leaks of two runs (reports, ledgers, or folders of them). Exits with 1 if something is new or\n"
        "has grown, with 0 if not.\n"
        "\n"
        "options:\n"
        "      --tolerance N      a leak that changed by up to N bytes (k, M, G allowed), or by N%, has not changed\n",
        out);
    view_help(out, true);
}

enum diff_option { DIFF_TOLERANCE = VIEW_OPTION_END };

static uint64_t count_errors(const struct model *model)
{
    uint64_t errors = 0;
    for (size_t i = 0; i < model->process_count; i++)
        errors += model->processes[i]->error_count;
    return errors;
}

static int write_diff(const struct reading *now, const struct diff *diff, struct view *view)
{
    if (!view->output->diff) {
        command_error("format \"%s\" is not for differences", view->output->name);
        return EXIT_USAGE;
    }
    struct document document;
    int code = document_open(&document, view);
    if (code != EXIT_DONE)
        return code;
    struct output_job job;
    output_job_init(&job, view->output, &view->options, &now->model, NULL, document.out);
    errno = 0;
    int r = view->output->diff(&job, diff);
    if (r == 0 && ferror(document.out))
        r = errno ? -errno : -EIO;
    code = document_close(&document, view, r);
    return code != EXIT_DONE ? code : diff_is_worse(diff) ? EXIT_FOUND : EXIT_DONE;
}

/* A comparison with a part of a run would call what is missing "gone" or "new". */
static void warn_truncated(const struct model *model)
{
    for (size_t i = 0; i < model->process_count; i++) {
        if (model->processes[i]->truncated)
            command_error("%s: the report is truncated: what was lost with its end is not compared",
                          model->processes[i]->path);
    }
}

static int compare(const struct reading *before, const struct reading *now, const struct diff_tolerance *tolerance,
                   struct view *view)
{
    struct diff diff = {0};
    if (diff_build(&before->leaks, &now->leaks, tolerance, &diff) < 0) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    diff.old_errors = count_errors(&before->model);
    diff.new_errors = count_errors(&now->model);
    warn_truncated(&before->model);
    warn_truncated(&now->model);
    int code = write_diff(now, &diff, view);
    diff_clear(&diff);
    return code;
}

static int take_tolerance(struct diff_tolerance *tolerance, const char *text)
{
    if (diff_tolerance_parse(text, tolerance) == 0)
        return EXIT_DONE;
    command_error("option \"--tolerance\": \"%s\" is neither a number of bytes nor a percentage", text);
    return EXIT_USAGE;
}

static int diff_run(int argc, char **argv)
{
    static const struct option options[] = {VIEW_LIMITS,
                                            VIEW_DOCUMENT,
                                            {"tolerance", required_argument, NULL, DIFF_TOLERANCE},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct diff_tolerance tolerance = {0};
    struct view view;
    view_init(&view);
    signal(SIGPIPE, SIG_IGN);
    for (int code; (code = getopt_long(argc, argv, ":ho:", options, NULL)) != -1;) {
        if (code == 'h') {
            diff_help(stdout);
            return EXIT_DONE;
        }
        int r = code == DIFF_TOLERANCE ? take_tolerance(&tolerance, optarg) : view_option(&view, code, optarg, argv);
        if (r != EXIT_DONE)
            return r;
    }
    if (argc - optind != 2) {
        command_error("diff compares two runs: memshim diff OLD NEW");
        return EXIT_USAGE;
    }
    struct reading before = {0}, now = {0};
    int code = view_choose(&view);
    if (code == EXIT_DONE)
        code = reading_open(&before, argv + optind, 1, &view);
    if (code == EXIT_DONE)
        code = reading_open(&now, argv + optind + 1, 1, &view);
    if (code == EXIT_DONE)
        code = compare(&before, &now, &tolerance, &view);
    if ((code == EXIT_DONE || code == EXIT_FOUND) && view_tell_rules(&view) != EXIT_DONE)
        code = EXIT_FOUND;
    reading_close(&before);
    reading_close(&now);
    view_done(&view);
    return code;
}

const struct command command_diff = {
    .name = "diff",
    .summary = "what leaks or grows in NEW that did not in OLD",
    .help = diff_help,
    .run = diff_run,
};
