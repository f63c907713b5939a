/* SPDX-License-Identifier: MIT
 *
 * memshim report: what leaked and what went wrong, from reports, ledgers and folders of them. */
#include "cmd_merge.h"
#include "command.h"
#include "lists.h"
#include "out_json.h"
#include "out_text.h"
#include "why.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

enum report_option { REPORT_GROUP_BY = VIEW_OPTION_END, REPORT_LIST, REPORT_SORT, REPORT_WHY, REPORT_SELF_CONTAINED };

struct report_command {
    struct view view;
    enum group_by by;
    enum list_what list;
    enum list_sort sort;
    bool self_contained;
    const char *why; /* fingerprint, or NULL */
};

static void report_help(FILE *out)
{
    fputs(
        "usage: memshim report [options] PATH...\n"
        "\n"
        "Prints the leak report of all processes found at PATH: reports (.jsonl), ledgers of processes that were\n"
        "killed (.ledger), folders of both, or - for a report on standard input.\n"
        "\n"
        "options:\n"
        "      --group-by WHAT    add leaks up by function, file, module, type, thread (the function that it began\n"
        "                         with), domain or label; stack (default): each by itself\n"
        "      --list WHAT        a table instead of the report: errors, leaks, allocations (the stacks that\n"
        "                         asked for most, freed or not), or arenas (the stacks whose blocks keep\n"
        "                         nearly empty arenas of the interpreter)\n"
        "      --sort BY          which allocations come first: calls (default), bytes, or temporary (freed again)\n"
        "      --why FINGERPRINT  one leak in full, and what holds it: the shortest way from a root, or the lost\n"
        "                         blocks around it (fingerprints: --list leaks; the first digits are enough)\n"
        "      --self-contained   no text, but the report itself with symbols inside, to be read on another machine\n",
        out);
    view_help(out, true);
}

static int make_table(const struct report_command *report, const struct output_job *job, const struct leaks *leaks,
                      struct symbols *symbols, struct table *ret)
{
    switch (report->list) {
    case LIST_ERRORS:
        return list_errors(job, symbols, ret);
    case LIST_LEAKS:
        return list_leaks(job, leaks, ret);
    case LIST_ALLOCATIONS:
        return list_allocations(job, symbols, report->sort, ret);
    case LIST_ARENAS:
        return list_arenas(job, symbols, ret);
    case LIST_NONE:
    case LIST_COUNT:
        break;
    }
    return list_groups(job, leaks, report->by, ret);
}

static int write_table(const struct report_command *report, struct output_job *job, const struct leaks *leaks,
                       struct symbols *symbols)
{
    struct table table;
    int r = make_table(report, job, leaks, symbols, &table);
    if (r < 0)
        return r;
    errno = 0;
    r = report->view.output->table(job, &table);
    if (r == 0 && ferror(job->out))
        r = errno ? -errno : -EIO;
    table_clear(&table);
    return r;
}

static int write_why(const struct reading *reading, struct report_command *report)
{
    struct view *view = &report->view;
    bool json = view->output == &out_json;
    const struct leaks *leaks = reading_leaks(reading, view->output);
    size_t at = 0;
    if (!json && view->output != &out_text) {
        command_error("option \"--why\" writes text or json, not \"%s\"", view->output->name);
        return EXIT_USAGE;
    }
    if (!why_next(leaks, report->why, &at)) {
        command_error("no leak has the fingerprint \"%s\"", report->why);
        return EXIT_USAGE;
    }
    struct document document;
    int r = document_open(&document, view);
    if (r != EXIT_DONE)
        return r;
    struct output_job job;
    output_job_init(&job, view->output, &view->options, &reading->model, leaks, document.out);
    job.matching = 0;
    for (at = 0; why_next(leaks, report->why, &at);)
        job.matching++;
    fputs(json ? "[" : "", document.out);
    at = 0;
    for (const struct leak *leak; r == 0 && (leak = why_next(leaks, report->why, &at));)
        r = json ? why_write_json(&job, leak, reading->symbols) : why_write_text(&job, leak, reading->symbols);
    fputs(json ? "]\n" : "", document.out);
    return document_close(&document, view, r);
}

