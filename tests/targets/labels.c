/* SPDX-License-Identifier: MIT
 *
 * Blocks of 100 bytes under labels and in scopes, most of them lost, each from one line; errors in a quiet scope with "quiet". */
#include "target.h"

#include "memshim/memshim.h"

#include <pthread.h>
#include <sys/wait.h>

VISIBLE static void *one_place(void)
{
    void *block = use(malloc(100));
    NO_TAIL_CALL();
    return block;
}

static void nest(void)
{
    one_place(); /* no label */
    CHECK(memshim_label_push("outer") == 0);
    one_place();
    CHECK(memshim_label_push("inner \"\\\n;") == 0);
    one_place();
    one_place();
    CHECK(memshim_label_pop() == 0);
    free(one_place());
    one_place();
    CHECK(memshim_label_pop() == 0);
    one_place();
    CHECK(memshim_label_pop() == -EINVAL);
}

static void *in_thread(void *unused)
{
    one_place();
    memshim_label_push("thread");
    one_place();
    return unused; /* with the label open */
}

static void threads(void)
{
    pthread_t thread;

    memshim_label_push("main");
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    one_place();
    memshim_label_pop();
}

struct owner {
    void *owned;
};

/* Neither the owner nor what it alone leads to. */
static void ignored(void)
{
    CHECK(memshim_ignore_push() == 0 && memshim_ignore_push() == 0);
    struct owner *owner = one_place();
    CHECK(memshim_ignore_pop() == 0);
    one_place();
    CHECK(memshim_ignore_pop() == 0 && memshim_ignore_pop() == -EINVAL);
    owner->owned = use(malloc(5000));
}

static void deep(void)
{
    for (int i = 0; i < 100; i++)
        CHECK(memshim_label_push(i < 64 ? "deep" : "deeper") == 0);
    one_place();
    for (int i = 0; i < 100; i++)
        CHECK(memshim_label_pop() == 0);
    one_place();
}

static void wrong(void)
{
    char text[100];

    memset(text, 'x', sizeof(text));
    text[64] = '\0';
    CHECK(memshim_label_push(NULL) == -EINVAL && memshim_label_push("") == -EINVAL);
    CHECK(memshim_label_push(text) == -EINVAL);
    text[63] = '\0';
    CHECK(memshim_label_push(text) == 0 && memshim_label_pop() == 0);
    CHECK(memshim_quiet_pop() == -EINVAL);
}

/* The child goes on in the scope. */
static void forked(void)
{
    int status;

    memshim_label_push("fork");
    pid_t child = fork();
    one_place();
    if (child == 0)
        exit(0);
    memshim_label_pop();
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void overflow(size_t size)
{
    char *block = malloc(size);
    ((char *)use(block))[size] = 1;
    free(block);
}

static void quiet(void)
{
    CHECK(memshim_quiet_push() == 0);
    overflow(20);
    CHECK(memshim_quiet_pop() == 0);
    overflow(30);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"nest", nest},   {"threads", threads}, {"ignored", ignored}, {"deep", deep},
                 {"wrong", wrong}, {"forked", forked},   {"quiet", quiet}};

    if (!memshim_is_loaded())
        return memshim_label_push != NULL;
    for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(*modes); i++)
        if (strcmp(argv[1], modes[i].name) == 0)
            modes[i].run();
    free(one_place()); /* leaves no address of a lost block behind */
    return 0;
}
