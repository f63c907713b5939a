/* SPDX-License-Identifier: MIT
 *
 * memshim gate: passes or fails a build by what leaked. Reads reports, or runs a command first. What cannot be judged (no
 * report, half a report) is an error and never a pass. */
#include "cmd_gate.h"

#include "emit.h"
#include "text.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define GATE_RUNS_MAX 100
#define BASELINE_NAME "memshim.supp"

enum gate_option {
    GATE_MAX = VIEW_OPTION_END,
    GATE_REPORTS = GATE_MAX + GATE_RULE_COUNT,
    GATE_BASELINE,
    GATE_WRITE_BASELINE,
    GATE_ALLOW_SHRINK,
    GATE_FAIL_ON,
    GATE_RUNS,
    GATE_WRITE,
    GATE_NO_CI,
};

static void gate_help(FILE *out)
{
    fputs(
        "usage: memshim gate [options] PATH...\n"
        "       memshim gate [options] -- COMMAND [ARG...]\n"
        "\n"
        "Judges the reports at PATH, or those of a run of COMMAND. Exits with 0 if they are within the limits, 1 if\n"
        "not or if COMMAND itself fails, 2 or 3 if that could not be told. Without limits no definite and no possible\n"
        "leak and no memory error passes.\n"
        "\n"
        "options:\n"
        "      --fail-on LIST     what must not be there at all: definite, indirect, possible, reachable, errors,\n"
        "                         growth, over-referenced (definite,possible,errors)\n"
        "      --max-bytes N      bytes still allocated, all kinds together (k, M, G allowed)\n"
        "      --max-bytes KIND=N the same for one kind: definite, indirect, possible, reachable\n"
        "      --max-bytes stack=N\n"
        "                         the same for each single leak\n"
        "      --max-blocks [KIND=]N, --max-blocks stack=N\n"
        "                         blocks\n"
        "      --max-errors N     memory errors (0)\n"
        "      --baseline FILE    leaks that are accepted as long as they do not grow\n"
        "      --allow-shrink     no word when leaks of the baseline are gone or smaller\n"
        "                         (with --unused-suppressions error: no failure)\n"
        "      --write-baseline FILE\n"
        "                         accept all that is lost now: write FILE, judge nothing (with --show reachable, or\n"
        "                         a limit that counts them: also what is still reachable or allocated)\n"
        "      --runs N           run COMMAND so often: a leak must be in all runs\n"
        "      --reports DIR      folder for the reports of COMMAND (memshim-PID)\n"
        "      --write FORMAT=FILE\n"
        "                         another document beside the verdict (gitlab, junit, sarif, markdown, ..);\n"
        "                         may be repeated\n"
        "      --no-ci            under GitHub Actions (GITHUB_ACTIONS=true): no annotations and no job summary\n",
        out);
    view_help(out, true);
}

static int take_limit(struct gate_command *gate, enum gate_rule rule, const char *text)
{
    static const char *const names[GATE_RULE_COUNT] = {"--max-bytes", "--max-blocks", "--max-errors"};
    const char *wrong = gate_limit_parse(&gate->limits, rule, text);
    if (!wrong)
        return EXIT_DONE;
    command_error("option \"%s\": \"%s\": %s", names[rule], text, wrong);
    return EXIT_USAGE;
}

static int take_kinds(struct gate_command *gate, const char *text)
{
    if (gate_kinds_parse(text, &gate->limits.fail_on) == 0)
        return EXIT_DONE;
    command_error("option \"--fail-on\": \"%s\" is not a list of " GATE_KINDS_TEXT, text);
    return EXIT_USAGE;
}

static int take_runs(struct gate_command *gate, const char *text)
{
    uint64_t runs;
    if (text_parse_count(text, &runs) < 0 || runs < 1 || runs > GATE_RUNS_MAX) {
        command_error("option \"--runs\": \"%s\" is not a number from 1 to %d", text, GATE_RUNS_MAX);
        return EXIT_USAGE;
    }
    gate->runs = (unsigned int)runs;
    return EXIT_DONE;
}

