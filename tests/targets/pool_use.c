/* SPDX-License-Identifier: MIT
 *
 * Shared pools between processes: pool_use CASE [NAME [ROUNDS]]. Every case checks the results itself and ends with 0 when they
 * are what the header says, under memshim and without. */
#include "memshim/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPECT(expression, value) \
    do { \
        long long got_ = (long long)(expression); \
        if (got_ != (long long)(value)) { \
            printf("%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #expression, got_, (long long)(value)); \
            exit(1); \
        } \
    } while (0)

#define SIZE ((uint64_t)256 << 10)

static const char *name;
static int rounds = 1;

static memshim_pool *create(uint64_t size)
{
    memshim_pool *pool = NULL;

    EXPECT(memshim_pool_create(size, name, 1, &pool), 0);
    return pool;
}

static struct memshim_allocation take(memshim_pool *pool, uint64_t size)
{
    struct memshim_allocation allocation;

    EXPECT(memshim_pool_alloc(pool, size, MEMSHIM_POOL_DATA, 0, &allocation), 0);
    return allocation;
}

static char *bytes_of(memshim_pool *pool, const struct memshim_allocation *allocation)
{
    void *p = NULL;

    EXPECT(memshim_pool_memory(pool, allocation, &p), 0);
    return p;
}

static void wait_for(pid_t child, int wanted)
{
    int status;

    EXPECT(waitpid(child, &status, 0), child);
    EXPECT(status, wanted);
}

/* A process of its own: nothing is inherited. */
static pid_t start(const char *what, int input)
{
    pid_t child = fork();

    if (child == 0) {
        dup2(input, 0);
        execl("/proc/self/exe", "pool_use", what, name, NULL);
        _exit(127);
    }
    return child;
}

static void read_all(void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = read(0, (char *)bytes + at, size - at);
        EXPECT(got > 0, 1);
        at += (size_t)got;
    }
}

/* ---- one process hands an allocation to another ---- */

static void good(void)
{
    memshim_pool *pool = create(SIZE);
    struct memshim_allocation allocation = take(pool, 1000);
    uint8_t serialized[MEMSHIM_ALLOCATION_SERIALIZED];
    int ends[2];

    EXPECT(pipe(ends), 0);
    strcpy(bytes_of(pool, &allocation), "from the parent");
    EXPECT(memshim_allocation_serialize(pool, &allocation, serialized), 0);
    pid_t child = start("receive", ends[0]);
    EXPECT(write(ends[1], serialized, sizeof(serialized)), sizeof(serialized));
    wait_for(child, 0);
    EXPECT(memshim_pool_free(pool, &allocation), -ENOENT);
    EXPECT(memshim_pool_check(pool), 0);
    EXPECT(memshim_pool_destroy(pool), 0);
}

static void receive(void)
{
    uint8_t serialized[MEMSHIM_ALLOCATION_SERIALIZED];
    struct memshim_allocation allocation;
    memshim_pool *pool;

    read_all(serialized, sizeof(serialized));
    EXPECT(memshim_allocation_attach(serialized, sizeof(serialized), &pool, &allocation), 0);
    EXPECT(strcmp(bytes_of(pool, &allocation), "from the parent"), 0);
    EXPECT(memshim_pool_free(pool, &allocation), 0);
    EXPECT(memshim_pool_detach(pool), 0);
}

/* ---- waiting ---- */

struct waiter {
    memshim_pool *pool;
    struct memshim_allocation got;
    int result;
};

static void *wait_for_memory(void *argument)
{
    struct waiter *waiter = argument;

    waiter->result = memshim_pool_alloc_blocking(waiter->pool, SIZE, 1, 0, MEMSHIM_POOL_FOREVER, &waiter->got);
    return NULL;
}

static void blocking(void)
{
    memshim_pool *pool = create(SIZE);
    struct waiter waiter = {.pool = pool};
    struct memshim_allocation all = take(pool, SIZE), other;
    pthread_t thread;

    EXPECT(memshim_pool_alloc_blocking(pool, 1, 1, 0, 1000000, &other), -ETIMEDOUT);
    EXPECT(pthread_create(&thread, NULL, wait_for_memory, &waiter), 0);
    EXPECT(memshim_pool_free(pool, &all), 0);
    EXPECT(pthread_join(thread, NULL), 0);
    EXPECT(waiter.result, 0);
    EXPECT(pthread_create(&thread, NULL, wait_for_memory, &waiter), 0);
    EXPECT(memshim_pool_destroy(pool), 0); /* whoever waits, or comes too late, is told */
    EXPECT(pthread_join(thread, NULL), 0);
    EXPECT(waiter.result == -EIDRM || waiter.result == -EBADF, 1);
}

/* ---- lost ---- */

static void lose_and_die(memshim_pool *pool)
{
    take(pool, 500);
    kill(getpid(), SIGKILL);
}

/* Two allocations of this process, one of a killed one, and a pool that is destroyed. */
static void lost(void)
{
    memshim_pool *pool = create(SIZE);
    pid_t child;

    take(pool, 100);
    struct memshim_allocation freed = take(pool, 200);
    EXPECT(memshim_pool_free(pool, &freed), 0);
    EXPECT(memshim_pool_free(pool, &freed), -ENOENT);
    child = fork();
    if (child == 0)
        lose_and_die(pool);
    wait_for(child, SIGKILL);
    printf("%d\n", (int)child);
    EXPECT(memshim_pool_destroy(pool), 0);
}

/* The pool is left attached, and nobody removes it. */
static void attached(void)
{
    take(create(SIZE), 300);
}

static void killed(void)
{
    take(create(SIZE), 400);
    kill(getpid(), SIGKILL);
}

static void removed(void)
{
    shm_unlink(name);
}

/* ---- SIGKILL at any moment ---- */

#define LIVE_MAX 64

/* What the child says it has: written before and after each step, so that at most the one of `doing` is in doubt. */
struct said {
    volatile int steps, doing;
    volatile uint64_t ids[LIVE_MAX];
};

static void work(memshim_pool *pool, struct said *said, unsigned seed)
{
    struct memshim_allocation allocations[LIVE_MAX];

    for (;;) {
        seed = seed * 1103515245u + 12345u;
        int i = (int)(seed >> 16 & (LIVE_MAX - 1));
        said->doing = i;
        if (said->ids[i]) {
            EXPECT(memshim_pool_free(pool, &allocations[i]), 0);
            said->ids[i] = 0;
        } else if (memshim_pool_alloc(pool, 1 + (seed >> 8) % 3000, 2, 0, &allocations[i]) == 0) {
            memset(bytes_of(pool, &allocations[i]), i, allocations[i].size);
            said->ids[i] = allocations[i].id;
        }
        said->steps = said->steps + 1;
    }
}

/* What is in the manifest is what the child has said, but for the one step that it was in. Frees
 * it all. */
static void settle(memshim_pool *pool, const struct said *said)
{
    struct memshim_allocation listed[LIVE_MAX + 1];
    size_t count = sizeof(listed) / sizeof(listed[0]);
    int known = 0, fresh = 0, said_count = 0, doubtful = said->ids[said->doing] != 0;

    EXPECT(memshim_pool_check(pool), 0);
    EXPECT(memshim_pool_allocations(pool, listed, &count), 0);
    for (int i = 0; i < LIVE_MAX; i++)
        said_count += said->ids[i] != 0;
    for (size_t n = 0; n < count; n++) {
        int is_known = 0;
        for (int i = 0; i < LIVE_MAX; i++)
            is_known |= said->ids[i] == listed[n].id;
        known += is_known;
        fresh += !is_known;
        EXPECT(memshim_pool_free(pool, &listed[n]), 0);
    }
    EXPECT(fresh <= 1, 1);
    EXPECT(known == said_count || (doubtful && known == said_count - 1), 1);
    EXPECT(memshim_pool_check(pool), 0);
}

static struct said *shared_words(void)
{
    void *p = mmap(NULL, sizeof(struct said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(p != MAP_FAILED, 1);
    return p;
}

/* One side is killed again and again; the other goes on. The last one's allocations stay. */
static void kill_loop(void)
{
    memshim_pool *pool = create(SIZE);
    struct said *said = shared_words();
    struct memshim_pool_stats stats;
    unsigned seed = 1;

    for (int round = 0; round < rounds; round++) {
        memset((void *)said, 0, sizeof(*said));
        pid_t child = fork();
        if (child == 0)
            work(pool, said, (unsigned)round);
        seed = seed * 1103515245u + 12345u;
        int steps = (int)(seed >> 16) % 200;
        while (said->steps < steps && waitpid(child, NULL, WNOHANG) == 0) {
            struct memshim_allocation mine;
            if (memshim_pool_alloc(pool, 64, 1, 0, &mine) == 0)
                EXPECT(memshim_pool_free(pool, &mine), 0);
        }
        EXPECT(kill(child, SIGKILL), 0);
        wait_for(child, SIGKILL);
        if (round < rounds - 1)
            settle(pool, said);
    }
    EXPECT(memshim_pool_check(pool), 0);
    EXPECT(memshim_pool_stats(pool, &stats), 0);
    printf("%llu left\n", (unsigned long long)stats.allocations);
    EXPECT(memshim_pool_destroy(pool), 0);
}

/* Killed after each number of instructions of an allocation and a free: no moment is left out. */
static int step(pid_t child, long instructions)
{
    int status;

    for (long i = 0; i < instructions; i++) {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0 || waitpid(child, &status, 0) != child)
            return -1;
        if (!WIFSTOPPED(status))
            return 1;
    }
    return 0;
}

static void stepped_child(memshim_pool *pool)
{
    struct memshim_allocation allocation;

    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    EXPECT(memshim_pool_alloc(pool, 1000, 2, 0, &allocation), 0);
    EXPECT(memshim_pool_free(pool, &allocation), 0);
    _exit(0);
}

static void kill_steps(void)
{
    memshim_pool *pool = create(SIZE);
    struct memshim_allocation around[4];
    struct memshim_pool_stats stats;
    int status, ended = 0;
    long instructions = 0, recovered = 0;

    for (int i = 0; i < 4; i++)
        around[i] = take(pool, 1000);
    EXPECT(memshim_pool_free(pool, &around[1]), 0); /* a hole that fits, so that nothing is split, or not */
    while (!ended) {
        pid_t child = fork();
        if (child == 0)
            stepped_child(pool);
        EXPECT(waitpid(child, &status, 0), child);
        if (!WIFSTOPPED(status)) {
            printf("no ptrace here\n");
            break;
        }
        ended = step(child, instructions);
        if (ended < 0) {
            printf("no ptrace here\n");
            kill(child, SIGKILL);
            break;
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        EXPECT(memshim_pool_check(pool), 0);
        EXPECT(memshim_pool_stats(pool, &stats), 0);
        EXPECT(stats.allocations == 3 || stats.allocations == 4, 1);
        if (stats.allocations == 4) {
            struct memshim_allocation listed[4];
            size_t count = 4;
            EXPECT(memshim_pool_allocations(pool, listed, &count), 0);
            for (size_t n = 0; n < count; n++)
                if (listed[n].type == 2)
                    EXPECT(memshim_pool_free(pool, &listed[n]), 0);
        }
        recovered = stats.recoveries;
        instructions += rounds;
    }
    printf("%ld instructions, %ld recoveries\n", instructions, recovered);
    for (int i = 0; i < 4; i++)
        if (i != 1)
            EXPECT(memshim_pool_free(pool, &around[i]), 0);
    EXPECT(memshim_pool_destroy(pool), 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } cases[] = {{"good", good},           {"receive", receive},       {"blocking", blocking},
                 {"lost", lost},           {"attached", attached},     {"killed", killed},
                 {"kill_loop", kill_loop}, {"kill_steps", kill_steps}, {"removed", removed}};
    static char own[64];

    snprintf(own, sizeof(own), "memshim-test-%d", (int)getpid());
    name = argc > 2 ? argv[2] : own;
    rounds = argc > 3 ? atoi(argv[3]) : 1;
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].function();
            return 0;
        }
    }
    return 2;
}
