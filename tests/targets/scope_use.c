/* SPDX-License-Identifier: MIT
 *
 * What pieces of this program leave allocated, measured by the program itself (memshim/scope.h). Ends with 0 when each number is
 * exact; bare, when the names are NULL. */
#include "memshim/memshim.h"
#include "memshim/scope.h"

#include <errno.h>
#include <pthread.h>
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

static struct memshim_scope begin(unsigned flags)
{
    struct memshim_scope scope;
    EXPECT(memshim_scope_begin(&scope, flags), 0);
    return scope;
}

static struct memshim_scope_sum sum_of(const struct memshim_scope *scope)
{
    struct memshim_scope_sum sum;
    size_t count = 0;
    EXPECT(memshim_scope_leaks(scope, NULL, 0, NULL, &count, &sum), 0);
    return sum;
}

static void expect(struct memshim_scope *scope, uint64_t blocks, uint64_t bytes)
{
    EXPECT(memshim_scope_end(scope), 0);
    EXPECT(sum_of(scope).blocks, blocks);
    EXPECT(sum_of(scope).bytes, bytes);
}

static void clean(void)
{
    char *text = malloc(100);
    text = realloc(text, 5000);
    free(text);
    free(strdup("clean"));
}

static char *lose(size_t size)
{
    return malloc(size);
}

static void exact(void)
{
    for (int i = 0; i < 1000; i++) {
        struct memshim_scope scope = begin(MEMSHIM_SCOPE_THREAD);
        clean();
        expect(&scope, 0, 0);
    }
    for (size_t i = 1; i <= 100; i++) {
        struct memshim_scope scope = begin(0), inner;
        char *one = lose(i);
        inner = begin(0);
        char *two = lose(1000);
        expect(&inner, 1, 1000);
        expect(&scope, 2, i + 1000);
        char *after = lose(5); /* not of the scope any more */
        EXPECT(sum_of(&scope).blocks, 2);
        free(one);
        EXPECT(sum_of(&scope).bytes, 1000);
        free(two);
        EXPECT(sum_of(&scope).blocks, 0);
        free(after);
    }
}

/* A block from before that is resized counts as made in the scope; one that is only freed does not. */
static void from_before(void)
{
    char *kept = malloc(10), *freed = malloc(10);
    struct memshim_scope scope = begin(0);

    kept = realloc(kept, 20000);
    free(freed);
    expect(&scope, 1, 20000);
    free(kept);
}

static void stacks(void)
{
    struct memshim_scope_leak leaks[4];
    struct memshim_scope_sum sum;
    const void *except[1];
    size_t count = 4;
    char text[4096];
    struct memshim_scope scope = begin(0);
    char *blocks[3];

    for (volatile int i = 0; i < 3; i++) /* one place that calls */
        blocks[i] = lose(40);
    char *other = strdup("other");
    EXPECT(memshim_scope_end(&scope), 0);
    EXPECT(memshim_scope_leaks(&scope, NULL, 0, leaks, &count, &sum), 0);
    EXPECT(count, 2);
    EXPECT(sum.blocks, 4);
    EXPECT(leaks[0].blocks + leaks[1].blocks, 4);
    const struct memshim_scope_leak *three = &leaks[leaks[0].blocks == 3 ? 0 : 1];
    EXPECT(three->bytes, 120);
    EXPECT(strcmp(three->domain, "malloc"), 0);
    EXPECT(memshim_trace_text(three->trace, text, sizeof(text)) > 0, 1);
    EXPECT(strstr(text, "scope_use") != NULL, 1);
    EXPECT(memshim_trace_text(0, text, sizeof(text)), 0);
    EXPECT(memshim_trace_text(UINT32_MAX, text, sizeof(text)), 0);
    except[0] = other + 2;
    count = 1;
    EXPECT(memshim_scope_leaks(&scope, except, 1, leaks, &count, &sum), 0);
    EXPECT(count, 1);
    EXPECT(sum.blocks, 3);
    for (int i = 0; i < 3; i++)
        free(blocks[i]);
    free(other);
}

