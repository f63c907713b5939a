/* SPDX-License-Identifier: MIT
 *
 * memshim gate as builds use it: the recipes of the README, run as they stand there, on a program that has no leak, gets one,
 * and has it accepted. */
#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(ci);

/* The address is cut to an int: no pointer to the block is left. */
#define LEAKY \
    "import ctypes\n" \
    "libc = ctypes.CDLL(None)\n" \
    "def greet(name):\n" \
    "    libc.malloc(7000)\n" \
    "    return name.upper()\n" \
    "greet('x')\n"
#define CLEAN "print('x'.upper())\n"

/* A checkout, in which memshim is a command. */
struct checkout {
    char *folder, *path; /* path: the environment variable */
};

static char *file_in(const struct checkout *checkout, const char *name)
{
    return text_format("%s/%s", checkout->folder, name);
}

static void put_file(const struct checkout *checkout, const char *name, const char *text)
{
    char *path = file_in(checkout, name);
    FILE *out = fopen(path, "w");
    cr_assert(out && fputs(text, out) >= 0 && fclose(out) == 0, "cannot write %s", path);
    free(path);
}

/* The text of a file, or NULL if there is none. */
static char *get_path(const char *path)
{
    FILE *in = fopen(path, "r");
    char *text = calloc(1, 1 << 20);
    if (in) {
        cr_assert(text && fread(text, 1, (1 << 20) - 1, in) > 0, "%s is empty", path);
        fclose(in);
        return text;
    }
    free(text);
    return NULL;
}

static char *get_file(const struct checkout *checkout, const char *name)
{
    char *path = file_in(checkout, name), *text = get_path(path);
    free(path);
    return text;
}

static struct checkout checkout_new(void)
{
    struct checkout checkout = {.folder = folder_new()};
    char *bin = file_in(&checkout, "bin"), *memshim = file_in(&checkout, "bin/memshim"),
         *git = file_in(&checkout, ".git");
    cr_assert(mkdir(bin, 0700) == 0 && mkdir(git, 0700) == 0 && symlink(memshim_path(), memshim) == 0);
    checkout.path = text_format("PATH=%s:%s", bin, getenv("PATH"));
    put_file(&checkout, "memshim.supp", "");
    put_file(&checkout, "app.py", CLEAN);
    free(bin);
    free(memshim);
    free(git);
    return checkout;
}

static void checkout_clear(struct checkout *checkout)
{
    folder_remove(checkout->folder);
    free(checkout->path);
}

/* Both streams in the order of a log, in out. */
static struct outcome shell(const struct checkout *checkout, const char *command, const char *setting)
{
    char *shim = text_format("MEMSHIM_SHIM=%s", shim_path()), *all = text_format("exec 2>&1; %s", command);
    const char *const environment[] = {checkout->path, shim, "GITHUB_ACTIONS=", setting, NULL};
    struct running running = spawn_start(LIST("sh", "-c", all), environment, checkout->folder);
    struct outcome outcome = spawn_finish(&running);
    free(shim);
    free(all);
    return outcome;
}

static void assert_shell(const struct checkout *checkout, const char *command, const char *setting, int status,
                         const char *want)
{
    struct outcome outcome = shell(checkout, command, setting);
    cr_assert_eq(outcome.status, status, "%s: status %d\n%s", command, outcome.status, outcome.out);
    cr_assert(!want || strstr(outcome.out, want), "%s: no \"%s\" in\n%s", command, want, outcome.out);
    outcome_clear(&outcome);
}

/* The indented block below the line `title` of the README, without its indentation. */
static char *recipe(const char *title)
{
    char *path = text_format("%s/README.md", test_variable("TEST_SOURCE")), *readme = get_path(path);
    char *line = readme ? strstr(readme, title) : NULL, *block = calloc(1, 4096);
    cr_assert(line && block, "no \"%s\" in %s", title, path);
    line = strchr(line, '\n') + 1;
    while (*line == '\n' || strncmp(line, "    ", 4) == 0) {
        char *end = strchr(line, '\n');
        if (*line != '\n')
            strncat(block, line + 4, (size_t)(end - line - 3));
        line = end + 1;
    }
    cr_assert(*block);
    free(path);
    free(readme);
    return block;
}

