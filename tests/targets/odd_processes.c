/* SPDX-License-Identifier: MIT
 *
 * Makes processes past the C library's fork (argument 1 says how). Each that has memory of its own says what it kept, as kept.h
 * has it. */
#include "kept.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void child(void)
{
    for (size_t i = 0; i < 1000; i++)
        free(use(malloc(i)));
    keep(4, 44);
}

static pid_t raw_fork(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0) {
        child();
        tell(4, 44);
        _exit(5);
    }
    return pid;
}

static pid_t raw_clone3(void)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));

    if (pid == 0) {
        child();
        tell(4, 44);
        syscall(SYS_exit_group, 5);
    }
    return pid;
}

/* What a vfork child allocates is in its parent's memory: it is freed there. */
static void *volatile borrowed[100];

static void vfork_child(void)
{
    for (int i = 0; i < 100; i++)
        borrowed[i] = malloc(40);
    for (int i = 0; i < 50; i++)
        free(borrowed[i]);
}

static pid_t by_vfork(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        vfork_child();
        _exit(5);
    }
    for (int i = 50; i < 100; i++)
        free(borrowed[i]);
    return pid;
}

static int entry(void *unused)
{
    (void)unused;
    vfork_child();
    return 5;
}

static pid_t by_clone(void)
{
    char *stack = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid = clone(entry, stack + (1 << 16), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);

    for (int i = 50; i < 100; i++)
        free(borrowed[i]);
    return pid;
}

/* A thread of another process id's leader is not waited for. */
static pid_t by_exec_without_arguments(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        char *none[] = {NULL};
        execve("/bin/true", none, none);
        _exit(6);
    }
    return pid;
}

static const struct {
    const char *name;
    pid_t (*start)(void);
} ways[] = {
    {"raw", raw_fork},
    {"clone3", raw_clone3},
    {"vfork", by_vfork},
    {"clone", by_clone},
    {"nothing", by_exec_without_arguments},
};

int main(int argc, char **argv)
{
    int status = 0;

    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        if (argc > 1 && strcmp(argv[1], ways[i].name) == 0)
            waitpid(ways[i].start(), &status, 0);
    }
    keep(3, 33);
    tell(3, 33);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}