/* FORMAT=FILE, for which `text` is changed. */
static int take_also(struct gate_command *gate, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1]) {
        command_error("option \"--write\": \"%s\" is not FORMAT=FILE", text);
        return EXIT_USAGE;
    }
    if (gate->also_count == GATE_ALSO_MAX) {
        command_error("option \"--write\": more than %d documents", GATE_ALSO_MAX);
        return EXIT_USAGE;
    }
    *equals = '\0';
    struct view view = {.format = text};
    int code = view_choose(&view);
    if (code == EXIT_DONE)
        gate->also[gate->also_count++] = (struct gate_also){.output = view.output, .path = equals + 1};
    return code;
}

static int take_baseline(struct gate_command *gate, const char *path)
{
    if (!gate->baseline)
        gate->baseline = path;
    return view_read_rules(&gate->view, path, true);
}

static int take_option(struct gate_command *gate, int code, char **argv)
{
    if (code >= GATE_MAX && code < GATE_REPORTS)
        return take_limit(gate, (enum gate_rule)(code - GATE_MAX), optarg);
    switch (code) {
    case GATE_REPORTS:
        gate->session.folder = optarg;
        return EXIT_DONE;
    case GATE_BASELINE:
        return take_baseline(gate, optarg);
    case GATE_WRITE_BASELINE:
        gate->write_baseline = optarg;
        return EXIT_DONE;
    case GATE_ALLOW_SHRINK:
        gate->view.allow_shrink = true;
        return EXIT_DONE;
    case GATE_FAIL_ON:
        return take_kinds(gate, optarg);
    case GATE_RUNS:
        return take_runs(gate, optarg);
    case GATE_WRITE:
        return take_also(gate, optarg);
    case GATE_NO_CI:
        gate->no_ci = true;
        return EXIT_DONE;
    default:
        return view_option(&gate->view, code, optarg, argv);
    }
}

