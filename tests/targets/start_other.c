/* SPDX-License-Identifier: MIT
 *
 * Allocates, then starts another program: by fork and exec, by posix_spawn, or in its own place. Also compiled for musl.
 *
 * usage: start_other run|spawn|exec PROGRAM */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    char *const command[] = {argc > 2 ? argv[2] : NULL, NULL};
    pid_t child = 0;
    int status = 0;

    if (argc < 3)
        return 2;
    for (size_t i = 0; i < 1000; i++)
        free(memset(malloc(i + 1), 1, i + 1));
    puts("allocated");
    fflush(stdout);
    if (strcmp(argv[1], "exec") == 0)
        return execv(command[0], command);
    if (strcmp(argv[1], "spawn") == 0) {
        if (posix_spawn(&child, command[0], NULL, NULL, command, environ) != 0)
            return 3;
    } else if ((child = fork()) == 0) {
        execv(command[0], command);
        _exit(4);
    }
    waitpid(child, &status, 0);
    printf("ended with %d\n", status);
    return 0;
}
