/* SPDX-License-Identifier: MIT
 *
 * memshim export: a report in the formats of other tools, all leaks of it, several formats at once. */
#include "command.h"

#include <signal.h>
#include <string.h>

#define EXPORTS_MAX 16

static void export_help(FILE *out)
{
    fputs("usage: memshim export [options] PATH... [FORMAT=FILE...]\n"
          "\n"
          "Writes the report of all processes found at PATH for other tools: whole, however many leaks there are, and "
          "in as\n"
          "many formats as are named, each into its file; or, with --format or -o, in one.\n"
          "\n"
          "options:\n",
          out);
    view_help(out, true);
}

/* The arguments taken apart. */
struct exports {
    struct view *view;
    struct view items[EXPORTS_MAX];
    size_t count;
};

/* Whether the argument is FORMAT=FILE, with the name of a format; it is changed and taken then. */
static bool is_export(char *argument, const struct output **ret_output, const char **ret_path)
{
    char *equals = strchr(argument, '=');
    if (!equals || !equals[1] || memchr(argument, '/', (size_t)(equals - argument)))
        return false;
    *equals = '\0';
    *ret_output = output_find(argument, NULL);
    *ret_path = equals + 1;
    if (!*ret_output)
        *equals = '=';
    return *ret_output != NULL;
}

/* Moves the paths to the front of `arguments`. Returns their number, or -1 after an error line. */
static int take_arguments(struct exports *exports, char **arguments, int count)
{
    int paths = 0;
    for (int i = 0; i < count; i++) {
        const struct output *output;
        const char *path;
        if (!is_export(arguments[i], &output, &path)) {
            arguments[paths++] = arguments[i];
            continue;
        }
        if (!format_is_there(output))
            return -1;
        if (exports->count == EXPORTS_MAX) {
            command_error("more than %d formats", EXPORTS_MAX);
            return -1;
        }
        struct view *item = &exports->items[exports->count++];
        *item = (struct view){.options = exports->view->options, .output = output, .path = path};
    }
    return paths;
}

static int write_one(const struct reading *reading, struct view *view)
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

static int write_all(const struct reading *reading, struct exports *exports)
{
    int code = EXIT_DONE;
    if (exports->view->format || exports->view->path)
        code = write_one(reading, exports->view);
    for (size_t i = 0; i < exports->count && code == EXIT_DONE; i++)
        code = write_one(reading, &exports->items[i]);
    return code;
}

static int export_parsed(struct exports *exports, char **arguments, int count)
{
    struct view *view = exports->view;
    int code = view_choose(view);
    if (code != EXIT_DONE)
        return code;
    int paths = take_arguments(exports, arguments, count);
    if (paths < 0)
        return EXIT_USAGE;
    if (!view->format && !view->path && exports->count == 0) {
        command_error("no format given: memshim export PATH... FORMAT=FILE, or --format FORMAT");
        return EXIT_USAGE;
    }
    struct reading reading = {0};
    code = reading_open(&reading, arguments, (size_t)paths, view);
    if (code == EXIT_DONE)
        code = write_all(&reading, exports);
    if (code == EXIT_DONE)
        code = view_tell_rules(view);
    reading_close(&reading);
    return code;
}

static int export_run(int argc, char **argv)
{
    static const struct option options[] = {VIEW_LIMITS, VIEW_DOCUMENT, {"help", no_argument, NULL, 'h'}, {0}};
    struct view view;
    view_init(&view);
    view.options.top = 0;
    view.pager = false;
    signal(SIGPIPE, SIG_IGN);
    for (int code; (code = getopt_long(argc, argv, ":ho:", options, NULL)) != -1;) {
        if (code == 'h') {
            export_help(stdout);
            return EXIT_DONE;
        }
        int r = view_option(&view, code, optarg, argv);
        if (r != EXIT_DONE)
            return r;
    }
    struct exports exports = {.view = &view};
    int code = export_parsed(&exports, argv + optind, argc - optind);
    view_done(&view);
    return code;
}

const struct command command_export = {
    .name = "export",
    .summary = "a report in the formats of other tools, FORMAT=FILE",
    .help = export_help,
    .run = export_run,
};
