/* SPDX-License-Identifier: MIT
 *
 * What the commands share. See command.h. */
#include "command.h"

#include "joined.h"
#include "load.h"
#include "progress.h"
#include "runs.h"
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

void command_error(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    flockfile(stderr);
    progress_end();
    fputs("memshim: ", stderr);
    text_escape(stderr, length >= 0 ? text : "out of memory");
    fputc('\n', stderr);
    funlockfile(stderr);
    if (length >= 0)
        free(text);
}

int command_failed(const char *what, int error)
{
    command_error("%s: %s", what, strerror(-error));
    switch (-error) {
    case ENOENT:
    case EACCES:
    case EISDIR:
    case ENOTDIR:
    case EINVAL:
    case EPERM:
    case EROFS:
        return EXIT_USAGE;
    default:
        return EXIT_TROUBLE;
    }
}

void view_init(struct view *view)
{
    *view =
        (struct view){.options = {.frames = STACK_ALL, .top = OUTPUT_TOP_DEFAULT}, .pager = true, .debuginfod = true};
}

static int bad_value(const char *option, const char *value, const char *want)
{
    command_error("option \"%s\": \"%s\" is not %s", option, value, want);
    return EXIT_USAGE;
}

static int parse_show(struct output_options *options, const char *text)
{
    static const struct {
        const char *name;
        unsigned int bit;
    } rows[] = {{"startup", SHOW_STARTUP},
                {"runtime", SHOW_RUNTIME},
                {"interpreter", SHOW_INTERPRETER},
                {"reachable", SHOW_REACHABLE},
                {"suppressed", SHOW_SUPPRESSED},
                {"all", SHOW_STARTUP | SHOW_RUNTIME | SHOW_INTERPRETER | SHOW_REACHABLE | SHOW_SUPPRESSED}};
    for (;;) {
        size_t length = strcspn(text, ","), i = 0;
        while (i < ARRAY_SIZE(rows) && (strlen(rows[i].name) != length || memcmp(rows[i].name, text, length) != 0))
            i++;
        if (i == ARRAY_SIZE(rows))
            return -EINVAL;
        options->show |= rows[i].bit;
        if (text[length] == '\0')
            return 0;
        text += length + 1;
    }
}

