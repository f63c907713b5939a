/* SPDX-License-Identifier: MIT
 *
 * Starts the program named by its first argument in all the ways there are: posix_spawn, vfork, system, popen; and one
 * that does not exist. */
#include "target.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static void print_status(const char *how, int status)
{
    printf("%s: %x\n", how, status);
    fflush(stdout);
}

static void by_spawn(char **argv)
{
    pid_t pid = 0;
    int status = 0;
    if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) == 0)
        waitpid(pid, &status, 0);
    print_status("posix_spawn", status);
}

static void by_vfork(char **argv)
{
    int status = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    print_status("vfork", status);
}

static void by_popen(const char *command)
{
    char line[200];
    FILE *in = popen(command, "r");
    while (in && fgets(line, sizeof(line), in))
        printf("popen read: %s", line);
    print_status("popen", in ? pclose(in) : -1);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    lose(2, 22);
    by_spawn(argv + 1);
    by_vfork(argv + 1);
    print_status("system", system(argv[1]));
    by_popen(argv[1]);
    by_spawn((char *[]){"/nonexistent/program", NULL});
    by_vfork((char *[]){"/nonexistent/program", NULL});
    return 0;
}
