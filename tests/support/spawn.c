/* SPDX-License-Identifier: MIT */
#include "spawn.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Nothing here takes a tenth of that; a program that does hangs. */
#define PATIENCE_SECONDS 100

static void child(const char *const *argv, const char *const *environment, const char *folder)
{
    for (; environment && *environment; environment++)
        putenv((char *)*environment);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0); /* so that a program that hangs can be ended with its children */
    if (folder && chdir(folder))
        _exit(125);
    execvp(argv[0], (char *const *)argv);
    _exit(errno == ENOENT ? 127 : 126);
}

struct running spawn_start(const char *const *argv, const char *const *environment, const char *folder)
{
    int out[2], err[2];

    cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0, "pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    cr_assert(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        if (null < 0 || dup2(null, 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0)
            _exit(125);
        close(null);
        child(argv, environment, folder);
    }
    close(out[1]);
    close(err[1]);
    return (struct running){.pid = pid, .out = out[0], .err = err[0]};
}

char *spawn_read_line(struct running *running)
{
    char line[4096];
    size_t size = 0;

    while (size < sizeof(line) - 1 && read(running->out, line + size, 1) == 1 && line[size] != '\n')
        size++;
    line[size] = '\0';
    return strdup(line);
}

struct buffer {
    char *text;
    size_t size;
};

/* Returns whether there may be more. */
static bool buffer_read(struct buffer *buffer, int fd)
{
    buffer->text = realloc(buffer->text, buffer->size + 65537);
    cr_assert(buffer->text, "out of memory");
    ssize_t got = read(fd, buffer->text + buffer->size, 65536);
    if (got < 0 && errno == EINTR)
        return true;
    buffer->size += got > 0 ? (size_t)got : 0;
    buffer->text[buffer->size] = '\0';
    return got > 0;
}

/* Reads both pipes to their ends; false when that takes too long. */
static bool read_all(struct running *running, struct buffer *buffers)
{
    struct pollfd files[2] = {{.fd = running->out, .events = POLLIN}, {.fd = running->err, .events = POLLIN}};
    time_t start = time(NULL);

    while (files[0].fd >= 0 || files[1].fd >= 0) {
        int ready = poll(files, 2, 1000);
        if (time(NULL) - start > PATIENCE_SECONDS)
            return false;
        for (int i = 0; ready > 0 && i < 2; i++)
            if (files[i].revents && !buffer_read(&buffers[i], files[i].fd))
                files[i].fd = -1;
    }
    return true;
}

struct outcome spawn_finish(struct running *running)
{
    struct buffer buffers[2] = {{calloc(1, 1), 0}, {calloc(1, 1), 0}};
    int status = 0;

    bool ended = read_all(running, buffers);
    if (!ended)
        kill(-running->pid, SIGKILL);
    while (waitpid(running->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(running->out);
    close(running->err);
    cr_assert(ended, "the program hangs; so far on stdout:\n%.4000s\non stderr:\n%.4000s", buffers[0].text,
              buffers[1].text);
    return (struct outcome){
        .status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
        .out = buffers[0].text,
        .out_size = buffers[0].size,
        .err = buffers[1].text,
        .err_size = buffers[1].size,
    };
}

struct outcome spawn_run(const char *const *argv, const char *const *environment)
{
    struct running running = spawn_start(argv, environment, NULL);
    return spawn_finish(&running);
}

void outcome_clear(struct outcome *outcome)
{
    free(outcome->out);
    free(outcome->err);
    *outcome = (struct outcome){0};
}

char *text_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    cr_assert(length >= 0, "out of memory");
    return text;
}

const char *test_variable(const char *name)
{
    const char *value = getenv(name);
    cr_assert(value && *value, "%s is not set: run the tests by way of meson test", name);
    return value;
}

char *folder_new(void)
{
    const char *base = getenv("TMPDIR");
    char *folder = text_format("%s/memshim-test-XXXXXX", base && *base ? base : "/tmp");
    cr_assert(mkdtemp(folder), "%s: %s", folder, strerror(errno));
    return folder;
}

/* Of processes that were killed without a launcher: the ledgers themselves are in shared memory. */
static void remove_ledgers(const char *folder)
{
    DIR *stream = opendir(folder);

    for (struct dirent *entry; stream && (entry = readdir(stream)) != NULL;) {
        char target[4096];
        ssize_t length = readlinkat(dirfd(stream), entry->d_name, target, sizeof(target) - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if (strncmp(target, "/dev/shm/memshim-", 17) == 0)
            unlink(target);
    }
    if (stream)
        closedir(stream);
}

void folder_remove(char *folder)
{
    remove_ledgers(folder);
    struct outcome outcome = spawn_run(LIST("rm", "-rf", "--", folder), NULL);
    outcome_clear(&outcome);
    free(folder);
}

void assert_same_text(const char *expected, const char *got, const char *what)
{
    if (strcmp(expected, got) == 0)
        return;
    size_t same = 0;
    while (expected[same] && expected[same] == got[same])
        same++;
    while (same > 0 && expected[same - 1] != '\n')
        same--;
    cr_assert(false, "%s differs, from here on:\nexpected: %.400s\ngot:      %.400s", what, expected + same,
              got + same);
}
