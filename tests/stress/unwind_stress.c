/* SPDX-License-Identifier: MIT
 *
 * Drives millions of captures through stacks of every shape and compares each with a full walk by libunwind; one
 * difference fails. The shim is not loaded: the unwinder is called directly.
 *
 *     unwind_stress [ROUNDS [PLUGIN PLUGIN]]    the plugins are two builds of unwind_plugin.c with different frames */
#define UNW_LOCAL_ONLY

#include "chain.h"
#include "compiler.h"
#include "ledger.h"
#include "modules.h"
#include "unwind.h"
#include "unwind_slow.h"

#include <alloca.h>
#include <dlfcn.h>
#include <libunwind.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define noinline __attribute__((noinline, noclone))
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

static unsigned rounds = 20;
static uint64_t captures, wrong_chains, longest;
static int (*flush_cache)(unw_addr_space_t space, unw_word_t low, unw_word_t high);
static unw_addr_space_t *local_space;

static _Thread_local struct unwind_thread *state;
static _Thread_local volatile sig_atomic_t busy;
static _Thread_local uint64_t seed = 1;

static uint32_t chance(uint32_t below)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed >> 33) % below;
}

/* One capture, as a hook makes it; the self-check inside compares it. That the chain is what was found is checked here for
 * some of them. */
static noinline void capture(void)
{
    void *const *frame = __builtin_frame_address(0);
    struct unwind_start start = unwind_caller(frame);
    struct slow_frame frames[1024];
    struct ledger_node nodes[1024];
    uint64_t cut;

    if (busy)
        return;
    busy = 1;
    KEEP_FRAME();
    uint32_t node = unwind_capture(state, &start);
    uint64_t number = __atomic_add_fetch(&captures, 1, __ATOMIC_RELAXED);
    if (number % 16 == 0) {
        size_t length = chain_read(node, nodes, ARRAY_SIZE(nodes), &cut), count = 0;
        count = slow_walk(&start, frames, ARRAY_SIZE(frames));
        bool same = length && (cut == CHAIN_WHOLE ? length == count : length <= count);
        for (size_t i = 0; same && i < length && i < ARRAY_SIZE(nodes); i++)
            same = nodes[i].key == frames[i].pc && !!(nodes[i].meta & NODE_EXACT) == frames[i].exact;
        if (cut != CHAIN_WHOLE && count < ARRAY_SIZE(frames))
            same = same && length + cut == count;
        if (!same)
            __atomic_add_fetch(&wrong_chains, 1, __ATOMIC_RELAXED);
        longest = MAX(longest, count);
    }
    KEEP_FRAME();
    busy = 0;
}

static void capture_some(void)
{
    for (uint32_t i = chance(4); i-- > 0;)
        capture();
    KEEP_FRAME();
}

/* ---- calls ---- */

static noinline int plain(int depth, int way);

static noinline int with_alloca(int depth, int way)
{
    volatile char *memory = alloca(chance(500) + 1);
    memory[0] = (char)way;
    int r = plain(depth - 1, way + 1);
    capture_some();
    return r + memory[0];
}

static noinline int with_array(int depth, int way)
{
    volatile char array[chance(3000) + 1];
    array[0] = (char)depth;
    int r = plain(depth - 1, way + (int)sizeof(array));
    return r + array[0];
}

#if defined(__x86_64__)
static noinline __attribute__((force_align_arg_pointer)) int with_realign(int depth, int way)
{
    capture_some();
    return plain(depth - 1, way * 3) + 1;
}
#else
#define with_realign plain
#endif

static noinline int with_alignment(int depth, int way)
{
    _Alignas(64) volatile char line[64];
    volatile char array[chance(300) + 1];
    line[chance(64)] = (char)way;
    array[0] = 1;
    int r = plain(depth - 1, way + line[3] + array[0]);
    capture_some();
    return r + line[5];
}

static noinline int many_arguments(int a, int b, int c, int d, int e, int f, int g, int h, int depth)
{
    volatile int sum = a + b + c + d + e + f + g + h;
    int r = plain(depth - 1, sum);
    capture_some();
    return r + sum;
}

static noinline int tail(int depth, int way)
{
    if (way & 1)
        capture_some();
    return plain(depth - 1, way >> 1); /* a jump, with optimisation */
}

static noinline __attribute__((optimize("no-omit-frame-pointer"))) int with_pointer(int depth, int way)
{
    int r = plain(depth - 1, way + 7);
    capture_some();
    return r + 1;
}

static int compare(const void *a, const void *b)
{
    if (chance(64) == 0)
        capture();
    return *(const int *)a - *(const int *)b;
}