/* The rest of the only line in which `begin` stands. */
static char *step_of(const char *block, const char *begin)
{
    const char *at = strstr(block, begin);
    cr_assert(at, "no \"%s\" in\n%s", begin, block);
    at += strlen(begin);
    return strndup(at, strcspn(at, "\n"));
}

/* What a person sees first of a failed build is the line that was written. */
static void assert_first_lines_name(const char *log, const char *place)
{
    const char *at = strstr(log, place), *end = log;
    for (int i = 0; i < 10 && end; i++)
        end = strchr(end + 1, '\n');
    cr_assert(at && (!end || at < end), "%s is not in the first ten lines of\n%s", place, log);
}

static void assert_first_lines_name_the_line(const char *log)
{
    assert_first_lines_name(log, "app.py:4");
}

Test(ci, recipe_for_github_actions)
{
    struct checkout checkout = checkout_new();
    char *block = recipe("For GitHub Actions:"), *step = step_of(block, "- run: ");
    char *summary = file_in(&checkout, "summary.md"), *command;

    cr_assert(asprintf(&command,
                       "GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY=summary.md; "
                       "export GITHUB_ACTIONS GITHUB_STEP_SUMMARY; %s",
                       step) > 0);
    assert_shell(&checkout, command, NULL, 0, "gate passed");
    put_file(&checkout, "app.py", LEAKY);
    struct outcome outcome = shell(&checkout, command, NULL);
    cr_assert_eq(outcome.status, 1, "%s", outcome.out);
    assert_first_lines_name_the_line(outcome.out);
    cr_assert(strstr(outcome.out, "\n::error file=app.py,line=4,"), "no annotation in\n%s", outcome.out);
    char *told = get_file(&checkout, "summary.md");
    cr_assert(told && strstr(told, "the gate passed") && strstr(told, "the gate failed") && strstr(told, "app.py:4"),
              "the summary of both steps:\n%s", told);
    outcome_clear(&outcome);
    free(told);
    free(command);

    cr_assert(asprintf(&command, "GITHUB_ACTIONS=true memshim gate --no-ci%s", step + strlen("memshim gate")) > 0);
    outcome = shell(&checkout, command, NULL);
    cr_assert(outcome.status == 1 && !strstr(outcome.out, "::error"), "%s", outcome.out);
    outcome_clear(&outcome);
    free(command);
    free(summary);
    free(step);
    free(block);
    checkout_clear(&checkout);
}

Test(ci, recipe_for_gitlab)
{
    struct checkout checkout = checkout_new();
    char *block = recipe("For GitLab CI:"), *step = step_of(block, "    - ");

    put_file(&checkout, "app.py", LEAKY);
    struct outcome outcome = shell(&checkout, step, NULL);
    cr_assert_eq(outcome.status, 1, "%s", outcome.out);
    assert_first_lines_name_the_line(outcome.out);
    cr_assert(!strstr(outcome.out, "::error"), "annotations of another system:\n%s", outcome.out);
    outcome_clear(&outcome);
    char *name = step_of(block, "codequality: "), *report = get_file(&checkout, name);
    json_t *issues = report ? json_loads(report, 0, NULL) : NULL;
    cr_assert(json_is_array(issues) && json_array_size(issues) >= 1, "%s: %s", name, report);
    cr_assert(strstr(report, "\"path\":\"app.py\",\"lines\":{\"begin\":4}"), "%s", report);
    json_decref(issues);
    free(name);
    free(report);
    name = step_of(block, "junit: ");
    report = get_file(&checkout, name);
    cr_assert(report && strstr(report, "<failure"), "%s: %s", name, report);
    free(name);
    free(report);
    free(step);
    free(block);
    checkout_clear(&checkout);
}

