/* SPDX-License-Identifier: MIT
 *
 * A process that loses 3 blocks and forks: the first child frees a block of its parent, loses 5 and ends with exit; the
 * second loses 7 and ends with _exit; the third forks a grandchild that loses 9 and is killed. */
#include "target.h"

#include <signal.h>
#include <sys/wait.h>

static void *parents_block;

VISIBLE static void first(void)
{
    free(parents_block);
    lose(5, 50);
    exit(0);
}

VISIBLE static void second(void)
{
    lose(7, 70);
    _exit(2);
}

VISIBLE static void grandchild(void)
{
    lose(9, 90);
    kill(getpid(), SIGKILL);
}

VISIBLE static void third(void)
{
    if (fork() == 0)
        grandchild();
    int status = 0;
    wait(&status);
    exit(WIFSIGNALED(status) ? WTERMSIG(status) : 99);
}

static void run(void (*child)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        child();
    int status = 0;
    waitpid(pid, &status, 0);
    printf("child ended: %x\n", status);
}

int main(void)
{
    lose(3, 30);
    parents_block = use(malloc(1234));
    run(first);
    run(second);
    run(third);
    free(parents_block);
    return 0;
}