static noinline int with_callbacks(int depth, int way)
{
    int numbers[40], key = way & 31;

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        numbers[i] = (int)chance(100);
    qsort(numbers, ARRAY_SIZE(numbers), sizeof(int), compare);
    bsearch(&key, numbers, ARRAY_SIZE(numbers), sizeof(int), compare);
    return plain(depth - 1, way + numbers[0]);
}

static noinline int plain(int depth, int way)
{
    capture_some();
    if (depth <= 0)
        return way;
    int r = 0;
    switch (chance(10)) {
    case 0:
        r = with_alloca(depth, way);
        break;
    case 1:
        r = with_array(depth, way);
        break;
    case 2:
        r = with_realign(depth, way);
        break;
    case 3:
        r = with_alignment(depth, way);
        break;
    case 4:
        r = many_arguments(1, 2, 3, 4, 5, 6, 7, way, depth);
        break;
    case 5:
        r = tail(depth, way);
        break;
    case 6:
        r = with_pointer(depth, way);
        break;
    case 7:
        r = chance(8) ? plain(depth - 1, way) : with_callbacks(depth, way);
        break;
    default:
        r = plain(depth - 1, way + 1) + plain(depth / 4, way);
    }
    capture_some();
    return r + 1;
}

static void test_calls(void)
{
    for (unsigned i = 0; i < rounds * 4; i++)
        plain((int)chance(60), (int)i);
}

static noinline int recurse(int depth)
{
    if (chance(32) == 0)
        capture();
    int r = depth > 0 ? recurse(depth - 1) : 0;
    if (chance(32) == 0)
        capture();
    return r + 1;
}

static noinline int recurse_in_loop(int depth)
{
    int r = depth > 0 ? recurse_in_loop(depth - 1) : 0;
    if (depth < 40)
        capture();
    return r + 1;
}

static void test_recursion(void)
{
    for (unsigned i = 0; i < rounds; i++) {
        recurse(600);
        recurse_in_loop(200);
        for (int depth = 50; depth < 150; depth += 7) /* around the places where the chain's beginning moves */
            recurse_in_loop(depth);
    }
    recurse(20000);
}

/* ---- jumps ---- */

static jmp_buf jump;

static noinline void leap(int depth)
{
    capture_some();
    if (depth <= 0)
        longjmp(jump, 1);
    if (depth < 100)
        leap(depth - 1);
    KEEP_FRAME();
}

static noinline void leap_and_land(int depth)
{
    if (!setjmp(jump))
        leap(depth);
    capture();
}

static void test_jumps(void)
{
    for (unsigned i = 0; i < rounds * 20; i++) {
        leap_and_land((int)chance(30));
        capture();
    }
}

/* ---- signals ---- */

static noinline void in_handler(int depth)
{
    capture();
    if (depth > 0)
        in_handler(depth - 1);
    KEEP_FRAME();
}

static volatile sig_atomic_t arrived;

static void handler(int number)
{
    (void)number;
    in_handler(3);
    arrived = 1;
}

/* One alarm soon. The next one is asked for by the interrupted code: with an interval, a machine on which a handler takes
 * longer than that would do nothing else. */
static void arm(void)
{
    struct itimerval once = {{0, 0}, {0, 10 + (int)chance(50)}};

    arrived = 0;
    setitimer(ITIMER_REAL, &once, NULL);
}

static volatile double sink;

static noinline void compute(unsigned n)
{
    char text[64], copy[64];

    for (unsigned i = 0; i < n; i++) {
        if (arrived)
            arm();
        snprintf(text, sizeof(text), "%u %g", i, (double)i / 3);
        memcpy(copy, text, sizeof(copy));
        sink += strtod(copy, NULL) + (double)strlen(text);
        if (i % 16 == 0)
            capture();
    }
}

static void test_signals(void)
{
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)}, off = {.ss_flags = SS_DISABLE};
    struct itimerval never = {{0, 0}, {0, 0}};

    for (int alternating = 0; alternating < 2; alternating++) {
        struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | (alternating ? SA_ONSTACK : 0)};
        sigaltstack(alternating ? &alternate : &off, NULL);
        sigaction(SIGUSR1, &action, NULL);
        sigaction(SIGALRM, &action, NULL);
        for (unsigned i = 0; i < rounds * 20; i++) {
            raise(SIGUSR1);
            capture();
        }
        arm();
        compute(rounds * 1000);
        setitimer(ITIMER_REAL, &never, NULL);
    }
    sigaltstack(&off, NULL);
}

/* ---- every instruction: prologues, epilogues, PLT, the lazy resolver ---- */