Test(ci, recipe_for_make)
{
    struct checkout checkout = checkout_new();
    char *block = recipe("For make:");

    put_file(&checkout, "Makefile", block);
    assert_shell(&checkout, "make leaks", NULL, 0, "gate passed");
    put_file(&checkout, "app.py", LEAKY);
    struct outcome outcome = shell(&checkout, "make leaks", NULL);
    cr_assert_neq(outcome.status, 0, "%s", outcome.out);
    assert_first_lines_name_the_line(outcome.out);
    char *accept = step_of(outcome.out, "to accept what is lost now: ");
    outcome_clear(&outcome);
    assert_shell(&checkout, "make accept-leaks", NULL, 0, "accepts 1 leak, 7000 bytes");
    assert_shell(&checkout, "make leaks", NULL, 0, "gate passed");

    /* The line that the failed gate said does the same. */
    put_file(&checkout, "memshim.supp", "\n");
    assert_shell(&checkout, accept, NULL, 0, "accepts 1 leak, 7000 bytes");
    assert_shell(&checkout, "make leaks", NULL, 0, "gate passed");

    /* Fixed: the line of the baseline can go. */
    put_file(&checkout, "app.py", CLEAN);
    assert_shell(&checkout, "make leaks", NULL, 0, "1 leak of the baseline is gone");
    assert_shell(&checkout, "memshim gate --baseline memshim.supp --unused-suppressions error -- python3 app.py", NULL,
                 1, "is gone");
    outcome = shell(&checkout,
                    "memshim gate --baseline memshim.supp --unused-suppressions error --allow-shrink -- python3 app.py",
                    NULL);
    cr_assert(outcome.status == 0 && !strstr(outcome.out, "is gone"), "%s", outcome.out);
    outcome_clear(&outcome);
    free(accept);
    free(block);
    checkout_clear(&checkout);
}

/* Only the first run leaks 7000 bytes; each leaks 500. */
#define ONCE \
    "import ctypes, os\n" \
    "libc = ctypes.CDLL(None)\n" \
    "if not os.path.exists('ran'):\n" \
    "    libc.malloc(7000)\n" \
    "open('ran', 'w').close()\n"

Test(ci, a_leak_must_be_in_all_runs)
{
    struct checkout checkout = checkout_new();

    put_file(&checkout, "app.py", ONCE);
    assert_shell(&checkout, "memshim gate --runs 2 --reports r -- python3 app.py", NULL, 0, "gate passed");
    assert_shell(&checkout, "memshim gate r/1", NULL, 1, "7,000 bytes");
    assert_shell(&checkout, "memshim gate r/2", NULL, 0, NULL);
    put_file(&checkout, "app.py", ONCE "libc.malloc(500)\n");
    assert_shell(&checkout, "rm ran; memshim gate --runs 2 -- python3 app.py", NULL, 1,
                 "gate failed: 500 bytes in 1 block definitely lost");
    put_file(&checkout, "app.py", "import sys\nsys.exit(5)\n");
    assert_shell(&checkout, "memshim gate --runs 2 -- python3 app.py", NULL, 1, "exited with status 5");
    assert_shell(&checkout, "memshim gate --runs 2 r/1", NULL, 2, "--runs is for a COMMAND");
    assert_shell(&checkout, "memshim gate --runs 0 -- python3 app.py", NULL, 2, "--runs");
    checkout_clear(&checkout);
}

/* Nothing is left of them, and they are in the list all the same. */
Test(ci, the_busiest_allocations)
{
    struct checkout checkout = checkout_new();

    put_file(&checkout, "app.py",
             "import ctypes\n"
             "libc = ctypes.CDLL(None)\n"
             "libc.malloc.restype = ctypes.c_void_p\n"
             "def churn():\n"
             "    libc.free(ctypes.c_void_p(libc.malloc(3000)))\n"
             "for i in range(5000):\n"
             "    churn()\n");
    assert_shell(&checkout, "memshim run -q -o r -- python3 app.py", NULL, 0, NULL);
    assert_shell(
        &checkout,
        "memshim report --list allocations --sort temporary r | grep -E '5,000 +15,000,000 +5,000 +0 +app.py:5'", NULL,
        0, NULL);
    checkout_clear(&checkout);
}

