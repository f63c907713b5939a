/* SPDX-License-Identifier: MIT
 *
 * Bad accesses that blocks against inaccessible pages find (guard_pages=1), named by the first argument. The second says how
 * the program handles SIGSEGV: "default", "exit" (a handler that ends it with status 3), "small" (the same on a small
 * alternate stack), "recover" (a handler that jumps back; the program ends with 0), "reset" (one that lets the signal kill), "blocked" (it blocks the signal),
 * "blocked-exit" (and has a handler, which the kernel does not run then). */
#include "target.h"

#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS 64 /* at one end of their pages or the other, at random */

static volatile char sink;
static char *volatile expected;
static sigjmp_buf back;

VISIBLE static char *make_block(size_t size)
{
    char *block = malloc(size);
    return block;
}

VISIBLE static void drop_block(void *p)
{
    free(p);
    NO_TAIL_CALL();
}

/* Makes sure that the handler is told the address. */
VISIBLE static void look_at(const char *p, long offset)
{
    expected = (char *)p + offset;
    sink = p[offset];
    NO_TAIL_CALL();
}

VISIBLE static void change(char *p, long offset)
{
    expected = p + offset;
    p[offset] = 'x';
    NO_TAIL_CALL();
}

static void overflow_read(void)
{
    for (int i = 0; i < BLOCKS; i++)
        look_at(make_block(64), 64 + 5);
}

static void underflow_read(void)
{
    for (int i = 0; i < BLOCKS; i++)
        look_at(make_block(64), -3);
}

static void use_after_free_read(void)
{
    char *p = make_block(40);
    drop_block(p);
    look_at(p, 7);
}

static void overflow_write(void)
{
    for (int i = 0; i < BLOCKS; i++)
        change(make_block(64), 64);
}

static void use_after_free_write(void)
{
    char *p = make_block(40);
    drop_block(p);
    change(p, 7);
}

static void slack(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        char *p = make_block(60);
        p[62] = 'x';
        drop_block(p);
    }
}

static void double_free(void)
{
    char *p = make_block(40);
    drop_block(p);
    drop_block(p);
}

static void free_inside(void)
{
    char *p = make_block(100);
    drop_block(p + 48);
    drop_block(p);
}

static void sent(void)
{
    expected = NULL;
    raise(SIGSEGV);
}

static void null_pointer(void)
{
    change(NULL, 16);
}

/* Everything right: contents, sizes, alignment. More blocks than there is room for. */
static void clean(void)
{
    static char *blocks[3000];

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3000; i++) {
            size_t size = (size_t)(i * 7 % 5000);
            blocks[i] = i % 5 == 0 ? calloc(1, size) : i % 5 == 1 ? memalign(256, size) : malloc(size);
            if (malloc_usable_size(blocks[i]) < size || (i % 5 == 1 && (size_t)blocks[i] % 256))
                _exit(4);
            for (size_t k = 0; i % 5 == 0 && k < size; k++)
                if (blocks[i][k])
                    _exit(5);
            memset(blocks[i], i, size);
        }
        for (int i = 0; i < 3000; i++) {
            size_t size = (size_t)(i * 7 % 5000), more = size + 100;
            blocks[i] = realloc(blocks[i], more);
            for (size_t k = 0; k < size; k++)
                if (blocks[i][k] != (char)i)
                    _exit(6);
            memset(blocks[i], i, more);
            free(blocks[i]);
        }
    }
}

/* ---- the program's own handling ---- */

static void on_fault(int number, siginfo_t *info, void *context)
{
    sigset_t mask;

    (void)context;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    if (number != SIGSEGV || info->si_addr != expected || !sigismember(&mask, SIGSEGV) ||
        !sigismember(&mask, SIGUSR1) || sigismember(&mask, SIGUSR2))
        _exit(9);
    _exit(3);
}

static void recover(int number)
{
    (void)number;
    siglongjmp(back, 1);
}

static void reset(int number)
{
    signal(number, SIG_DFL);
}

static void set_exit(int flags)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | flags}, seen;

    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR1);
    if (sigaction(SIGSEGV, NULL, &seen) || seen.sa_handler != SIG_DFL)
        _exit(7);
    sigaction(SIGSEGV, &action, NULL);
    if (sigaction(SIGSEGV, NULL, &seen) || seen.sa_sigaction != on_fault || !(seen.sa_flags & SA_SIGINFO))
        _exit(8);
}

/* And sees that it is blocked, and not what is not. */
static void block(void)
{
    sigset_t set, seen;

    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigaddset(&set, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &set, &seen) || sigismember(&seen, SIGSEGV) || sigprocmask(SIG_BLOCK, NULL, &seen) ||
        !sigismember(&seen, SIGSEGV) || !sigismember(&seen, SIGUSR1) || sigismember(&seen, SIGUSR2) ||
        sigprocmask(SIG_UNBLOCK, &set, NULL) || sigprocmask(SIG_BLOCK, NULL, &seen) || sigismember(&seen, SIGSEGV) ||
        sigprocmask(SIG_SETMASK, &set, &seen) || sigismember(&seen, SIGUSR1) || sigprocmask(99, &set, NULL) != -1)
        _exit(10);
}

static void handle(const char *how)
{
    static char small[8192];
    stack_t stack = {.ss_sp = small, .ss_size = sizeof(small)};

    if (strcmp(how, "exit") == 0) {
        set_exit(0);
    } else if (strcmp(how, "small") == 0) {
        sigaltstack(&stack, NULL);
        set_exit(SA_ONSTACK);
    } else if (strcmp(how, "blocked") == 0) {
        block();
    } else if (strcmp(how, "blocked-exit") == 0) {
        set_exit(0);
        block();
    } else if (strcmp(how, "recover") == 0) {
        signal(SIGSEGV, recover);
    } else if (strcmp(how, "reset") == 0) {
        if (signal(SIGSEGV, reset) != SIG_DFL || signal(SIGSEGV, reset) != reset)
            _exit(7);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"overflow-read", overflow_read},
    {"underflow-read", underflow_read},
    {"use-after-free-read", use_after_free_read},
    {"overflow-write", overflow_write},
    {"use-after-free-write", use_after_free_write},
    {"slack", slack},
    {"double-free", double_free},
    {"free-inside", free_inside},
    {"sent", sent},
    {"null-pointer", null_pointer},
    {"clean", clean},
};

int main(int argc, char **argv)
{
    handle(argc > 2 ? argv[2] : "default");
    if (sigsetjmp(back, 1))
        return 0;
    for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return 2;
}