/* Returns EXIT_DONE, -1 after --help, or an exit code after an error line. */
static int parse(struct gate_command *gate, int argc, char **argv)
{
    static const struct option options[] = {VIEW_LIMITS,
                                            VIEW_DOCUMENT,
                                            {"max-bytes", required_argument, NULL, GATE_MAX + GATE_BYTES},
                                            {"max-blocks", required_argument, NULL, GATE_MAX + GATE_BLOCKS},
                                            {"max-errors", required_argument, NULL, GATE_MAX + GATE_ERRORS},
                                            {"fail-on", required_argument, NULL, GATE_FAIL_ON},
                                            {"baseline", required_argument, NULL, GATE_BASELINE},
                                            {"allow-shrink", no_argument, NULL, GATE_ALLOW_SHRINK},
                                            {"write-baseline", required_argument, NULL, GATE_WRITE_BASELINE},
                                            {"runs", required_argument, NULL, GATE_RUNS},
                                            {"reports", required_argument, NULL, GATE_REPORTS},
                                            {"write", required_argument, NULL, GATE_WRITE},
                                            {"no-ci", no_argument, NULL, GATE_NO_CI},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    /* "+": what follows a path is not ours to reorder across "--". */
    for (int code; (code = getopt_long(argc, argv, "+:ho:", options, NULL)) != -1;) {
        if (code == 'h') {
            gate_help(stdout);
            return -1;
        }
        int r = take_option(gate, code, argv);
        if (r != EXIT_DONE)
            return r;
    }
    return view_choose(&gate->view);
}

/* Half a report can fail a gate, but not pass it. */
static int check_complete(const struct model *model)
{
    int code = EXIT_DONE;
    for (size_t i = 0; i < model->process_count; i++) {
        const struct process *process = model->processes[i];
        if (process->truncated) {
            command_error("%s: the report is truncated: the gate cannot pass on a part of it", process->path);
            code = EXIT_USAGE;
        } else if (process->totals.dropped > 0) {
            command_error("%s: note: %llu events could not be recorded", process->path,
                          (unsigned long long)process->totals.dropped);
        }
    }
    return code;
}

/* Appends an argument as a shell wants it. */
static void put_argument(FILE *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+,:@%=";
    fputc(' ', out);
    if (*text && text[strspn(text, plain)] == '\0') {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (; *text; text++)
        fputs(*text == '\'' ? "'\\''" : (char[]){*text, '\0'}, out);
    fputc('\'', out);
}

/* The command that accepts what is lost: *ret malloc'ed, or NULL if memory errors are all that is wrong. Returns 0 or
 * -ENOMEM. */
static int describe_acceptance(const struct gate_command *gate, const struct gate_verdict *verdict, char *const *paths,
                               size_t count, char **ret)
{
    bool leaks = false, reachable = false;
    struct memo memo;
    *ret = NULL;
    for (size_t i = 0; i < verdict->reason_count; i++) {
        bool leak = verdict->reasons[i].rule < GATE_ERRORS;
        leaks = leaks || leak;
        reachable = reachable || (leak && verdict->reasons[i].scope >= LEAK_REACHABLE);
    }
    if (!leaks)
        return 0;
    FILE *out = memo_open(&memo);
    if (!out)
        return -ENOMEM;
    fputs("memshim gate --write-baseline", out);
    put_argument(out, gate->baseline ? gate->baseline : BASELINE_NAME);
    if (reachable)
        fputs(" --show reachable", out);
    for (size_t i = 0; i < count; i++)
        put_argument(out, paths[i]);
    *ret = memo_close(&memo);
    return *ret ? 0 : -ENOMEM;
}

/* A gate must not pass for what nobody looked at. */
static void tell_blind_spots(const struct gate_command *gate, const struct gate_counts *counts)
{
    if (gate->limits.fail_on & GATE_GROWTH_BIT && !counts->marked)
        command_error(
            "note: nothing was judged by its growth: run with --growth=SECONDS, for %d intervals at least (%d, or a "
            "minute, if a Python process does not come to its end)",
            TREND_LEAST - 1, TREND_LEAST_BLIND - 1);
}

/* `command_end`: how the command failed, or NULL. `paths`: of the reports. */
static int judge(struct gate_command *gate, const struct reading *reading, const char *command_end, char *const *paths,
                 size_t count)
{
    struct gate_counts counts;
    struct gate_verdict verdict;
    if (gate->write_baseline && command_end) {
        command_error("no baseline of a run that failed: %s", command_end);
        return EXIT_FOUND;
    }
    if (gate->write_baseline) {
        int complete = check_complete(&reading->model);
        return complete == EXIT_DONE ? gate_write_baseline(gate, reading) : complete;
    }
    gate_count(&reading->model, &reading->joined, &counts);
    if (gate_count_growth(&reading->model, reading->symbols, &counts) < 0) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    gate_decide(&gate->limits, &counts, &verdict);
    verdict.command_end = command_end;
    if (command_end)
        verdict.passed = false;
    int complete = check_complete(&reading->model);
    if (verdict.passed && complete != EXIT_DONE)
        return complete;
    char *text;
    if (describe_acceptance(gate, &verdict, paths, count, &text) < 0) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    _cleanup_free_ char *accept = text;
    verdict.accept = accept;
    tell_blind_spots(gate, &counts);
    int code = gate_write(gate, &verdict, reading);
    if (view_tell_rules(&gate->view) != EXIT_DONE)
        verdict.passed = false;
    return code != EXIT_DONE ? code : verdict.passed ? EXIT_DONE : EXIT_FOUND;
}

static int judge_paths(struct gate_command *gate, char **paths, size_t count)
{
    if (gate->runs > 1) {
        command_error("--runs is for a COMMAND: memshim gate --runs %u -- COMMAND", gate->runs);
        return EXIT_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    struct reading reading = {0};
    int code = reading_open(&reading, paths, count, &gate->view);
    if (code == EXIT_DONE)
        code = judge(gate, &reading, NULL, paths, count);
    reading_close(&reading);
    return code;
}

/* Says how the command failed: *ret malloc'ed, or NULL if it succeeded. Returns 0 or -ENOMEM. */
static int describe_end(const struct launch_result *result, const char *name, char **ret)
{
    int r = 0;
    *ret = NULL;
    if (WIFSIGNALED(result->status))
        r = asprintf(ret, "\"%s\" was killed by signal %d", name, WTERMSIG(result->status));
    else if (WEXITSTATUS(result->status) != 0)
        r = asprintf(ret, "\"%s\" exited with status %d", name, WEXITSTATUS(result->status));
    return r < 0 ? -ENOMEM : 0;
}

/* What the runs of a command left. */
struct runs {
    struct reading reading;
    char *end;    /* how the one that failed did; it was the last then. Or NULL */
    char *folder; /* of the last */
};

static void runs_clear(struct runs *runs)
{
    reading_close(&runs->reading);
    free(runs->end);
    free(runs->folder);
}

/* Takes the reports of a run that has ended. */
static int take_run(struct runs *runs, const struct session *session, const char *name)
{
    size_t before = runs->reading.model.process_count, reports = 0;
    if (describe_end(&session->result, name, &runs->end) < 0) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    if (!session->folder) {
        command_error("\"%s\" was not traced: there is nothing to judge", name);
        return EXIT_USAGE;
    }
    free(runs->folder);
    runs->folder = strdup(session->shown);
    if (!runs->folder) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    int code = session_collect(session, &runs->reading, &reports);
    if (code == EXIT_DONE && reports == 0) {
        command_error("no report appeared in %s: there is nothing to judge", session->shown);
        code = EXIT_USAGE;
    }
    for (size_t i = before; i < runs->reading.model.process_count; i++)
        runs->reading.model.processes[i]->run = runs->reading.runs;
    runs->reading.runs++;
    return code;
}

static int run_once(struct gate_command *gate, struct runs *runs, char **argv)
{
    struct session session;
    char *folder = NULL;
    struct session_options options = gate->session;
    if (options.folder && gate->runs > 1) {
        if (asprintf(&folder, "%s/%u", options.folder, runs->reading.runs + 1) < 0) {
            command_error("out of memory");
            return EXIT_TROUBLE;
        }
        options.folder = folder;
    }
    int code = session_run(&session, &options, argv);
    launch_unblock();
    if (code == EXIT_DONE && session.result.error)
        code = session.result.error == ENOMEM ? EXIT_TROUBLE : EXIT_USAGE;
    else if (code == EXIT_DONE)
        code = take_run(runs, &session, argv[0]);
    session_done(&session, &options);
    free(folder);
    return code;
}

/* A command that failed fails the gate, also where there is nothing to judge. */
static int judge_command(struct gate_command *gate, char **argv)
{
    struct runs runs = {0};
    int code;
    do
        code = run_once(gate, &runs, argv);
    while (code == EXIT_DONE && !runs.end && runs.reading.runs < gate->runs);
    signal(SIGPIPE, SIG_IGN);
    if (code == EXIT_DONE)
        code = reading_finish(&runs.reading, &gate->view);
    if (code == EXIT_DONE)
        code = judge(gate, &runs.reading, runs.end, &runs.folder, runs.folder ? 1 : 0);
    if (runs.end && code != EXIT_FOUND) {
        command_error("gate failed: %s", runs.end);
        code = EXIT_FOUND;
    }
    runs_clear(&runs);
    return code;
}

static int run_parsed(struct gate_command *gate, int argc, char **argv)
{
    int code = parse(gate, argc, argv);
    if (code < 0)
        return EXIT_DONE;
    if (code != EXIT_DONE)
        return code;
    if (!gate->view.output->gate) {
        command_error("format \"%s\" is not for a gate's verdict; --write %s=FILE writes the report in it",
                      gate->view.output->name, gate->view.output->name);
        return EXIT_USAGE;
    }
    if (gate->write_baseline)
        suppressions_drop_baseline(&gate->view.suppressions);
    bool is_command = optind > 0 && optind < argc && strcmp(argv[optind - 1], "--") == 0;
    if (is_command)
        return judge_command(gate, argv + optind);
    return judge_paths(gate, argv + optind, (size_t)(argc - optind));
}

static int gate_run(int argc, char **argv)
{
    struct gate_command gate = {.runs = 1};
    view_init(&gate.view);
    gate.view.pager = false; /* a verdict is for logs */
    int code = run_parsed(&gate, argc, argv);
    view_done(&gate.view);
    return code;
}

const struct command command_gate = {
    .name = "gate",
    .summary = "CI leak gate: exit 0 pass, 1 fail; judges PATH... or runs -- COMMAND",
    .help = gate_help,
    .run = gate_run,
};
