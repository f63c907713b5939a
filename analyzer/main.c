/* SPDX-License-Identifier: MIT
 *
 * memshim: the table of commands, help and version. */
#include "command.h"

#include <fcntl.h>
#include <string.h>

#ifndef MEMSHIM_ZSTD
#define MEMSHIM_ZSTD ""
#endif
#ifndef MEMSHIM_FEATURES
#define MEMSHIM_FEATURES "+libunwind +libdw +debuginfod" MEMSHIM_ZSTD
#endif

static const struct command *const commands[] = {&command_run,   &command_report, &command_gate,     &command_diff,
                                                 &command_merge, &command_export, &command_snapshot, &command_info};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static void print_help(FILE *out)
{
    fputs("usage: memshim COMMAND [options] ...\n"
          "\n"
          "Finds memory leaks and memory errors in Python programs, their C extensions, and other programs.\n"
          "\n"
          "commands:\n",
          out);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n"
          "memshim COMMAND --help says more about each. Begin with:\n"
          "  memshim run python3 app.py\n",
          out);
}

static int unknown_command(const char *name)
{
    command_error("unknown command \"%s\" (see memshim --help)", name);
    return EXIT_USAGE;
}

static int help(const char *name)
{
    const struct command *command = name ? find_command(name) : NULL;
    if (name && !command)
        return unknown_command(name);
    if (command)
        command->help(stdout);
    else
        print_help(stdout);
    return EXIT_DONE;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        command_error("no command given (see memshim --help)");
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(NULL);
    if (strcmp(name, "help") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        puts("memshim " MEMSHIM_VERSION "\n" MEMSHIM_FEATURES);
        return EXIT_DONE;
    }
    if (name[0] == '-') {
        command_error("unknown option \"%s\" (see memshim --help)", name);
        return EXIT_USAGE;
    }
    const struct command *command = find_command(name);
    if (!command)
        return unknown_command(name);
    opterr = 0;
    return command->run(argc - 1, argv + 1);
}

/* A standard descriptor that is closed would be taken by the next file opened, and error lines would end up in a report.
 * The stand-ins close again when COMMAND is executed. */
static void occupy_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    occupy_standard_descriptors();
    int code = dispatch(argc, argv);
    int r = stream_flush(stdout);
    if (r < 0 && code == EXIT_DONE) {
        command_failed("standard output", r);
        code = EXIT_TROUBLE;
    }
    return code;
}
