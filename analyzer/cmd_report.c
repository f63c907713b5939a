/* SPDX-License-Identifier: MIT
 *
 * memshim report: what leaked and what went wrong, from reports, ledgers and folders of them. */
#include "command.h"

#include <signal.h>

static void report_help(FILE *out)
{
    fputs("usage: memshim report [options] PATH...\n"
          "\n"
          "Prints the leak report of all processes found at PATH: reports (.jsonl), ledgers of processes that were\n"
          "killed (.ledger), folders of both, or - for a report on standard input.\n"
          "\n"
          "options:\n",
          out);
    view_help(out, true);
}

static int write_report(const struct reading *reading, struct view *view)
{
    struct document document;
    int code = document_open(&document, view);
    if (code != EXIT_DONE)
        return code;
    struct output_job job;
    const struct leaks *leaks = reading_leaks(reading, view->output);
    output_job_init(&job, view->output, &view->options, &reading->model, leaks, document.out);
    int r = output_report(&job, view->output, leaks, reading->symbols);
    return document_close(&document, view, r);
}

static int report_run(int argc, char **argv)
{
    static const struct option options[] = {VIEW_LIMITS, VIEW_DOCUMENT, {"help", no_argument, NULL, 'h'}, {0}};
    struct view view;
    view_init(&view);
    signal(SIGPIPE, SIG_IGN);
    for (int code; (code = getopt_long(argc, argv, ":ho:", options, NULL)) != -1;) {
        if (code == 'h') {
            report_help(stdout);
            return EXIT_DONE;
        }
        int r = view_option(&view, code, optarg, argv);
        if (r != EXIT_DONE)
            return r;
    }
    struct reading reading = {0};
    int code = view_choose(&view);
    if (code == EXIT_DONE)
        code = reading_open(&reading, argv + optind, (size_t)(argc - optind), &view);
    if (code == EXIT_DONE)
        code = write_report(&reading, &view);
    if (code == EXIT_DONE)
        code = view_tell_rules(&view);
    reading_close(&reading);
    view_done(&view);
    return code;
}

const struct command command_report = {
    .name = "report",
    .summary = "leak report from reports, ledgers, or folders of them",
    .help = report_help,
    .run = report_run,
};
