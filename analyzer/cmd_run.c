/* SPDX-License-Identifier: MIT
 *
 * memshim run: traces a command and its children, prints what leaked, and exits as the command did. Everything that is done
 * after the command has ended happens in a child process: a crash there cannot change the command's status. */
#include "cmd_session.h"
#include "options.h"
#include "text.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define SUMMARY_TOP 10
#define ERROR_EXITCODE_DEFAULT 23
#define NAME_SIZE 64
#define INTERVAL_DEFAULT "10" /* seconds, for --growth */

enum run_option {
    RUN_FAIL_ON = VIEW_OPTION_END,
    RUN_ERROR_EXITCODE,
    RUN_ROW = 0x1000, /* + row of the option table: set it */
    RUN_NO = 0x2000,  /* + row: --no-NAME */
};

/* The option that `output` of the table is for us: -o names a folder. */
static bool is_own_row(const struct option_row *row)
{
    return strcmp(row->name, "output") == 0;
}

struct run {
    struct session_options session;
    struct view view;
    unsigned int fail_on; /* gate_kinds_parse */
    int error_exitcode;
    bool quiet;
};

/* Long options of the table: every row with '-' and with '_', switches also as --no-NAME. */
struct long_options {
    struct option *items;
    char (*names)[NAME_SIZE];
    size_t count;
};

static void add_long(struct long_options *options, const char *prefix, const char *name, char separator, int has_arg,
                     int code)
{
    char *text = options->names[options->count];
    snprintf(text, NAME_SIZE, "%s%s", prefix, name);
    for (char *p = text + strlen(prefix); *p; p++) {
        if (*p == '_')
            *p = separator;
    }
    options->items[options->count++] = (struct option){text, has_arg, NULL, code};
}

static void add_row(struct long_options *options, const struct option_row *row, int index)
{
    bool is_switch = row->type == OPTION_BOOL, may_be_bare = is_switch || row->type == OPTION_SECONDS;
    int spellings = strchr(row->name, '_') ? 2 : 1;
    for (int i = 0; i < spellings; i++) {
        char separator = i == 0 ? '-' : '_';
        add_long(options, "", row->name, separator, may_be_bare ? optional_argument : required_argument,
                 RUN_ROW + index);
        if (is_switch)
            add_long(options, "no-", row->name, separator, no_argument, RUN_NO + index);
    }
}

static int long_options_init(struct long_options *options)
{
    static const struct option fixed[] = {{"output", required_argument, NULL, 'o'},
                                          {"quiet", no_argument, NULL, 'q'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"fail-on", required_argument, NULL, RUN_FAIL_ON},
                                          {"error-exitcode", required_argument, NULL, RUN_ERROR_EXITCODE},
                                          VIEW_LIMITS};
    size_t rows;
    const struct option_row *table = options_rows(&rows);
    size_t most = ARRAY_SIZE(fixed) + 4 * rows;
    *options = (struct long_options){.items = calloc(most + 1, sizeof(*options->items)),
                                     .names = calloc(most, sizeof(*options->names))};
    if (!options->items || !options->names)
        return -ENOMEM;
    memcpy(options->items, fixed, sizeof(fixed));
    options->count = ARRAY_SIZE(fixed);
    for (size_t i = 0; i < rows; i++) {
        if (!is_own_row(&table[i]))
            add_row(options, &table[i], (int)i);
    }
    return 0;
}

static void long_options_clear(struct long_options *options)
{
    free(options->items);
    free(options->names);
}

/* The name of a row as an option is commonly written. */
static const char *dashed(char buffer[static NAME_SIZE], const char *name)
{
    snprintf(buffer, NAME_SIZE, "%s", name);
    for (char *p = buffer; *p; p++) {
        if (*p == '_')
            *p = '-';
    }
    return buffer;
}

static void help_row(FILE *out, const struct option_row *row)
{
    char name[NAME_SIZE], left[2 * NAME_SIZE];
    if (row->type == OPTION_BOOL)
        snprintf(left, sizeof(left), "--[no-]%s", dashed(name, row->name));
    else if (row->type == OPTION_SECONDS)
        snprintf(left, sizeof(left), "--%s[=%s]", dashed(name, row->name), row->argument);
    else
        snprintf(left, sizeof(left), "--%s=%s", dashed(name, row->name), row->argument);
    fprintf(out, "      %-24s %s (%s)\n", left, row->help, row->value);
}