static int parse_frames(struct output_options *options, const char *text)
{
    static const char *const names[] = {[STACK_ALL] = "all", [STACK_PYTHON] = "python", [STACK_NATIVE] = "native"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            options->frames = (enum stack_languages)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_top(struct output_options *options, const char *text)
{
    uint64_t value;
    int r = text_parse_count(text, &value);
    if (r < 0)
        return r;
    options->top = value >= OUTPUT_TOP_DEFAULT ? 0 : (size_t)value;
    return 0;
}

static int parse_unused(struct view *view, const char *text)
{
    static const char *const names[] = {[UNUSED_TELL] = "tell", [UNUSED_IGNORE] = "ignore", [UNUSED_ERROR] = "error"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            view->unused_rules = (enum unused_rules)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int take_filter(struct filters *filters, const char *text)
{
    const char *wrong = filter_parse(filters, text);
    if (!wrong)
        return EXIT_DONE;
    command_error("option \"--filter\": \"%s\": %s", text, wrong);
    return EXIT_USAGE;
}

/* An option that getopt could not make sense of. */
static int refuse_option(int code, char *const *argv)
{
    const char *last = argv[optind - 1];
    char letter[] = {'-', (char)optopt, '\0'};
    /* For a short option within a group, argv has the whole group. */
    const char *name = optopt > 0 && optopt < 0x100 && strncmp(last, "--", 2) != 0 ? letter : last;
    if (code == ':')
        command_error("option \"%s\" needs a value (see memshim %s --help)", name, argv[0]);
    else
        command_error("unknown option \"%s\" (see memshim %s --help)", name, argv[0]);
    return EXIT_USAGE;
}

int view_option(struct view *view, int code, const char *argument, char *const *argv)
{
    switch (code) {
    case VIEW_TOP:
        return parse_top(&view->options, argument) < 0 ? bad_value("--top", argument, "a number") : EXIT_DONE;
    case VIEW_SHOW:
        return parse_show(&view->options, argument) < 0
                   ? bad_value("--show", argument,
                               "a list of reachable, suppressed, startup, interpreter, runtime or all")
                   : EXIT_DONE;
    case VIEW_FRAMES:
        return parse_frames(&view->options, argument) < 0
                   ? bad_value("--frames", argument, "one of python, native, all")
                   : EXIT_DONE;
    case VIEW_MIN_BYTES:
        return text_parse_size(argument, &view->options.min_bytes) < 0
                   ? bad_value("--min-bytes", argument, "a number of bytes")
                   : EXIT_DONE;
    case VIEW_COLOR:
        return color_parse(argument, &view->color) < 0 ? bad_value("--color", argument, "one of auto, always, never")
                                                       : EXIT_DONE;
    case VIEW_FORMAT:
        view->format = argument;
        return EXIT_DONE;
    case 'o':
        view->path = argument;
        return EXIT_DONE;
    case VIEW_FILTER:
        view->options.filtered = true;
        return take_filter(&view->filters, argument);
    case VIEW_SOURCE_ROOT:
        view->options.source_root = argument;
        return EXIT_DONE;
    case VIEW_NO_PAGER:
        view->pager = false;
        return EXIT_DONE;
    case VIEW_NO_DEBUGINFOD:
        view->debuginfod = false;
        return EXIT_DONE;
    case VIEW_SUPPRESSIONS:
        return view_read_rules(view, argument, false);
    case VIEW_UNUSED:
        return parse_unused(view, argument) < 0 ? bad_value("--unused-suppressions", argument, "tell, ignore or error")
                                                : EXIT_DONE;
    default:
        return refuse_option(code, argv);
    }
}

bool format_is_there(const struct output *output)
{
    if (output->absent)
        command_error("format \"%s\" is %s", output->name, output->help);
    return !output->absent;
}

int view_choose(struct view *view)
{
    view->output = output_find(view->format, view->path);
    if (view->output)
        return format_is_there(view->output) ? EXIT_DONE : EXIT_USAGE;
    char names[256] = "";
    size_t count, used = 0;
    const struct output *const *formats = output_formats(&count);
    for (size_t i = 0; i < count && used < sizeof(names); i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "", formats[i]->name);
    command_error("unknown format \"%s\": there are %s", view->format, names);
    return EXIT_USAGE;
}

void view_done(struct view *view)
{
    suppressions_clear(&view->suppressions);
}

void view_help(FILE *out, bool document)
{
    if (document) {
        fputs("  -o, --output FILE      write to FILE, which appears when it is complete\n"
              "      --format FORMAT    one of:\n",
              out);
        size_t count;
        const struct output *const *formats = output_formats(&count);
        for (size_t i = 0; i < count; i++)
            fprintf(out, "                           %-10s %s\n", formats[i]->name, formats[i]->help);
        fputs("      --frames KIND      python, native or all (default) frames of the stacks\n"
              "      --min-bytes N      leave out leaks of fewer bytes (k, M, G allowed)\n"
              "      --filter WHAT=PATTERN\n"
              "                         only leaks and errors with such a module, function, file, type, domain or\n"
              "                         label\n"
              "                         count; a part of the name unless ^ or $ are there, * is anything; may be\n"
              "                         repeated: all must hold\n"
              "      --source-root DIR  folder that files are named below (the nearest with a .git)\n"
              "      --no-pager         do not show the output through a pager\n"
              "      --no-debuginfod    do not ask DEBUGINFOD_URLS for symbols\n",
              out);
    }
    fputs("      --top N            leaks and errors shown, 0 = all\n"
          "      --suppressions FILE\n"
          "                         rules for leaks that are accepted (LeakSanitizer's and Valgrind's are read);\n"
          "                         may be repeated\n"
          "      --unused-suppressions WHAT\n"
          "                         rules that suppress nothing: tell (default), ignore, or error (exit with 1)\n"
          "      --show LIST        what is left out otherwise: reachable (blocks that a pointer still leads\n"
          "                         to), suppressed, startup (blocks from before the program's own code\n"
          "                         ran), interpreter (blocks that it keeps for itself), runtime (frames of\n"
          "                         the interpreter and the C library), all\n"
          "      --color WHEN       auto (default), always or never\n"
          "  -h, --help             this help\n",
          out);
}

int document_open(struct document *document, struct view *view)
{
    *document = (struct document){0};
    int r = output_file_open(&document->file, view->path);
    if (r < 0)
        return command_failed(view->path, r);
    document->out = document->file.out;
    bool to_stdout = document->out == stdout;
    view->options.color = to_stdout ? term_color(view->color, stdout) : view->color == COLOR_ALWAYS;
    document->pager.out = stdout;
    if (to_stdout) {
        fflush(stderr);
        pager_start(&document->pager, view->pager);
        document->out = document->pager.out;
    }
    return EXIT_DONE;
}

int document_close(struct document *document, const struct view *view, int r)
{
    bool pipe_closed = r == -EPIPE;
    int paged = pager_done(&document->pager);
    int closed = output_file_close(&document->file, r == 0 || pipe_closed);
    if (pipe_closed)
        return EXIT_DONE;
    if (r == -ECANCELED)
        return EXIT_TROUBLE;
    if (r == 0)
        r = paged < 0 ? paged : closed;
    if (r == 0)
        return EXIT_DONE;
    command_failed(view->path ? view->path : "standard output", r);
    return EXIT_TROUBLE;
}

int reading_add(struct reading *reading, const char *path)
{
    struct load_error error = {0};
    int r = load_path(&reading->model, path, &error);
    if (r == 0)
        return EXIT_DONE;
    if (r == -ENOMEM) {
        command_error("%s: out of memory", path);
        return EXIT_TROUBLE;
    }
    const char *source = error.source[0] ? error.source : path;
    const char *text = error.text[0] ? error.text : strerror(-r);
    if (error.line > 0)
        command_error("%s:%lu: %s", source, error.line, text);
    else
        command_error("%s: %s", source, text);
    return EXIT_USAGE;
}

int reading_finish(struct reading *reading, struct view *view)
{
    int r = view_finish_rules(view);
    if (r != EXIT_DONE)
        return r;
    load_done(&reading->model);
    reading->symbols = symbols_new(view->debuginfod);
    if (reading->runs > 1)
        runs_keep_errors(&reading->model, reading->runs);
    if (reading->symbols && leaks_build(&reading->model, reading->symbols, &reading->leaks) == 0 &&
        (reading->runs <= 1 || runs_keep_common(&reading->leaks, reading->runs) == 0)) {
        if (reading_suppress(reading, &view->suppressions) == 0 &&
            filters_apply(&view->filters, &reading->model, &reading->leaks, reading->symbols) == 0 &&
            joined_build(&reading->leaks, &reading->joined) == 0)
            return EXIT_DONE;
    }
    command_error("out of memory");
    return EXIT_TROUBLE;
}

int reading_open(struct reading *reading, char *const *paths, size_t count, struct view *view)
{
    *reading = (struct reading){0};
    if (count == 0) {
        command_error("no report given: name reports, ledgers, or folders of them");
        return EXIT_USAGE;
    }
    int code = EXIT_DONE;
    progress_begin();
    for (size_t i = 0; i < count && code == EXIT_DONE; i++)
        code = reading_add(reading, paths[i]);
    if (code == EXIT_DONE)
        code = reading_finish(reading, view);
    progress_end();
    return code;
}

const struct leaks *reading_leaks(const struct reading *reading, const struct output *output)
{
    return output->joined ? &reading->joined : &reading->leaks;
}

void reading_close(struct reading *reading)
{
    joined_clear(&reading->joined);
    leaks_clear(&reading->leaks);
    symbols_free(reading->symbols);
    model_clear(&reading->model);
    *reading = (struct reading){0};
}
