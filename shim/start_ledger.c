/* SPDX-License-Identifier: MIT */
#include "start_ledger.h"

#include "compiler.h"
#include "ledger.h"
#include "log.h"
#include "memshim/report.h"
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_KEPT 150u /* of a program's name, which alone may be as long as a file's name can be */
#define DEFAULT_OUTPUT "memshim-%n-%p" MEMSHIM_REPORT_SUFFIX

char start_program[256];
static char folder[LEDGER_PATH_MAX]; /* working folder at the start, where a relative output lies */

static void read_file_name(void)
{
    char path[LEDGER_PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (length < 0) {
        snprintf(start_program, sizeof(start_program), "%s", program_invocation_short_name);
        return;
    }
    path[length] = '\0';
    const char *slash = strrchr(path, '/');
    snprintf(start_program, sizeof(start_program), "%.255s", slash ? slash + 1 : path);
}

/* Writes the report's path for this process: %p, %n, %% replaced, and absolute. Returns false when it is too long. */
static bool expand_output(char *path, size_t size)
{
    const char *pattern = *start_options.output ? start_options.output : DEFAULT_OUTPUT;
    char name[NAME_KEPT + 1];
    size_t used = 0;

    snprintf(name, sizeof(name), "%.*s", (int)NAME_KEPT, start_program);
    if (*pattern != '/')
        used = (size_t)snprintf(path, size, "%s/", folder);
    for (; *pattern && used < size; pattern++) {
        char one[2] = {*pattern, '\0'};
        char pid[16];
        const char *piece = one;
        if (*pattern == '%' && pattern[1]) {
            pattern++;
            snprintf(pid, sizeof(pid), "%d", getpid());
            piece = *pattern == 'p' ? pid : *pattern == 'n' ? name : "%";
            if (*pattern != 'p' && *pattern != 'n' && *pattern != '%')
                pattern--; /* an unknown letter stays as it is */
        }
        used += (size_t)snprintf(path + used, size - used, "%s", piece);
    }
    return used < size;
}

/* Without record_argv only the program's name is kept: arguments hold secrets. */
static void keep_arguments(struct ledger_header *header)
{
    _cleanup_close_ int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, header->argv, sizeof(header->argv) - 1);

    if (length <= 0) {
        length = snprintf(header->argv, sizeof(header->argv), "%s", start_program) + 1;
    } else if (header->argv[length - 1] != '\0') {
        header->argv[length++] = '\0';
    }
    if (!start_options.record_argv)
        length = (ssize_t)strlen(header->argv) + 1;
    header->argv_size = (uint32_t)length;
    for (ssize_t i = 0; i < length; i++)
        header->argc += header->argv[i] == '\0';
    memset(header->argv + length, 0, sizeof(header->argv) - (size_t)length);
}

void start_ledger_init(void)
{
    read_file_name();
    if (!getcwd(folder, sizeof(folder)))
        folder[0] = '\0';
}

int start_ledger_open(bool forked)
{
    char path[LEDGER_PATH_MAX];

    if (!expand_output(path, sizeof(path)))
        return -ENAMETOOLONG;
    int result = ledger_create(path);
    if (result < 0) {
        log_line(0, "cannot keep a ledger for '%s': %s; this process (%d) is not traced", path, strerror(-result),
                 getpid());
        return result;
    }
    struct ledger_header *header = ledger_header;
    memcpy(header->program, start_program, sizeof(header->program));
    options_format(&start_options, header->options, sizeof(header->options));
    keep_arguments(header);
    header->forked = forked;
    header->program_started = !start_phase;
    header->sample = start_options.sample;
    header->leak_check = start_options.leak_check != 0;
    return 0;
}