Test(ci, limits_of_the_gate)
{
    struct checkout checkout = checkout_new();

    put_file(&checkout, "app.py", LEAKY);
    assert_shell(&checkout, "memshim run -q -o r -- python3 app.py", NULL, 0, NULL);
    assert_shell(&checkout, "memshim gate --fail-on errors r", NULL, 0, NULL);
    assert_shell(&checkout, "memshim gate --fail-on definite r", NULL, 1,
                 "definitely lost: --fail-on definite; see app.py:4");
    assert_shell(&checkout, "memshim gate --fail-on growth r", NULL, 0, "note: nothing was judged by its growth");
    assert_shell(&checkout, "memshim gate --fail-on all r", NULL, 2, "--fail-on");
    assert_shell(&checkout, "memshim report --list leaks r", NULL, 0, "  app.py:4");
    assert_shell(&checkout, "memshim report --list leaks --source-root .. r", NULL, 0, "/app.py:4");
    assert_shell(&checkout, "memshim gate --max-bytes stack=100M r", NULL, 0, NULL);
    assert_shell(&checkout, "memshim gate --write sarif=out.sarif --write markdown=out.md r", NULL, 1, NULL);
    char *sarif = get_file(&checkout, "out.sarif"), *markdown = get_file(&checkout, "out.md");
    cr_assert(sarif && strstr(sarif, "\"2.1.0\"") && markdown && strstr(markdown, "the gate failed"));
    free(sarif);
    free(markdown);
    assert_shell(&checkout, "memshim gate --write nonsense=x r", NULL, 2, "nonsense");
    assert_shell(&checkout, "memshim gate --write sarif r", NULL, 2, "FORMAT=FILE");
    assert_shell(&checkout, "memshim gate --write sarif=/nonexistent/x r", NULL, 2, "/nonexistent/x");
    checkout_clear(&checkout);
}

/* The same leak after lines were inserted, in another folder, compiled anew: the baseline knows it. */
Test(ci, a_baseline_survives_shifted_lines_and_another_checkout)
{
    static const char program[] = "#include <stdlib.h>\n"
                                  "__attribute__((noinline)) static void lose(void)\n"
                                  "{\n"
                                  "    void *volatile block = malloc(77);\n"
                                  "    block = NULL;\n"
                                  "}\n"
                                  "int main(void)\n"
                                  "{\n"
                                  "    lose();\n"
                                  "    return 0;\n"
                                  "}\n";
    struct checkout checkout = checkout_new();
    char *shifted = text_format("/* One. */\n\n\n/* Two. */\n#define UNUSED 1\n%s", program);

    put_file(&checkout, "app.c", program);
    assert_shell(&checkout, "cc -g -O1 app.c -o app && memshim gate --write-baseline memshim.supp -- ./app", NULL, 0,
                 "accepts 1 leak, 77 bytes");
    assert_shell(&checkout, "memshim gate --baseline memshim.supp -- ./app", NULL, 0, "gate passed");
    put_file(&checkout, "app.c", shifted);
    assert_shell(&checkout,
                 "mkdir -p a/b && mv app.c a/b && cd a/b && cc -g -O0 app.c -o app && "
                 "memshim gate --baseline ../../memshim.supp -- ./app",
                 NULL, 0, "gate passed");
    char *sarif;
    assert_shell(&checkout, "cd a/b && memshim gate --baseline ../../memshim.supp --write sarif=../../s -- ./app", NULL,
                 0, NULL);
    sarif = get_file(&checkout, "s");
    cr_assert(sarif &&
                  strstr(sarif, "\"baselineState\": \"unchanged\"") != strstr(sarif, "\"baselineState\":\"unchanged\""),
              "%s", sarif);
    free(sarif);

    /* Python: lines and the checkout move, the function stays. */
    char *moved = text_format("# One.\n# Two.\n%s", LEAKY);
    put_file(&checkout, "app.py", LEAKY);
    assert_shell(&checkout, "memshim gate --write-baseline memshim.supp -- python3 app.py", NULL, 0, "accepts 1 leak");
    put_file(&checkout, "app.py", moved);
    assert_shell(&checkout, "mv app.py a/b && cd a/b && memshim gate --baseline ../../memshim.supp -- python3 app.py",
                 NULL, 0, "gate passed");
    free(moved);
    free(shifted);
    checkout_clear(&checkout);
}