static int write_report(const struct reading *reading, struct report_command *report)
{
    struct view *view = &report->view;
    if (report->why)
        return write_why(reading, report);
    bool is_table = report->list != LIST_NONE || report->by != GROUP_STACK;
    if (is_table && !view->output->table) {
        command_error("format \"%s\" is not for tables", view->output->name);
        return EXIT_USAGE;
    }
    struct document document;
    int code = document_open(&document, view);
    if (code != EXIT_DONE)
        return code;
    struct output_job job;
    const struct leaks *leaks = reading_leaks(reading, view->output);
    output_job_init(&job, view->output, &view->options, &reading->model, leaks, document.out);
    int r = is_table ? write_table(report, &job, leaks, reading->symbols)
                     : output_report(&job, view->output, leaks, reading->symbols);
    return document_close(&document, view, r);
}

/* The place of `text` in a list of names that ends in NULL, or -1 after an error line. */
static int choose(const char *option, const char *const *names, const char *text)
{
    char all[128];
    size_t used = 0;
    for (int i = 0; names[i]; i++) {
        if (*names[i] && strcmp(names[i], text) == 0)
            return i;
        if (*names[i])
            used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "", names[i]);
    }
    command_error("option \"%s\": \"%s\" is not one of %s", option, text, all);
    return -1;
}

static int take_option(struct report_command *report, int code, char **argv)
{
    int chosen;
    switch (code) {
    case REPORT_SELF_CONTAINED:
        report->self_contained = true;
        return EXIT_DONE;
    case REPORT_GROUP_BY:
        chosen = choose("--group-by", group_by_names, optarg);
        report->by = (enum group_by)chosen;
        break;
    case REPORT_LIST:
        chosen = choose("--list", list_names, optarg);
        report->list = (enum list_what)chosen;
        break;
    case REPORT_SORT:
        chosen = choose("--sort", list_sort_names, optarg);
        report->sort = (enum list_sort)chosen;
        break;
    case REPORT_WHY:
        report->why = optarg;
        chosen = strlen(optarg) < WHY_DIGITS_MIN ? -1 : 0;
        if (chosen < 0)
            command_error("option \"--why\": \"%s\" is too short for a fingerprint", optarg);
        break;
    default:
        return view_option(&report->view, code, optarg, argv);
    }
    return chosen < 0 ? EXIT_USAGE : EXIT_DONE;
}

static int report_run(int argc, char **argv)
{
    static const struct option options[] = {VIEW_LIMITS,
                                            VIEW_DOCUMENT,
                                            {"group-by", required_argument, NULL, REPORT_GROUP_BY},
                                            {"list", required_argument, NULL, REPORT_LIST},
                                            {"sort", required_argument, NULL, REPORT_SORT},
                                            {"self-contained", no_argument, NULL, REPORT_SELF_CONTAINED},
                                            {"why", required_argument, NULL, REPORT_WHY},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct report_command report = {0};
    struct view *view = &report.view;
    view_init(view);
    signal(SIGPIPE, SIG_IGN);
    for (int code; (code = getopt_long(argc, argv, ":ho:", options, NULL)) != -1;) {
        if (code == 'h') {
            report_help(stdout);
            return EXIT_DONE;
        }
        int r = take_option(&report, code, argv);
        if (r != EXIT_DONE)
            return r;
    }
    if (report.self_contained) {
        int code = merge_write(view, argv + optind, (size_t)(argc - optind), true);
        view_done(view);
        return code;
    }
    struct reading reading = {0};
    int code = view_choose(view);
    if (code == EXIT_DONE)
        code = reading_open(&reading, argv + optind, (size_t)(argc - optind), view);
    if (code == EXIT_DONE)
        code = write_report(&reading, &report);
    if (code == EXIT_DONE)
        code = view_tell_rules(view);
    reading_close(&reading);
    view_done(view);
    return code;
}

const struct command command_report = {
    .name = "report",
    .summary = "leak report from reports, ledgers, or folders of them",
    .help = report_help,
    .run = report_run,
};
