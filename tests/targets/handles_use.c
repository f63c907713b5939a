/* SPDX-License-Identifier: MIT
 *
 * Memory handles, used well and badly: handles_use CASE. Every case checks the results itself and ends with 0 when they are
 * what the header says, under memshim and without. */
#include "memshim/handles.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static memshim_handle make(const char *what, int64_t size, unsigned flags)
{
    memshim_handle handle = 0;

    EXPECT(memshim_handle_new(what, size, flags, &handle), 0);
    EXPECT(handle != 0, 1);
    return handle;
}

static char *lock(memshim_handle handle)
{
    void *p = NULL;

    EXPECT(memshim_handle_lock(handle, &p), 0);
    EXPECT((uintptr_t)p % 16, 0);
    return p;
}

static void good(void)
{
    struct memshim_handle_stats stats;
    memshim_handle handle = make("MyBuffer", 1024, MEMSHIM_HANDLE_CLEAR);
    uint64_t size;

    EXPECT(memshim_handle_size(handle, &size), 0);
    EXPECT(size, 1024);
    char *p = lock(handle);
    for (int i = 0; i < 1024; i++)
        EXPECT(p[i], 0);
    strcpy(p, "kept");
    EXPECT(lock(handle) == p, 1);
    EXPECT(memshim_handle_unlock(handle), 0);
    EXPECT(memshim_handle_unlock(handle), 0);
    EXPECT(memshim_handle_resize("Resize to 2KB", 2048, handle), 0);
    EXPECT(strcmp(lock(handle), "kept"), 0);
    EXPECT(memshim_handle_unlock(handle), 0);
    EXPECT(memshim_handle_resize(NULL, 0, handle), 0);
    EXPECT(memshim_handle_resize(NULL, 16, handle), 0);
    memshim_handle other = make(NULL, 84, MEMSHIM_HANDLE_NONE);
    EXPECT(memshim_handle_stats(&stats), 0);
    EXPECT(stats.handle_count, 2);
    EXPECT(stats.total_size, 100);
    EXPECT(memshim_handle_free(handle), 0);
    EXPECT(memshim_handle_free(other), 0);
    EXPECT(memshim_handle_stats(&stats), 0);
    EXPECT(stats.handle_count + stats.total_size, 0);
}

static void arguments(void)
{
    memshim_handle handle = 7;
    void *p;

    EXPECT(memshim_handle_new("Nothing", 0, 0, &handle), -EINVAL);
    EXPECT(memshim_handle_new("Less", -1, 0, &handle), -EINVAL);
    EXPECT(memshim_handle_new("Hidden", -1, MEMSHIM_HANDLE_QUIET, &handle), -EINVAL);
    EXPECT(memshim_handle_new("Flags", 1, 8, &handle), -EINVAL);
    EXPECT(memshim_handle_new("Huge", INT64_MAX, 0, &handle), -ENOMEM);
    EXPECT(handle, 7);
    EXPECT(memshim_handle_free(0), -EINVAL);
    EXPECT(memshim_handle_lock(0, &p), -EINVAL);
    EXPECT(memshim_handle_free(0x1234), -EBADF);
    EXPECT(memshim_handle_unlock(UINT64_MAX), -EBADF);
}

static void freed(void)
{
    memshim_handle handle = make("Gone", 32, 0), again;
    uint64_t size;

    EXPECT(memshim_handle_free(handle), 0);
    EXPECT(memshim_handle_free(handle), -ENOENT);
    EXPECT(memshim_handle_size(handle, &size), -ENOENT);
    again = make("Again", 32, 0);
    EXPECT(again != handle, 1);
    EXPECT(memshim_handle_free(handle), -ENOENT);
    EXPECT(memshim_handle_free(again), 0);
}

static void locked(void)
{
    memshim_handle handle = make("Busy", 32, 0);

    EXPECT(memshim_handle_unlock(handle), -EPERM);
    lock(handle);
    EXPECT(memshim_handle_resize("Grow", 64, handle), -EBUSY);
    EXPECT(memshim_handle_free(handle), -EBUSY);
    EXPECT(memshim_handle_unlock(handle), 0);
    EXPECT(memshim_handle_resize("Less", -1, handle), -EINVAL);
    EXPECT(memshim_handle_unlock(handle), -EPERM);
    EXPECT(memshim_handle_free(handle), 0);
}

static void stray(void)
{
    memshim_handle handle = make("Stray", 40, 0);
    char *p = lock(handle);

    p[40] = 1;
    EXPECT(memshim_handle_unlock(handle), 0);
    p = lock(handle);
    p[-1] = 1;
    EXPECT(memshim_handle_unlock(handle), 0);
    p[3] = 77; /* not locked any more */
    p = lock(handle);
    EXPECT(memshim_handle_unlock(handle), 0);
    EXPECT(memshim_handle_resize("Moved", 80, handle), 0);
    memshim_handle other = make("Other", 8, 0);
    if (getenv("LD_PRELOAD"))
        p[5] = 1; /* where it was before; freed memory where nobody watches */
    EXPECT(memshim_handle_free(handle), 0);
    EXPECT(memshim_handle_free(other), 0);
}

static void lost(void)
{
    memshim_handle handle = make("Texture", 1000, 0);

    make("Texture", 1000, 0);
    lock(make("Frame", 64, 0));
    EXPECT(memshim_handle_free(handle), 0);
}

/* While reporting is off nothing is told, but what is freed is freed. */
static void unreported(void)
{
    memshim_handle before = make("Before", 10, 0);

    EXPECT(memshim_handle_reporting(0), 1);
    EXPECT(memshim_handle_free(0x1234), -EBADF);
    make("Unseen", 20, 0);
    EXPECT(memshim_handle_free(before), 0);
    EXPECT(memshim_handle_reporting(1), 0);
    make("Seen", 30, 0);
}

static void *churn(void *argument)
{
    for (int i = 0; i < 2000; i++) {
        memshim_handle handle = make("Churn", 1 + i % 100, MEMSHIM_HANDLE_CLEAR);
        memset(lock(handle), 1, 1 + (size_t)i % 100);
        EXPECT(memshim_handle_unlock(handle), 0);
        EXPECT(memshim_handle_resize("Churned", i % 50, handle), 0);
        EXPECT(memshim_handle_free(handle), 0);
    }
    return argument;
}

static void threads(void)
{
    pthread_t threads[4];
    struct memshim_handle_stats stats;

    for (int i = 0; i < 4; i++)
        EXPECT(pthread_create(&threads[i], NULL, churn, NULL), 0);
    for (int i = 0; i < 4; i++)
        EXPECT(pthread_join(threads[i], NULL), 0);
    EXPECT(memshim_handle_stats(&stats), 0);
    EXPECT(stats.handle_count, 0);
}

/* A child has its parent's handles, and frees them for itself. */
static void forked(void)
{
    memshim_handle handle = make("Inherited", 10, 0);
    int status;
    pid_t child = fork();

    if (child == 0) {
        EXPECT(memshim_handle_free(handle), 0);
        make("Child's", 5, 0);
        exit(0);
    }
    EXPECT(waitpid(child, &status, 0), child);
    EXPECT(status, 0);
    EXPECT(memshim_handle_free(handle), 0);
}

static void killed(void)
{
    lock(make("Held", 99, 0));
    kill(getpid(), 9);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } cases[] = {{"good", good},     {"arguments", arguments}, {"freed", freed},           {"locked", locked},
                 {"stray", stray},   {"lost", lost},           {"unreported", unreported}, {"threads", threads},
                 {"forked", forked}, {"killed", killed}};

    for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].function();
            return 0;
        }
    }
    return 2;
}
