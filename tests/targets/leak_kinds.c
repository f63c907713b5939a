/* SPDX-License-Identifier: MIT
 *
 * Blocks of 1000 bytes, 10 of them, kept or lost in the way that the argument names. */
#include "target.h"

#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define COUNT 10
#define SIZE 1000

struct link {
    struct link *next;
    char rest[SIZE - sizeof(struct link *)];
};

static void *volatile kept[COUNT];
static char *volatile middles[COUNT];
static _Thread_local void *volatile kept_by_thread[COUNT];
static pthread_key_t key;

VISIBLE static struct link *make(void)
{
    struct link *link = use(calloc(1, SIZE));
    NO_TAIL_CALL();
    return link;
}

VISIBLE static void lost_block(void)
{
    for (int i = 0; i < COUNT; i++)
        make();
}

VISIBLE static void lost_chain(void)
{
    struct link *first = make();
    for (int i = 1; i < COUNT; i++) {
        struct link *link = make();
        link->next = first;
        first = link;
    }
}

/* Of COUNT blocks, each of which holds two others. */
VISIBLE static void lost_tree(void)
{
    struct link *nodes[COUNT];
    for (int i = COUNT - 1; i >= 0; i--) {
        nodes[i] = make();
        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < COUNT; child++)
            memcpy(nodes[i]->rest + 64 * child, &nodes[child], sizeof(void *));
    }
    memset(use(nodes), 0, sizeof(nodes));
}

VISIBLE static void lost_cycle(void)
{
    struct link *first = make(), *last = first;
    for (int i = 1; i < COUNT; i++) {
        struct link *link = make();
        last->next = link;
        last = link;
    }
    last->next = first;
}

VISIBLE static void middle_only(void)
{
    for (int i = 0; i < COUNT; i++)
        middles[i] = (char *)make() + 500;
}

VISIBLE static void in_freed_block(void)
{
    void **table = use(malloc(600));
    for (int i = 0; i < COUNT; i++)
        table[8 + i] = make();
    kept[0] = use(malloc(600)); /* so that the freed one does not join the rest of the heap */
    free(table);
}

VISIBLE static void in_data(void)
{
    for (int i = 0; i < COUNT; i++)
        kept[i] = make();
}

VISIBLE static void in_thread_local(void)
{
    for (int i = 0; i < COUNT; i++)
        kept_by_thread[i] = make();
}

VISIBLE static void in_specific(void)
{
    void **table = use(malloc(COUNT * sizeof(void *)));
    for (int i = 0; i < COUNT; i++)
        table[i] = make();
    pthread_key_create(&key, NULL);
    pthread_setspecific(key, table);
}

VISIBLE static void on_stack(void)
{
    void *volatile table[COUNT];
    for (int i = 0; i < COUNT; i++)
        table[i] = make();
    exit(table[0] == NULL);
}

static int ready[2];

static void *wait_with_blocks(void *unused)
{
    void *volatile table[COUNT];
    for (int i = 0; i < COUNT; i++)
        table[i] = make();
    write(ready[1], "", 1);
    for (;;)
        pause();
    return table[0] ? unused : NULL;
}

VISIBLE static void on_other_stack(void)
{
    pthread_t thread;
    char c;
    pipe(ready);
    pthread_create(&thread, NULL, wait_with_blocks, NULL);
    read(ready[0], &c, 1);
}

static void *end_with_blocks(void *unused)
{
    void *volatile table[COUNT];
    for (int i = 0; i < COUNT; i++)
        table[i] = make();
    return unused;
}

VISIBLE static void on_ended_stack(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, end_with_blocks, NULL);
    pthread_join(thread, NULL);
}

/* Makes what earlier calls left on the stack unreadable. */
VISIBLE static void wipe(void)
{
    char space[8192];
    memset(use(space), 0, sizeof(space));
    NO_TAIL_CALL();
}

/* Below all that is called later. */
VISIBLE static void leave_on_stack(void)
{
    void *volatile table[COUNT];
    for (int i = 0; i < COUNT; i++)
        table[i] = make();
}

VISIBLE static void on_dead_stack(void)
{
    char space[65536];
    use(space);
    leave_on_stack();
    use(space);
}

/* ---- stacks that the program gives: several in one mapping ---- */

#define GIVEN (1u << 20)

