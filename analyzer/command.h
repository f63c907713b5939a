/* SPDX-License-Identifier: MIT
 *
 * What the commands share: the shape of a command, exit codes, error lines, the options that choose what is shown, and the
 * way from paths to leaks. Only main.c, command.c and cmd_*.c print errors and choose exit codes. */
#ifndef ANALYZER_COMMAND_H
#define ANALYZER_COMMAND_H

#include "compiler.h"
#include "filter.h"
#include "leaks.h"
#include "model.h"
#include "output.h"
#include "suppress.h"
#include "symbols.h"
#include "term.h"

#include <getopt.h>
#include <stdbool.h>

enum command_exit {
    EXIT_DONE = 0,
    EXIT_FOUND = 1,   /* the gate failed, or a difference was found */
    EXIT_USAGE = 2,   /* wrong usage or unreadable input: there is no answer */
    EXIT_TROUBLE = 3, /* out of resources, or internal */
};

struct command {
    const char *name;
    const char *summary; /* one line of `memshim --help` */
    void (*help)(FILE *out);
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
};

extern const struct command command_run, command_report, command_gate, command_diff, command_merge, command_export,
    command_snapshot, command_info;

/* Writes "memshim: ..." and a newline to stderr; whatever could steer a terminal is escaped. */
void command_error(const char *format, ...) _printf_format_(1, 2);

/* The error line of a failed file: -errno `error`. Returns the exit code that goes with it. */
int command_failed(const char *what, int error);

/* What becomes of rules that suppress nothing. */
enum unused_rules { UNUSED_TELL, UNUSED_IGNORE, UNUSED_ERROR };

/* Options of every command that shows something. */
struct view {
    struct output_options options;
    enum color_mode color;
    const char *format; /* --format or NULL */
    const char *path;   /* -o or NULL */
    const struct output *output;
    bool pager, debuginfod;
    struct filters filters;
    struct suppressions suppressions; /* of all files named, and after them those that are always in force */
    bool rules_finished;
    enum unused_rules unused_rules;
    bool allow_shrink; /* no word about leaks of a baseline that are gone or smaller */
};

enum view_option {
    VIEW_TOP = 0x100,
    VIEW_SHOW,
    VIEW_FRAMES,
    VIEW_MIN_BYTES,
    VIEW_FORMAT,
    VIEW_COLOR,
    VIEW_NO_PAGER,
    VIEW_NO_DEBUGINFOD,
    VIEW_SUPPRESSIONS,
    VIEW_UNUSED,
    VIEW_FILTER,
    VIEW_SOURCE_ROOT,
    VIEW_OPTION_END,
};

/* Rows for getopt_long. */
#define VIEW_LIMITS \
    {"top", required_argument, NULL, VIEW_TOP}, {"show", required_argument, NULL, VIEW_SHOW}, \
        {"suppressions", required_argument, NULL, VIEW_SUPPRESSIONS}, \
        {"unused-suppressions", required_argument, NULL, VIEW_UNUSED}, \
    { \
        "color", required_argument, NULL, VIEW_COLOR \
    }
#define VIEW_DOCUMENT \
    {"format", required_argument, NULL, VIEW_FORMAT}, {"output", required_argument, NULL, 'o'}, \
        {"frames", required_argument, NULL, VIEW_FRAMES}, {"min-bytes", required_argument, NULL, VIEW_MIN_BYTES}, \
        {"filter", required_argument, NULL, VIEW_FILTER}, {"source-root", required_argument, NULL, VIEW_SOURCE_ROOT}, \
        {"no-pager", no_argument, NULL, VIEW_NO_PAGER}, \
    { \
        "no-debuginfod", no_argument, NULL, VIEW_NO_DEBUGINFOD \
    }

void view_init(struct view *view);

/* Takes one option that getopt_long returned. Returns EXIT_DONE, or EXIT_USAGE after an error line (also for '?' and ':',
 * and codes that it does not know). `argv` is what getopt walks over. */
int view_option(struct view *view, int code, const char *argument, char *const *argv);

/* Whether this build has the format; if not, an error line says why. */
bool format_is_there(const struct output *output);

/* Chooses the format. Returns EXIT_DONE or, after an error line, EXIT_USAGE. */
int view_choose(struct view *view);

/* Adds the rules of a suppression file, which is a baseline or not. Returns EXIT_DONE or, after an error line, another exit code.
 */
int view_read_rules(struct view *view, const char *path, bool baseline);

/* Error lines about rules that have expired, are over their limits, or suppress nothing, and about leaks of a baseline that
 * are gone or smaller. Returns EXIT_DONE, or EXIT_FOUND if these two are to be an error and there are some. */
int view_tell_rules(const struct view *view);

/* Releases what the options took. */
void view_done(struct view *view);

/* Help lines for the options above. */
void view_help(FILE *out, bool document);

/* Where a document goes: file, pager or stdout. */
struct document {
    struct output_file file;
    struct pager pager;
    FILE *out;
};

/* Opens what `view` asks for and decides on colour. Returns EXIT_DONE or, after an error line, another exit code. */
int document_open(struct document *document, struct view *view);

/* Finishes the document; `r` is what writing it returned (0 or -errno; -ECANCELED: what was wrong has been told, and nothing is
 * left of the document). Returns EXIT_DONE or, after an error line, another
 * exit code. A reader that closed the pipe is no failure. */
int document_close(struct document *document, const struct view *view, int r);

/* Reports read from paths, with their leaks. */
struct reading {
    struct model model;
    struct leaks leaks;  /* of each process */
    struct leaks joined; /* across processes, for people */
    struct symbols *symbols;
    unsigned int runs; /* so many runs of one command are in it, each process knows its own; 0 and 1: no such thing */
};

/* Adds what is at `path` to the model. Returns EXIT_DONE or, after an error line, another exit code. */
int reading_add(struct reading *reading, const char *path);

/* After the last view_read_rules: adds the rules that are always in force. For reading_finish. */
int view_finish_rules(struct view *view);

/* Sets what the rules suppress in reading->leaks, and takes out the errors that they do. Returns 0 or -ENOMEM. */
int reading_suppress(struct reading *reading, struct suppressions *suppressions);

/* After the last reading_add: puts the model in order and builds the leaks. Returns as reading_add. The view's rules must
 * outlive the leaks. */
int reading_finish(struct reading *reading, struct view *view);

/* reading_add for each path, then reading_finish. No path at all is wrong usage. */
int reading_open(struct reading *reading, char *const *paths, size_t count, struct view *view);

/* The leaks that a report in this format shows: joined across processes if it wants that, else those of each process. */
const struct leaks *reading_leaks(const struct reading *reading, const struct output *output);

/* Harmless on a zeroed or half-filled one. */
void reading_close(struct reading *reading);

#endif