#if defined(__x86_64__)
static void trap(int number)
{
    (void)number;
    capture();
}

static noinline void flag_trap(bool on)
{
    uint64_t flags;

    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    flags = on ? flags | 0x100 : flags & ~0x100ULL;
    __asm__ volatile("pushq %0; popfq" ::"r"(flags) : "memory", "cc");
}

static noinline int step_aligned(int n)
{
    _Alignas(128) volatile char line[128];
    volatile char array[n + 1];
    line[n & 127] = array[0] = 1;
    return abs(line[n & 127] - n) + array[0];
}

static noinline int step_body(int n)
{
    char text[32];

    /* Not called anywhere else: lazily bound here, when the program is linked so. */
    int r = strcoll("a", "b") + (int)strspn("abc", "ab") + step_aligned(n);
    r += snprintf(text, sizeof(text), "%d", n);
    return r + (int)strtol(text, NULL, 10);
}

static void test_single_steps(void)
{
    struct sigaction action = {.sa_handler = trap};

    sigaction(SIGTRAP, &action, NULL);
    for (unsigned i = 0; i < MAX(rounds / 10, 1u); i++) {
        flag_trap(true);
        sink += step_body((int)i);
        flag_trap(false);
    }
    signal(SIGTRAP, SIG_DFL);
}
#else
static void test_single_steps(void)
{
}
#endif

/* ---- other stacks ---- */

#define COROUTINES 4u

static ucontext_t main_context, contexts[COROUTINES];

static noinline void swap_deep(unsigned number, int depth)
{
    if (depth > 0) {
        swap_deep(number, depth - 1);
        KEEP_FRAME();
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        capture_some();
        swapcontext(&contexts[number], chance(2) ? &contexts[(number + 1) % COROUTINES] : &main_context);
        capture_some();
    }
    swapcontext(&contexts[number], &main_context);
}

static void coroutine(unsigned number)
{
    capture();
    for (;;)
        swap_deep(number, (int)chance(20));
}

static void test_coroutines(void)
{
    for (volatile unsigned i = 0; i < rounds; i++) { /* volatile: contexts return twice */
        size_t sizes[COROUTINES];
        for (unsigned c = 0; c < COROUTINES; c++) {
            sizes[c] = 65536 + chance(4) * 4096;
            void *stack = mmap(NULL, sizes[c], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            getcontext(&contexts[c]);
            contexts[c].uc_stack.ss_sp = stack;
            contexts[c].uc_stack.ss_size = sizes[c];
            contexts[c].uc_link = &main_context;
            makecontext(&contexts[c], (void (*)(void))coroutine, 1, c);
        }
        for (unsigned n = 0; n < 60; n++) {
            capture();
            swapcontext(&main_context, &contexts[chance(COROUTINES)]);
        }
        for (unsigned c = 0; c < COROUTINES; c++)
            munmap(contexts[c].uc_stack.ss_sp, sizes[c]);
    }
}

/* ---- code without unwind information ---- */

#if defined(__x86_64__)
static noinline void from_nowhere(void)
{
    capture();
    capture_some();
    KEEP_FRAME();
}

static void call_code(const uint8_t *bytes, size_t size)
{
    uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        return;
    memcpy(code, bytes, size);
    void (*function)(void (*)(void)) = (void (*)(void (*)(void)))(void *)code;
    for (unsigned i = 0; i < rounds; i++) {
        function(from_nowhere);
        capture();
    }
    munmap(code, 4096);
}

static void test_bare_code(void)
{
    static const uint8_t framed[] = {0x55, 0x48, 0x89, 0xe5,
                                     0xff, 0xd7, 0x5d, 0xc3}; /* push rbp; mov; call rdi; pop; ret */
    static const uint8_t roomy[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x40, 0xff, 0xd7, 0xc9, 0xc3};
    static const uint8_t frameless[] = {0x48, 0x83, 0xec, 0x08, 0xff, 0xd7, 0x48, 0x83, 0xc4, 0x08, 0xc3};

    call_code(framed, sizeof(framed));
    call_code(roomy, sizeof(roomy));
    call_code(frameless, sizeof(frameless));
}
#else
static void test_bare_code(void)
{
}
#endif

/* ---- threads ---- */

/* States go from thread to thread, as in the shim. */
static struct unwind_thread *spare[64];

static void thread_begin(void)
{
    static unsigned next;
    unsigned n = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);

    state = __atomic_exchange_n(&spare[n % ARRAY_SIZE(spare)], NULL, __ATOMIC_ACQ_REL);
    if (state)
        unwind_thread_reset(state);
    else
        state = unwind_thread_new();
    seed = n + 1;
}

