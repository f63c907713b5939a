/* SPDX-License-Identifier: MIT
 *
 * Forks (argument 1) times while 8 threads allocate and free as fast as they can. Children allocate, start threads, fork again,
 * and end in every way. Before a process ends it prints in one write
 *
 *     kept PID BLOCKS BYTES     what it has allocated in `keep` and not freed
 *
 * for comparison with its report. The status tells whether every child ended as it should. */
#include "kept.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define THREADS 8

static atomic_bool stop;
static const char *self;

/* One line for each image of a process that execs. */
static void say_image(void)
{
    char line[40];
    int length = snprintf(line, sizeof(line), "image %d\n", getpid());

    if (write(1, line, (size_t)length) != length)
        _exit(99);
}

static void *churn(void *unused)
{
    (void)unused;
    void *blocks[16] = {0};
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        free(blocks[i % 16]);
        blocks[i % 16] = use(i % 3 ? malloc(i % 500) : calloc(1, i % 300));
    }
    for (int i = 0; i < 16; i++)
        free(blocks[i]);
    return NULL;
}

static void *keep_some(void *unused)
{
    (void)unused;
    keep(3, 30);
    return NULL;
}

static void use_threads(void)
{
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, keep_some, NULL))
            _exit(98);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static void fork_again(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        keep(4, 40);
        tell(4, 40);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        _exit(97);
}

/* The ways to end and the status that waitpid gives for each. */
enum { EXIT, UNDERSCORE, QUICK, GROUP, ABORT, SEGV, KILL, TERM, EXEC, WAYS };
static const int statuses[WAYS] = {1 << 8, 2 << 8, 3 << 8, 4 << 8, SIGABRT, SIGSEGV, SIGKILL, SIGTERM, 5 << 8};

_Noreturn static void end(int way)
{
    switch (way) {
    case EXIT:
        exit(1);
    case UNDERSCORE:
        _exit(2);
    case QUICK:
        quick_exit(3);
    case GROUP:
        syscall(SYS_exit_group, 4);
        break;
    case ABORT:
        abort();
    case SEGV:
        *(volatile int *)use(NULL) = 1;
        break;
    case KILL:
        kill(getpid(), SIGKILL);
        break;
    case TERM:
        raise(SIGTERM);
        break;
    case EXEC:
        say_image();
        execl(self, self, "exec", (char *)NULL);
    }
    _exit(96);
}

static void child(int number)
{
    int count = 5;

    for (size_t i = 0; i < 500; i++)
        free(use(malloc(i)));
    keep(count, 30);
    if (number / WAYS % 3 == 1) {
        use_threads();
        count += 9;
    }
    if (number / WAYS % 3 == 2)
        fork_again();
    tell(count, 30);
    end(number % WAYS);
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    int good = 0, forks = argc > 1 ? atoi(argv[1]) : 0;

    self = argv[0];
    if (argc > 1 && strcmp(argv[1], "exec") == 0) {
        say_image();
        keep(6, 60);
        tell(6, 60);
        return 5;
    }
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, churn, NULL))
            return 95;
    for (int i = 0; i < forks; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            child(i);
        waitpid(pid, &status, 0);
        good += (status & ~0x80) == statuses[i % WAYS];
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    keep(7, 70);
    tell(7, 70);
    return good == forks ? 0 : 1;
}