#define FUNCTIONS(old, new) \
    "#include <stdlib.h>\n" \
    "static void *volatile last;\n" \
    "__attribute__((noinline)) static void known(void)\n" \
    "{\n" \
    "    for (int i = 0; i < 10; i++) {\n" \
    "        last = malloc(55);\n" \
    "        " old "\n" \
    "    }\n" \
    "    last = NULL;\n" \
    "}\n" \
    "__attribute__((noinline)) static void changed(void)\n" \
    "{\n" \
    "    for (int i = 0; i < 10; i++) {\n" \
    "        last = malloc(77);\n" \
    "        " new "\n" \
                   "    }\n" \
                   "    last = NULL;\n" \
                   "}\n" \
                   "int main(void)\n" \
                   "{\n" \
                   "    known();\n" \
                   "    changed();\n" \
                   "    return 0;\n" \
                   "}\n"

#define BUILD "cc -g -O1 app.c -o app && "

/* A change of a program that has a known leak brings another one. */
Test(ci, a_leak_planted_in_a_pull_request)
{
    struct checkout checkout = checkout_new();

    put_file(&checkout, "app.c", FUNCTIONS(";", "free(last);"));
    assert_shell(&checkout, BUILD "memshim gate --write-baseline memshim.supp -- ./app", NULL, 0, "accepts 1 leak");
    assert_shell(&checkout, "memshim gate --baseline memshim.supp -- ./app", NULL, 0, "gate passed");

    put_file(&checkout, "app.c", FUNCTIONS(";", ";"));
    struct outcome outcome = shell(&checkout, BUILD "memshim gate --baseline memshim.supp -- ./app", NULL);
    cr_assert_eq(outcome.status, 1, "%s", outcome.out);
    assert_first_lines_name(outcome.out, "app.c:14");
    cr_assert(!strstr(outcome.out, "app.c:6"), "the known leak is no news:\n%s", outcome.out);
    outcome_clear(&outcome);

    assert_shell(&checkout, "memshim gate --write-baseline memshim.supp --baseline memshim.supp -- ./app", NULL, 0,
                 "accepts 2 leaks");
    assert_shell(&checkout, "memshim gate --baseline memshim.supp -- ./app", NULL, 0, "gate passed");
    checkout_clear(&checkout);
}

/* Of what a baseline accepts and a run does not lose, code scanning hears that it is absent; not of what was only left out. */
Test(ci, leaks_that_are_gone_are_absent_in_sarif)
{
    struct checkout checkout = checkout_new();

    put_file(&checkout, "app.c", FUNCTIONS(";", ";"));
    assert_shell(&checkout, BUILD "memshim gate --write-baseline memshim.supp -- ./app", NULL, 0, "accepts 2 leaks");
    put_file(&checkout, "app.c", FUNCTIONS("free(last);", ";"));
    assert_shell(&checkout, BUILD "memshim gate --baseline memshim.supp --write sarif=s -- ./app", NULL, 0, "is gone");
    assert_shell(&checkout, "grep -o '\"baselineState\": *\"[a-z]*\"' s | tr -d ' ' | sort | uniq -c", NULL, 0,
                 "1 \"baselineState\":\"absent\"\n      1 \"baselineState\":\"unchanged\"");
    assert_shell(&checkout, "grep -c 'not there any more: definite malloc: known (app.c) < main (app.c)' s", NULL, 0,
                 "1\n");
    assert_shell(&checkout, "grep -Eo '\"uri\": *\"memshim.supp\"' s | wc -l", NULL, 0, "1\n");
    checkout_clear(&checkout);
}