/* Only what has the label. */
static void labels(void)
{
    struct memshim_scope scope = begin(0);

    EXPECT(memshim_scope_label(&scope, "mine"), 0);
    char *other = lose(100);
    EXPECT(memshim_label_push("mine"), 0);
    char *mine = lose(10);
    EXPECT(memshim_label_pop(), 0);
    expect(&scope, 1, 10);
    EXPECT(memshim_scope_label(&scope, "yours"), 0);
    EXPECT(sum_of(&scope).blocks, 0);
    EXPECT(memshim_scope_label(&scope, NULL), 0);
    EXPECT(sum_of(&scope).bytes, 110);
    EXPECT(memshim_scope_label(NULL, "mine"), -EINVAL);
    free(other);
    free(mine);
}

static void *lose_in_thread(void *ret)
{
    *(char **)ret = lose(100000);
    return NULL;
}

static void threads(void)
{
    struct memshim_scope own = begin(MEMSHIM_SCOPE_THREAD), all = begin(0);
    pthread_t thread;
    char *theirs, *mine = lose(7);

    EXPECT(pthread_create(&thread, NULL, lose_in_thread, &theirs), 0);
    EXPECT(pthread_join(thread, NULL), 0);
    EXPECT(memshim_scope_end(&all), 0);
    EXPECT(memshim_scope_end(&own), 0);
    EXPECT(sum_of(&own).bytes < 100000, 1); /* the C library's own for the thread, and mine */
    EXPECT(sum_of(&all).bytes - sum_of(&own).bytes, 100000);
    free(mine);
    free(theirs);
}

/* A child has a ledger of its own: the parent's scope says nothing there, and is as it was here. */
static void forked(void)
{
    struct memshim_scope scope = begin(0);
    char *block = lose(30);
    int status;
    pid_t child = fork();

    if (child == 0) {
        EXPECT(memshim_scope_end(&scope), 0);
        EXPECT(sum_of(&scope).blocks, 0);
        scope = begin(0);
        free(lose(10));
        block = lose(10);
        expect(&scope, 1, 10);
        _exit(block == NULL);
    }
    EXPECT(waitpid(child, &status, 0), child);
    EXPECT(status, 0);
    expect(&scope, 1, 30);
    free(block);
}

static void wrong(void)
{
    struct memshim_scope scope = {0};
    struct memshim_scope_sum sum;
    size_t count = 0;

    EXPECT(memshim_scope_begin(NULL, 0), -EINVAL);
    EXPECT(memshim_scope_begin(&scope, 8), -EINVAL);
    EXPECT(memshim_scope_end(&scope), -EINVAL);
    EXPECT(memshim_scope_leaks(&scope, NULL, 0, NULL, &count, &sum), -EINVAL);
    scope = begin(0);
    EXPECT(memshim_scope_leaks(&scope, NULL, 0, NULL, &count, &sum), -EINVAL); /* not ended */
    EXPECT(memshim_scope_end(&scope), 0);
    EXPECT(memshim_scope_leaks(&scope, NULL, 0, NULL, NULL, &sum), -EINVAL);
    count = 1;
    EXPECT(memshim_scope_leaks(&scope, NULL, 0, NULL, &count, &sum), -EINVAL);
}

int main(int argc, char **argv)
{
    struct memshim_scope scope;

    setvbuf(stdout, NULL, _IONBF, 0);
    if (!memshim_is_loaded())
        return memshim_scope_begin != NULL;
    if (argc > 1 && strcmp(argv[1], "sampled") == 0) {
        EXPECT(memshim_scope_begin(&scope, 0), -ENOTSUP);
        return 0;
    }
    exact();
    from_before();
    stacks();
    labels();
    threads();
    forked();
    wrong();
    return 0;
}