static void thread_end(void *unused)
{
    (void)unused;
    capture();
    __atomic_store_n(&spare[chance(ARRAY_SIZE(spare))], state, __ATOMIC_RELEASE);
}

static void *thread_main(void *argument)
{
    thread_begin();
    pthread_cleanup_push(thread_end, NULL);
    plain(6, 1);
    compare(&rounds, &rounds);
    if (argument)
        pthread_exit(NULL);
    pthread_cleanup_pop(1);
    return NULL;
}

static void test_threads(void)
{
    for (unsigned i = 0; i < rounds * 25; i++) {
        pthread_t threads[4];
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 131072 + 65536 * chance(4));
        unsigned made = 0;
        while (made < ARRAY_SIZE(threads) &&
               !pthread_create(&threads[made], &attributes, thread_main, made & 1 ? &made : NULL))
            made++;
        capture();
        while (made)
            pthread_join(threads[--made], NULL);
        pthread_attr_destroy(&attributes);
    }
}

/* ---- libraries that come and go ---- */

static void unload(void *plugin)
{
    dlclose(plugin);
    modules_epoch++;
    unwind_flush();
    flush_cache(*local_space, 0, 0);
}

static void test_plugins(char **paths)
{
    for (unsigned i = 0; i < rounds * 5; i++) {
        void *plugin = dlopen(paths[i & 1], RTLD_NOW | RTLD_LOCAL);
        if (!plugin) {
            fprintf(stderr, "%s\n", dlerror());
            exit(1);
        }
        void (*call)(void (*)(void), int);
        *(void **)&call = dlsym(plugin, "plugin_call");
        call(capture_some, 5);
        call(capture, 3);
        unload(plugin);
        capture();
    }
}

/* libunwind's own cache makes the comparison fast; here nothing allocates below dl_iterate_phdr. */
static void speed_up_libunwind(void)
{
    void *library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    int (*set_policy)(unw_addr_space_t, unw_caching_policy_t);

    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(77);
    }
#define NAME_OF(macro) NAME_OF_(macro)
#define NAME_OF_(name) #name
    *(void **)&set_policy = dlsym(library, NAME_OF(unw_set_caching_policy));
    *(void **)&flush_cache = dlsym(library, NAME_OF(unw_flush_cache));
    local_space = dlsym(library, NAME_OF(unw_local_addr_space));
    set_policy(*local_space, UNW_CACHE_GLOBAL);
}

static void run(const char *name, void (*test)(void))
{
    uint64_t before = captures, differences = ledger_header->self_check_differences, wrong = wrong_chains;

    test();
    printf("%-14s %9lu captures, %lu differences, %lu wrong chains\n", name, captures - before,
           ledger_header->self_check_differences - differences, wrong_chains - wrong);
}

static char **plugin_paths;

static void run_plugins(void)
{
    test_plugins(plugin_paths);
}

static char folder[] = "/tmp/memshim-stress-XXXXXX";

static void remove_ledger(void)
{
    ledger_remove();
    rmdir(folder);
}

static void make_ledger(void)
{
    char report[64];

    if (!mkdtemp(folder))
        exit(1);
    snprintf(report, sizeof(report), "%s/r.jsonl", folder);
    if (ledger_create(report) < 0)
        exit(1);
    atexit(remove_ledger);
}

int main(int argc, char **argv)
{
    static const unsigned depths[] = {64, 1, 10, 512};

    setvbuf(stdout, NULL, _IOLBF, 0);
    make_ledger();
    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 10);
    for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
        if (unwind_init(depths[i], 1) < 0)
            return 77;
        if (!i) {
            speed_up_libunwind();
            state = unwind_thread_new();
        }
        unwind_thread_reset(state);
        unwind_flush();
        modules_epoch++; /* other nodes than those of the depth before */
        printf("stack_depth %u\n", depths[i]);
        run("calls", test_calls);
        run("recursion", test_recursion);
        run("jumps", test_jumps);
        run("signals", test_signals);
        run("single steps", test_single_steps);
        run("coroutines", test_coroutines);
        run("bare code", test_bare_code);
        run("threads", test_threads);
        if (argc > 3) {
            plugin_paths = argv + 2;
            run("plugins", run_plugins);
        }
    }
    printf("%lu captures, %lu compared, %lu differences, %lu wrong chains, longest stack seen %lu\n", captures,
           ledger_header->self_checks, ledger_header->self_check_differences, wrong_chains, longest);
    /* Those that libunwind made itself are not compared. */
    return ledger_header->self_check_differences || wrong_chains || ledger_header->self_checks < captures / 10 * 9;
}