/* As one mapping, nothing between them. */
static char *map_parts(int parts)
{
    return mmap(NULL, (size_t)parts * GIVEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Comes back when the thread sleeps in pause(): then it is known how much of its stack it uses. */
static void run_on(char *stack, void *(*function)(void *))
{
    char path[64], state[64] = "";
    pthread_attr_t attributes;
    pthread_t thread;
    int tid;

    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, GIVEN);
    pthread_create(&thread, &attributes, function, NULL);
    read(ready[0], &tid, sizeof(tid));
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    while (!strstr(state, ") S ")) {
        FILE *file = fopen(path, "r");
        CHECK(file && fgets(state, sizeof(state), file));
        fclose(file);
    }
}

static void *wait_here(void *unused)
{
    int tid = (int)syscall(SYS_gettid);

    write(ready[1], &tid, sizeof(tid));
    for (;;)
        pause();
    return unused;
}

static void *lose_and_wait(void *unused)
{
    on_dead_stack();
    return wait_here(unused);
}

/* A thread waits on a stack, and below that the program keeps its blocks. */
VISIBLE static void beside_stack(void)
{
    char *memory = map_parts(2);
    void **table = use(memory);

    pipe(ready);
    for (int i = 0; i < COUNT; i++)
        table[i] = make();
    run_on(memory + GIVEN, wait_here);
}

/* Of two stacks side by side each has an unused part. */
VISIBLE static void above_stack(void)
{
    char *memory = map_parts(2);

    pipe(ready);
    run_on(memory, wait_here);
    run_on(memory + GIVEN, lose_and_wait);
}

static void *end_with_others(void *barrier)
{
    pthread_barrier_wait(barrier);
    return end_with_blocks(NULL);
}

/* Two stacks of the C library's: they may lie side by side. */
VISIBLE static void on_ended_stacks(void)
{
    pthread_barrier_t barrier;
    pthread_t threads[2];

    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, end_with_others, &barrier);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* ---- while other threads go on ---- */

#define TABLES 40

static void *churn(void *unused)
{
    void *blocks[TABLES];

    for (bool first = true;; first = false) {
        for (int i = 0; i < TABLES; i++)
            blocks[i] = use(malloc(300));
        for (int i = 0; i < TABLES; i++)
            free(blocks[i]);
        if (first)
            write(ready[1], "", 1);
    }
    return unused;
}

/* In a forked child by what the parent has made, and between these blocks come and go until the end. */
VISIBLE static void in_parents_blocks(void)
{
    static void **tables[TABLES], *between[TABLES];
    pthread_t thread;
    char c;

    mallopt(M_ARENA_MAX, 1);
    for (int i = 0; i < TABLES; i++) {
        tables[i] = use(calloc(1, 2000));
        between[i] = use(malloc(300));
    }
    for (int i = 0; i < TABLES; i++)
        free(between[i]);
    memset(between, 0, sizeof(between));
    pipe(ready);
    if (fork() > 0) {
        wait(NULL);
        return;
    }
    for (int i = 0; i < COUNT; i++)
        tables[4 * i][100] = make();
    pthread_create(&thread, NULL, churn, NULL);
    read(ready[0], &c, 1);
}

/* The only pointer comes into being in the register. */
VISIBLE static void in_register(void)
{
#ifdef __x86_64__
    const uintptr_t mask = 0x5555555555555555;
    void **table = use(malloc(COUNT * sizeof(void *)));
    for (int i = 0; i < COUNT; i++)
        table[i] = make();
    uintptr_t masked = (uintptr_t)table ^ mask;
    table = NULL;
    wipe();
    __asm__ volatile("movq %0, %%rbx\n\t"
                     "xorq %1, %%rbx\n\t"
                     "xorl %%edi, %%edi\n\t"
                     "andq $-16, %%rsp\n\t"
                     "call _exit@PLT"
                     :
                     : "r"(masked), "r"(mask)
                     : "rbx", "rdi", "memory");
#else
    in_data();
#endif
}

static const struct {
    const char *name;
    void (*run)(void);
} shapes[] = {
    {"lost_block", lost_block},
    {"lost_chain", lost_chain},
    {"lost_cycle", lost_cycle},
    {"middle_only", middle_only},
    {"in_freed_block", in_freed_block},
    {"in_data", in_data},
    {"in_thread_local", in_thread_local},
    {"in_specific", in_specific},
    {"on_stack", on_stack},
    {"on_other_stack", on_other_stack},
    {"on_ended_stack", on_ended_stack},
    {"on_dead_stack", on_dead_stack},
    {"in_register", in_register},
    {"lost_tree", lost_tree},
    {"beside_stack", beside_stack},
    {"above_stack", above_stack},
    {"on_ended_stacks", on_ended_stacks},
    {"in_parents_blocks", in_parents_blocks},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(shapes) / sizeof(*shapes); i++) {
        if (strcmp(argv[1], shapes[i].name) != 0)
            continue;
        shapes[i].run();
        wipe();
        return 0;
    }
    return 2;
}
