/* SPDX-License-Identifier: MIT
 *
 * Allocates where there is little stack (argument 1 says where): what the C library's own malloc has room for, a program may do.
 * Argument 2: forks there, too ("fork"), or ends there ("exit"). Says what it has kept, as kept.h has it. */
#include "kept.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

#define CONTEXT_BYTES 8192u

static bool forks_there, ends_there;

static void allocate(void)
{
    int status;
    pid_t pid = forks_there ? fork() : -1;

    for (size_t i = 0; i < 300; i++)
        free(use(realloc(use(calloc(1, i)), i * 3 + 1)));
    keep(5, 50);
    tell(5, 50);
    if (ends_there)
        exit(3);
    if (pid == 0)
        exit(0);
    if (pid > 0)
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* ---- the smallest thread ---- */

static void *work(void *unused)
{
    allocate();
    return unused;
}

static void in_thread(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
    CHECK(pthread_create(&thread, &attributes, work, NULL) == 0);
    pthread_join(thread, NULL);
}

/* ---- coroutines ---- */

static ucontext_t outside, inside;

static void *guarded(size_t bytes)
{
    char *base = mmap(NULL, bytes + 2 * 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(base != MAP_FAILED && mprotect(base + 65536, bytes, PROT_READ | PROT_WRITE) == 0);
    return base + 65536;
}

static void in_context(void)
{
    CHECK(getcontext(&inside) == 0);
    inside.uc_stack.ss_sp = guarded(CONTEXT_BYTES);
    inside.uc_stack.ss_size = CONTEXT_BYTES;
    inside.uc_link = &outside;
    makecontext(&inside, allocate, 0);
    CHECK(swapcontext(&outside, &inside) == 0);
}

/* ---- a signal handler ---- */

static void on_signal(int number)
{
    (void)number;
    allocate();
}

/* The kernel's frame on it, and as much as the smallest thread has. */
static void in_handler(void)
{
    size_t size = (size_t)sysconf(_SC_MINSIGSTKSZ) + CONTEXT_BYTES;
    stack_t stack = {.ss_sp = guarded((size + 4095) & ~4095UL), .ss_size = size};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

    CHECK(sigaltstack(&stack, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    raise(SIGUSR1);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";

    forks_there = argc > 2 && strcmp(argv[2], "fork") == 0;
    ends_there = argc > 2 && strcmp(argv[2], "exit") == 0;
    if (strcmp(how, "thread") == 0)
        in_thread();
    else if (strcmp(how, "context") == 0)
        in_context();
    else if (strcmp(how, "handler") == 0)
        in_handler();
    else
        allocate();
    return 0;
}
