/* SPDX-License-Identifier: MIT
 *
 * memshim merge: many reports into one file, as they are or with symbols inside. */
#include "cmd_merge.h"

#include "command.h"
#include "progress.h"
#include "tee.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

enum merge_option { MERGE_SYMBOLS = VIEW_OPTION_END };

static void merge_help(FILE *out)
{
    fputs(
        "usage: memshim merge [options] -o FILE PATH...\n"
        "\n"
        "Puts the reports of all processes found at PATH (reports, ledgers, folders of them) into one report, which "
        "every\n"
        "command reads like the folder: of the workers of a test run, of a server and its children. FILE may end in\n"
        ".zst: it is compressed then.\n"
        "\n"
        "options:\n"
        "  -o, --output FILE      write to FILE, which appears when it is complete\n"
        "      --self-contained   put the names of native functions and their source lines inside, so that the report\n"
        "                         can be read where the program is not\n"
        "      --no-debuginfod    do not ask DEBUGINFOD_URLS for symbols\n"
        "  -h, --help             this help\n",
        out);
}

/* Reads all of it, and so writes it. */
static int read_paths(char *const *paths, size_t count, struct tee *tee)
{
    struct reading reading = {.model.tee = tee};
    int code = EXIT_DONE;
    progress_begin();
    for (size_t i = 0; i < count && code == EXIT_DONE && !tee->error; i++)
        code = reading_add(&reading, paths[i]);
    progress_end();
    for (size_t i = 0; i < reading.model.process_count && code == EXIT_DONE; i++) {
        if (reading.model.processes[i]->truncated)
            command_error("%s: note: the report is truncated: what was lost with its end is missing",
                          reading.model.processes[i]->path);
    }
    reading_close(&reading);
    return code;
}

int merge_write(struct view *view, char *const *paths, size_t count, bool self_contained)
{
    if (count == 0) {
        command_error("no report given: name reports, ledgers, or folders of them");
        return EXIT_USAGE;
    }
    struct tee tee = {.symbols = self_contained ? symbols_new(view->debuginfod) : NULL};
    if (self_contained && !tee.symbols) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    struct document document;
    int code = document_open(&document, view);
    if (code == EXIT_DONE) {
        tee.out = document.out;
        code = read_paths(paths, count, &tee);
        /* What could not be read is no failure of writing: it has been told. */
        int closed = document_close(&document, view, code != EXIT_DONE ? -ECANCELED : tee.error);
        code = code != EXIT_DONE ? code : closed;
    }
    symbols_free(tee.symbols);
    return code;
}

static int merge_run(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"self-contained", no_argument, NULL, MERGE_SYMBOLS},
                                            {"no-debuginfod", no_argument, NULL, VIEW_NO_DEBUGINFOD},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct view view;
    bool self_contained = false;
    view_init(&view);
    view.pager = false;
    signal(SIGPIPE, SIG_IGN);
    for (int code; (code = getopt_long(argc, argv, ":ho:", options, NULL)) != -1;) {
        if (code == 'h') {
            merge_help(stdout);
            return EXIT_DONE;
        }
        if (code == MERGE_SYMBOLS) {
            self_contained = true;
            continue;
        }
        int r = view_option(&view, code, optarg, argv);
        if (r != EXIT_DONE)
            return r;
    }
    if (!view.path) {
        command_error("no file to write given: memshim merge -o FILE PATH... (- is standard output)");
        return EXIT_USAGE;
    }
    return merge_write(&view, argv + optind, (size_t)(argc - optind), self_contained);
}

const struct command command_merge = {
    .name = "merge",
    .summary = "many reports into one file",
    .help = merge_help,
    .run = merge_run,
};