static void run_help(FILE *out)
{
    fputs("usage: memshim run [options] [--] COMMAND [ARG...]\n"
          "\n"
          "Traces COMMAND and its children, then prints what they leaked on standard error. Exits with COMMAND's own\n"
          "status, 128 + N if signal N killed it, 127 if it was not found, 126 if it could not be started.\n"
          "\n"
          "options:\n"
          "  -o, --output=DIR             folder for the reports (memshim-PID)\n"
          "      --fail-on=KINDS          exit with --error-exitcode if COMMAND succeeds but any of these is found:\n"
          "                               definite, indirect, possible, reachable, errors, growth,\n"
          "                               over-referenced (joined by ',')\n"
          "      --error-exitcode=N       for --fail-on (23)\n"
          "  -q, --quiet                  no summary\n"
          "      --top=N                  leaks and errors in the summary, 0 = all (10)\n"
          "      --show=LIST              what is left out otherwise: reachable, suppressed, startup, interpreter,\n"
          "                               runtime, all\n"
          "      --suppressions=FILE      rules for leaks that are accepted; may be repeated\n"
          "      --unused-suppressions=WHAT\n"
          "                               rules that suppress nothing: tell (default) or ignore\n"
          "      --color=WHEN             auto, always or never (auto)\n"
          "  -h, --help                   this help\n"
          "\n"
          "what the shim does (each is a key of MEMSHIM_OPTIONS, too):\n",
          out);
    size_t rows;
    const struct option_row *table = options_rows(&rows);
    for (size_t i = 0; i < rows; i++) {
        if (!is_own_row(&table[i]))
            help_row(out, &table[i]);
    }
}

/* Takes one option of the table: checked here, so that a typing error does not cost a run. */
static int take_row(struct run *run, const struct option_row *row, const char *value)
{
    struct options scratch;
    options_defaults(&scratch);
    if (option_set(&scratch, row, value, strlen(value))) {
        char expected[256], name[NAME_SIZE];
        option_expected(row, expected, sizeof(expected));
        command_error("option \"--%s\": \"%s\" is not %s", dashed(name, row->name), value, expected);
        return EXIT_USAGE;
    }
    if (launch_option(&run->session.options, row->name, value) == 0)
        return EXIT_DONE;
    command_error("out of memory");
    return EXIT_TROUBLE;
}

static int take_exitcode(struct run *run, const char *text)
{
    uint64_t value;
    if (text_parse_count(text, &value) < 0 || value > 255) {
        command_error("option \"--error-exitcode\": \"%s\" is not a number from 0 to 255", text);
        return EXIT_USAGE;
    }
    run->error_exitcode = (int)value;
    return EXIT_DONE;
}

/* Of an option that was named without a value. */
static const char *bare_value(const struct option_row *row)
{
    return row->type == OPTION_SECONDS ? INTERVAL_DEFAULT : "1";
}

static int take_option(struct run *run, int code, char *const *argv)
{
    size_t rows;
    const struct option_row *table = options_rows(&rows);
    if (code >= RUN_NO)
        return take_row(run, &table[code - RUN_NO], "0");
    if (code >= RUN_ROW)
        return take_row(run, &table[code - RUN_ROW], optarg ? optarg : bare_value(&table[code - RUN_ROW]));
    switch (code) {
    case 'o':
        run->session.folder = optarg;
        return EXIT_DONE;
    case 'q':
        run->quiet = true;
        return EXIT_DONE;
    case RUN_ERROR_EXITCODE:
        return take_exitcode(run, optarg);
    case RUN_FAIL_ON:
        if (gate_kinds_parse(optarg, &run->fail_on) == 0)
            return EXIT_DONE;
        command_error("option \"--fail-on\": \"%s\" is not a list of " GATE_KINDS_TEXT, optarg);
        return EXIT_USAGE;
    default:
        return view_option(&run->view, code, optarg, argv);
    }
}

