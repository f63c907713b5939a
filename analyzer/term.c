/* SPDX-License-Identifier: MIT
 *
 * Colour decision, pager, and the check that output arrived. See term.h. */
#include "term.h"

#include "compiler.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

int color_parse(const char *text, enum color_mode *ret)
{
    static const char *const names[] = {[COLOR_AUTO] = "auto", [COLOR_ALWAYS] = "always", [COLOR_NEVER] = "never"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum color_mode)i;
            return 0;
        }
    }
    return -EINVAL;
}

static bool env_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool env_forces(const char *name)
{
    const char *value = getenv(name);
    return value && *value && strcmp(value, "0") != 0;
}

static bool term_is_dumb(void)
{
    const char *term = getenv("TERM");
    return !term || !*term || strcmp(term, "dumb") == 0;
}

bool term_color(enum color_mode mode, FILE *out)
{
    if (mode != COLOR_AUTO)
        return mode == COLOR_ALWAYS;
    if (env_set("NO_COLOR"))
        return false;
    if (env_forces("FORCE_COLOR") || env_forces("CLICOLOR_FORCE"))
        return true;
    return !term_is_dumb() && isatty(fileno(out));
}

const char *term_style(bool color, enum term_style style)
{
    static const char *const sequences[STYLE_COUNT] = {
        [STYLE_NONE] = "\033[0m",    [STYLE_BAD] = "\033[1;31m", [STYLE_WARN] = "\033[33m",
        [STYLE_GOOD] = "\033[1;32m", [STYLE_STRONG] = "\033[1m", [STYLE_FAINT] = "\033[2m",
    };
    return color ? sequences[style] : "";
}

static const char *pager_command(void)
{
    static const char *const names[] = {"MEMSHIM_PAGER", "PAGER"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *command = getenv(names[i]);
        if (command)
            return *command && strcmp(command, "cat") != 0 ? command : NULL;
    }
    return "less";
}

/* True if the first word of `command` is a program, as far as can be told without a shell. A pager that is not there would
 * swallow the output. */
static bool pager_exists(const char *command)
{
    _cleanup_free_ char *word = strndup(command, strcspn(command, " \t"));
    _cleanup_free_ char *path = word && !strpbrk(word, "'\"$`\\") ? program_find(word) : NULL;
    return path && access(path, X_OK) == 0;
}

/* The child's side: the pager reads from `in` and inherits our terminal. */
static _Noreturn void pager_exec(const char *command, int in)
{
    if (dup2(in, STDIN_FILENO) >= 0) {
        setenv("LESS", "FRX", 0);
        setenv("LV", "-c", 0);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    }
    _exit(127);
}

/* Hands the output to the pager. Without fork or pipes we simply go on without it. */
static void pager_spawn(struct pager *pager, const char *command)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    FILE *out = fdopen(ends[1], "w");
    pid_t pid = out ? fork() : -1;
    if (pid == 0)
        pager_exec(command, ends[0]);
    close(ends[0]);
    if (pid > 0) {
        *pager = (struct pager){.out = out, .pid = pid};
        return;
    }
    if (out)
        fclose(out);
    else
        close(ends[1]);
}

void pager_start(struct pager *pager, bool wanted)
{
    *pager = (struct pager){.out = stdout};
    if (!wanted || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO) || term_is_dumb() || env_set("CI"))
        return;
    const char *command = pager_command();
    if (command && pager_exists(command) && fflush(stdout) == 0)
        pager_spawn(pager, command);
}

int pager_done(struct pager *pager)
{
    int r = stream_flush(pager->out);
    if (pager->pid > 0) {
        fclose(pager->out); /* end of input for the pager */
        while (waitpid(pager->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    *pager = (struct pager){.out = stdout};
    return r;
}

/* True for a pipe whose reader has gone. */
static bool reader_gone(FILE *out)
{
    struct pollfd poller = {.fd = fileno(out)};
    return poll(&poller, 1, 0) > 0 && (poller.revents & POLLERR) != 0;
}

int stream_flush(FILE *out)
{
    bool failed = ferror(out);
    errno = 0;
    if (fflush(out) == 0 && !failed)
        return 0;
    /* A failure before this one has left no errno behind; EIO says as much as we know then. */
    int error = errno ? errno : reader_gone(out) ? EPIPE : EIO;
    return error == EPIPE ? 0 : -error;
}
