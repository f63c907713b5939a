/* SPDX-License-Identifier: MIT
 *
 * Loses 10 blocks of 100 bytes and ends in the way that the argument says. */
#include "target.h"

#include <signal.h>
#include <sys/syscall.h>

static void end(const char *how)
{
    if (strcmp(how, "exit") == 0)
        exit(3);
    if (strcmp(how, "_exit") == 0)
        _exit(4);
    if (strcmp(how, "_Exit") == 0)
        _Exit(5);
    if (strcmp(how, "quick_exit") == 0)
        quick_exit(6);
    if (strcmp(how, "syscall") == 0)
        syscall(SYS_exit_group, 7);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "segv") == 0)
        *(volatile int *)use(NULL) = 1;
    if (strcmp(how, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(how, "term") == 0)
        raise(SIGTERM);
}

int main(int argc, char **argv)
{
    lose(10, 100);
    printf("lost 10 blocks of 100 bytes\n");
    fflush(stdout);
    if (argc > 1)
        end(argv[1]);
    return 0;
}
