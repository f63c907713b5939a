/* SPDX-License-Identifier: MIT
 *
 * Hooks of the ways into and out of a process image: main, _exit, quick_exit, exec. */
#include "compiler.h"
#include "real.h"
#include "start.h"

#include <errno.h>
#include <stdbool.h>

extern char **environ;

_exported_ int __libc_start_main(int (*main_function)(int, char **, char **), int argc, char **argv, void (*init)(void),
                                 void (*fini)(void), void (*loader_fini)(void), void *stack_end);
_exported_ _Noreturn void _exit(int status);
_exported_ _Noreturn void _Exit(int status);
_exported_ _Noreturn void quick_exit(int status);
_exported_ int execve(const char *path, char *const argv[], char *const environment[]);
_exported_ int execv(const char *path, char *const argv[]);
_exported_ int execvp(const char *file, char *const argv[]);
_exported_ int execvpe(const char *file, char *const argv[], char *const environment[]);
_exported_ int fexecve(int fd, char *const argv[], char *const environment[]);

static int (*program_main)(int, char **, char **);

static int main_hook(int argc, char **argv, char **environment)
{
    start_main_begins();
    return program_main(argc, argv, environment);
}

int __libc_start_main(int (*main_function)(int, char **, char **), int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*loader_fini)(void), void *stack_end)
{
    real_init();
    program_main = main_function;
    return real.__libc_start_main(main_hook, argc, argv, init, fini, loader_fini, stack_end);
}

void _exit(int status)
{
    real_init();
    start_process_ends(status & 0xff);
    real._exit(status);
    __builtin_unreachable();
}

void _Exit(int status)
{
    _exit(status);
}

void quick_exit(int status)
{
    real_init();
    start_quick_status = status & 0xff;
    real.quick_exit(status);
    __builtin_unreachable();
}

/* A failed exec leaves the process as it was. */
#define REPLACE(call) \
    ({ \
        real_init(); \
        start_process_replaced(true); \
        int result_ = (call), error_ = errno; \
        start_process_replaced(false); \
        errno = error_; \
        result_; \
    })

int execve(const char *path, char *const argv[], char *const environment[])
{
    return REPLACE(real.execve(path, argv, environment));
}

int execv(const char *path, char *const argv[])
{
    return REPLACE(real.execve(path, argv, environ));
}

int execvp(const char *file, char *const argv[])
{
    return REPLACE(real.execvpe(file, argv, environ));
}

int execvpe(const char *file, char *const argv[], char *const environment[])
{
    return REPLACE(real.execvpe(file, argv, environment));
}

int fexecve(int fd, char *const argv[], char *const environment[])
{
    return REPLACE(real.fexecve(fd, argv, environment));
}
