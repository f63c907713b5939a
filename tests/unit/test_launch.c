/* SPDX-License-Identifier: MIT */
#include "launch.h"

#include "options.h"
#include "preload.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct launch_result run(const char *preload, const char *options, char *const *argv)
{
    struct launch launch = {.argv = argv, .preload = preload, .options = options};
    struct launch_result result;
    cr_assert_eq(launch_run(&launch, &result), 0);
    launch_unblock();
    return result;
}

/* The exit status of a shell script. */
static int sh(const char *script)
{
    struct launch_result result = run(NULL, NULL, (char *const[]){"sh", "-c", (char *)script, NULL});
    return launch_exit_code(&result);
}

Test(launch, statuses)
{
    cr_expect_eq(sh("exit 0"), 0);
    cr_expect_eq(sh("exit 77"), 77);
    cr_expect_eq(sh("kill -KILL $$"), 128 + SIGKILL);
    cr_expect_eq(sh("kill -TERM $$"), 128 + SIGTERM);
}

Test(launch, what_cannot_be_started)
{
    struct launch_result result = run(NULL, NULL, (char *const[]){"/nonexistent/x", NULL});
    cr_expect_eq(result.error, ENOENT);
    cr_expect_eq(launch_exit_code(&result), 127);
    result = run(NULL, NULL, (char *const[]){"/etc/passwd", NULL});
    cr_expect_eq(result.error, EACCES);
    cr_expect_eq(launch_exit_code(&result), 126);
}

Test(launch, the_environment_has_ours_and_nothing_else)
{
    /* No such object: the loader of sh complains and goes on. */
    setenv("OTHER", "kept", 1);
    struct launch_result result =
        run("/nonexistent.so", "a=b",
            (char *const[]){"/bin/sh", "-c",
                            "exec 2>/dev/null; test \"$LD_PRELOAD\" = /nonexistent.so -a \"$MEMSHIM_OPTIONS\" = a=b"
                            " -a \"$OTHER\" = kept",
                            NULL});
    cr_expect_eq(launch_exit_code(&result), 0);
    unsetenv("LD_PRELOAD");
    unsetenv("MEMSHIM_OPTIONS");
    cr_expect_eq(sh("test -z \"${LD_PRELOAD+x}${MEMSHIM_OPTIONS+x}\""), 0, "untouched");
}

Test(launch, the_command_has_the_signal_state_that_we_were_given)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_IGN); /* would throw the status away */
    struct launch_result result =
        run(NULL, NULL, (char *const[]){"grep", "-qE", "^SigBlk:.0*800$", "/proc/self/status", NULL});
    cr_expect_eq(launch_exit_code(&result), 0, "SIGUSR2 alone is blocked");
    signal(SIGCHLD, SIG_IGN); /* we need the default ourselves afterwards */
    result =
        run(NULL, NULL,
            (char *const[]){"grep", "-qE", "^SigIgn:.*[13579bdf][0-9a-f]{3}[13579bdf]$", "/proc/self/status", NULL});
    cr_expect_eq(launch_exit_code(&result), 0, "SIGHUP and SIGCHLD are ignored");
}

Test(launch, signals_are_passed_on, .timeout = 60)
{
    cr_expect_eq(
        sh("trap 'exit 5' USR1; kill -USR1 $PPID; i=0; while [ $i -lt 1000 ]; do sleep 0.01; i=$((i+1)); done"), 5);
    cr_expect_eq(
        sh("trap 'exit 6' TERM; kill -TERM $PPID; i=0; while [ $i -lt 1000 ]; do sleep 0.01; i=$((i+1)); done"), 6);
}

Test(launch, no_descriptor_of_ours_reaches_the_command)
{
    /* ls has the folder itself open in both cases. */
    char line[16], script[128];
    FILE *bare = popen("ls /proc/self/fd | wc -l", "r");
    cr_assert_not_null(fgets(line, sizeof(line), bare));
    pclose(bare);
    snprintf(script, sizeof(script), "test $(ls /proc/self/fd | wc -l) -le %d", atoi(line));
    cr_expect_eq(sh(script), 0);
}

/* As the launcher names the shim where the C library lies in its usual place. */
#define SHIM PRELOAD_GNU_ONLY "/s.so"

static void expect_preload(const char *old, const char *want)
{
    char *value = launch_preload(old, "/s.so");
    cr_expect_str_eq(value, want);
    free(value);
}

Test(launch, preload_keeps_what_was_there)
{
    expect_preload(NULL, SHIM);
    expect_preload("", SHIM);
    expect_preload("/a.so:/b.so", SHIM ":/a.so:/b.so");
    expect_preload("/a.so /b.so", SHIM ":/a.so /b.so");
    expect_preload(SHIM ":/a.so", SHIM ":/a.so");
    expect_preload("/s.so", "/s.so");
    expect_preload("/s.so:/a.so", "/s.so:/a.so");
    expect_preload(" /s.so /a.so", " /s.so /a.so");
    expect_preload("/s.so.1", SHIM ":/s.so.1");
    char *relative = launch_preload(NULL, "s.so");
    cr_expect_str_eq(relative, "s.so");
    free(relative);
}

/* Every value comes out of the shim's parser as it went in. */
static void expect_value(const char *value)
{
    struct options options;
    char *text = NULL;
    cr_assert_eq(launch_option(&text, "stack_depth", "5"), 0);
    cr_assert_eq(launch_option(&text, "output", value), 0);
    options_defaults(&options);
    options_parse(&options, text, NULL, NULL);
    cr_expect_str_eq(options.output, value, "%s", text);
    cr_expect_eq(options.stack_depth, 5);
    free(text);
}

Test(launch, option_values_survive_the_parser)
{
    expect_value("/plain/%n-%p.jsonl");
    expect_value("/a:b/c d.jsonl");
    expect_value("it's");
    expect_value("\"both\" 'kinds'");
    expect_value("'");
}

Test(launch, options_are_joined_ours_last)
{
    char *value = launch_options("a=1", "b=2");
    cr_expect_str_eq(value, "a=1:b=2");
    free(value);
    value = launch_options("", "b=2");
    cr_expect_str_eq(value, "b=2");
    free(value);
    value = launch_options("a=1", NULL);
    cr_expect_str_eq(value, "a=1");
    free(value);
}

Test(launch, the_shim_is_looked_for_in_order)
{
    char *path = NULL;
    cr_expect_eq(launch_find_shim("/nonexistent", "/etc/passwd", &path), -ENOENT, "the override is all that counts");
    cr_expect_eq(launch_find_shim("/etc", "/etc/passwd", &path), -ENOENT, "a folder is no shim");
    cr_assert_eq(launch_find_shim("/etc/passwd", "/nonexistent", &path), 0);
    cr_expect_str_eq(path, "/etc/passwd");
    free(path);
    cr_expect_eq(launch_find_shim(NULL, "/nonexistent", &path), -ENOENT);
}
