/* SPDX-License-Identifier: MIT
 *
 * memshim gate: passes or fails a build by what leaked. Reads reports, or runs a command first. What cannot be judged (no
 * report, half a report) is an error and never a pass. */
#include "cmd_session.h"
#include "gate.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define GATE_TOP 10

enum gate_option {
    GATE_MAX = VIEW_OPTION_END,
    GATE_REPORTS = GATE_MAX + GATE_RULE_COUNT,
    GATE_BASELINE,
    GATE_WRITE_BASELINE,
};

struct gate_command {
    struct view view;
    struct gate_limits limits;
    struct session_options session;
    const char *write_baseline; /* file, or NULL: judge */
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
        "      --max-bytes N      bytes still allocated, all kinds together (k, M, G allowed)\n"
        "      --max-bytes KIND=N the same for one kind: definite, indirect, possible, reachable\n"
        "      --max-blocks [KIND=]N\n"
        "                         blocks\n"
        "      --max-errors N     memory errors (0)\n"
        "      --baseline FILE    leaks that are accepted as long as they do not grow\n"
        "      --write-baseline FILE\n"
        "                         accept all that is lost now: write FILE, judge nothing\n"
        "      --reports DIR      folder for the reports of COMMAND (memshim-PID)\n",
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

/* Returns EXIT_DONE, -1 after --help, or an exit code after an error line. */
static int parse(struct gate_command *gate, int argc, char **argv)
{
    static const struct option options[] = {VIEW_LIMITS,
                                            VIEW_DOCUMENT,
                                            {"max-bytes", required_argument, NULL, GATE_MAX + GATE_BYTES},
                                            {"max-blocks", required_argument, NULL, GATE_MAX + GATE_BLOCKS},
                                            {"max-errors", required_argument, NULL, GATE_MAX + GATE_ERRORS},
                                            {"baseline", required_argument, NULL, GATE_BASELINE},
                                            {"write-baseline", required_argument, NULL, GATE_WRITE_BASELINE},
                                            {"reports", required_argument, NULL, GATE_REPORTS},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    /* "+": what follows a path is not ours to reorder across "--". */
    for (int code; (code = getopt_long(argc, argv, "+:ho:", options, NULL)) != -1;) {
        int r = EXIT_DONE;
        if (code == 'h') {
            gate_help(stdout);
            return -1;
        }
        if (code == GATE_REPORTS)
            gate->session.folder = optarg;
        else if (code == GATE_BASELINE)
            r = view_read_rules(&gate->view, optarg, true);
        else if (code == GATE_WRITE_BASELINE)
            gate->write_baseline = optarg;
        else if (code >= GATE_MAX && code < GATE_REPORTS)
            r = take_limit(gate, (enum gate_rule)(code - GATE_MAX), optarg);
        else
            r = view_option(&gate->view, code, optarg, argv);
        if (r != EXIT_DONE)
            return r;
    }
    return view_choose(&gate->view);
}

/* The kinds that the verdict is about: their leaks are shown. */
static unsigned int failed_kinds(const struct gate_verdict *verdict)
{
    unsigned int kinds = 0;
    for (size_t i = 0; i < verdict->reason_count; i++) {
        if (verdict->reasons[i].rule == GATE_ERRORS)
            continue;
        if (verdict->reasons[i].scope == GATE_TOTAL)
            return 0;
        kinds |= 1u << verdict->reasons[i].scope;
    }
    return kinds;
}

/* Under the verdict, in formats that allow it: what it is about. */
static int write_evidence(struct output_job *job, const struct gate_command *gate, const struct gate_verdict *verdict,
                          const struct reading *reading)
{
    if (verdict->reason_count == 0 || !gate->view.output->evidence)
        return 0;
    struct output_options options = gate->view.options;
    options.brief = true;
    options.kinds = failed_kinds(verdict);
    if (options.top == OUTPUT_TOP_DEFAULT)
        options.top = GATE_TOP;
    FILE *out = job->out;
    const struct leaks *leaks = reading_leaks(reading, gate->view.output);
    output_job_init(job, gate->view.output, &options, &reading->model, leaks, out);
    return output_report(job, gate->view.output, leaks, reading->symbols);
}

static int write_verdict(struct gate_command *gate, const struct gate_verdict *verdict, const struct reading *reading)
{
    const struct output *output = gate->view.output;
    struct document document;
    int code = document_open(&document, &gate->view);
    if (code != EXIT_DONE)
        return code;
    struct output_job job;
    output_job_init(&job, output, &gate->view.options, &reading->model, &reading->leaks, document.out);
    errno = 0;
    int r = output->gate(&job, &gate->limits, verdict);
    if (r == 0 && ferror(document.out))
        r = errno ? -errno : -EIO;
    if (r == 0)
        r = write_evidence(&job, gate, verdict, reading);
    return document_close(&document, &gate->view, r);
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

/* All that is lost and not accepted yet, with its numbers as limits. */
static int write_baseline(const struct gate_command *gate, const struct reading *reading)
{
    const struct output *output = output_find("suppressions", NULL);
    const struct output_options options = {.top = OUTPUT_TOP_DEFAULT};
    struct view view = {.path = gate->write_baseline, .options = options, .output = output};
    struct document document;
    int code = check_complete(&reading->model);
    if (code != EXIT_DONE || (code = document_open(&document, &view)) != EXIT_DONE)
        return code;
    struct output_job job;
    output_job_init(&job, output, &options, &reading->model, &reading->joined, document.out);
    int r = output_report(&job, output, &reading->joined, reading->symbols);
    code = document_close(&document, &view, r);
    if (code == EXIT_DONE)
        command_error("%s accepts %llu leak%s, %llu bytes in %llu blocks", gate->write_baseline,
                      (unsigned long long)job.all.leaks, job.all.leaks == 1 ? "" : "s",
                      (unsigned long long)job.all.bytes, (unsigned long long)job.all.blocks);
    return code;
}

/* `command_end`: how the command failed, or NULL. */
static int judge(struct gate_command *gate, const struct reading *reading, const char *command_end)
{
    struct gate_counts counts;
    struct gate_verdict verdict;
    if (gate->write_baseline && command_end) {
        command_error("no baseline of a run that failed: %s", command_end);
        return EXIT_FOUND;
    }
    if (gate->write_baseline)
        return write_baseline(gate, reading);
    gate_count(&reading->model, &reading->leaks, &counts);
    gate_decide(&gate->limits, &counts, &verdict);
    verdict.command_end = command_end;
    if (command_end)
        verdict.passed = false;
    int complete = check_complete(&reading->model);
    if (verdict.passed && complete != EXIT_DONE)
        return complete;
    int code = write_verdict(gate, &verdict, reading);
    if (view_tell_rules(&gate->view) != EXIT_DONE)
        verdict.passed = false;
    return code != EXIT_DONE ? code : verdict.passed ? EXIT_DONE : EXIT_FOUND;
}

static int judge_paths(struct gate_command *gate, char **paths, size_t count)
{
    signal(SIGPIPE, SIG_IGN);
    struct reading reading = {0};
    int code = reading_open(&reading, paths, count, &gate->view);
    if (code == EXIT_DONE)
        code = judge(gate, &reading, NULL);
    reading_close(&reading);
    return code;
}

/* The reports of a run that has ended. */
static int judge_session(struct gate_command *gate, const struct session *session, const char *command_end)
{
    struct reading reading = {0};
    size_t reports = 0;
    int code = session_collect(session, &reading, &reports);
    if (code == EXIT_DONE && reports == 0) {
        command_error("no report appeared in %s: there is nothing to judge", session->shown);
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE)
        code = reading_finish(&reading, &gate->view);
    if (code == EXIT_DONE)
        code = judge(gate, &reading, command_end);
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

/* A command that failed fails the gate, also where there is nothing to judge. */
static int judge_ended(struct gate_command *gate, const struct session *session, const char *name)
{
    char *text = NULL;
    if (describe_end(&session->result, name, &text) < 0) {
        command_error("out of memory");
        return EXIT_TROUBLE;
    }
    _cleanup_free_ char *command_end = text;
    int code = EXIT_USAGE;
    if (session->folder)
        code = judge_session(gate, session, command_end);
    else
        command_error("\"%s\" was not traced: there is nothing to judge", name);
    if (command_end && code != EXIT_FOUND) {
        command_error("gate failed: %s", command_end);
        code = EXIT_FOUND;
    }
    return code;
}

static int judge_command(struct gate_command *gate, char **argv)
{
    struct session session;
    int code = session_run(&session, &gate->session, argv);
    launch_unblock();
    signal(SIGPIPE, SIG_IGN);
    if (code == EXIT_DONE)
        code = session.result.error ? EXIT_USAGE : judge_ended(gate, &session, argv[0]);
    session_done(&session, &gate->session);
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
        command_error("format \"%s\" is not for a gate", gate->view.output->name);
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
    struct gate_command gate = {0};
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