/* Returns EXIT_DONE with optind at COMMAND, -1 after --help, or an exit code after an error line. */
static int parse(struct run *run, int argc, char **argv)
{
    struct long_options options;
    int result = EXIT_DONE;
    if (long_options_init(&options) < 0) {
        command_error("out of memory");
        result = EXIT_TROUBLE;
    }
    for (int code; result == EXIT_DONE && (code = getopt_long(argc, argv, "+:ho:q", options.items, NULL)) != -1;) {
        if (code == 'h') {
            run_help(stdout);
            result = -1;
        } else {
            result = take_option(run, code, argv);
        }
    }
    long_options_clear(&options);
    if (result == EXIT_DONE && optind >= argc) {
        command_error("no command to run (see memshim run --help)");
        result = EXIT_USAGE;
    }
    return result;
}

static void print_report(const struct run *run, const struct reading *reading)
{
    /* stderr has no buffer of its own; a report in single characters would be slow. */
    int copy = dup(STDERR_FILENO);
    FILE *out = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (!out) {
        if (copy >= 0)
            close(copy);
        return;
    }
    struct output_job job;
    const struct output *text = output_find("text", NULL);
    const struct leaks *leaks = reading_leaks(reading, text);
    output_job_init(&job, text, &run->view.options, &reading->model, leaks, out);
    output_report(&job, text, leaks, reading->symbols);
    fclose(out);
}

/* What a second look costs to type. */
static void print_next(const struct session *session, size_t reports)
{
    command_error("%zu report%s in %s", reports, text_plural(reports), session->shown);
    command_error("more: memshim report %s", session->shown);
}

/* In the child process. Returns true if something is there that --fail-on asks for. */
static bool summarise(struct run *run, const struct session *session)
{
    struct reading reading = {0};
    struct gate_counts counts = {0};
    size_t reports = 0;
    session_collect(session, &reading, &reports);
    if (reading.model.process_count == 0) {
        if (reports == 0)
            command_error("no report appeared in %s: nothing was traced", session->shown);
    } else if ((!run->quiet || run->fail_on) && reading_finish(&reading, &run->view) == EXIT_DONE) {
        gate_count(&reading.model, &reading.leaks, &counts);
        if (gate_count_growth(&reading.model, reading.symbols, &counts) < 0)
            command_error("out of memory");
        if (!run->quiet) {
            print_report(run, &reading);
            print_next(session, reports);
            view_tell_rules(&run->view);
        }
    }
    reading_close(&reading);
    return gate_findings(&counts, run->fail_on) != 0;
}

/* Returns whether --fail-on found something. */
static bool summarise_apart(struct run *run, const struct session *session)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_IGN);
        launch_unblock();
        _exit(summarise(run, session) ? EXIT_FOUND : EXIT_DONE);
    }
    int status = 0;
    pid_t ended = -1;
    while (pid > 0 && (ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) <= EXIT_FOUND)
        return WEXITSTATUS(status) == EXIT_FOUND;
    command_error("the summary could not be made; the reports are in %s", session->shown);
    return false;
}

static int run_session(struct run *run, struct session *session, char **argv)
{
    int code = session_run(session, &run->session, argv);
    if (code != EXIT_DONE)
        return code;
    code = launch_exit_code(&session->result);
    /* From here on a reader who has gone must not kill us. */
    signal(SIGPIPE, SIG_IGN);
    if (session->result.error || !session->folder)
        return code;
    bool found = summarise_apart(run, session);
    return found && code == 0 ? run->error_exitcode : code;
}

static int run_run(int argc, char **argv)
{
    struct run run = {.error_exitcode = ERROR_EXITCODE_DEFAULT};
    view_init(&run.view);
    run.view.options.top = SUMMARY_TOP;
    struct session session = {0};
    int code = parse(&run, argc, argv);
    if (code == EXIT_DONE) {
        run.view.options.color = term_color(run.view.color, stderr);
        code = run_session(&run, &session, argv + optind);
    } else if (code < 0) {
        code = EXIT_DONE;
    }
    session_done(&session, &run.session);
    view_done(&run.view);
    return code;
}

const struct command command_run = {
    .name = "run",
    .summary = "trace COMMAND and its children, then print what leaked",
    .help = run_help,
    .run = run_run,
};
