/* SPDX-License-Identifier: MIT
 *
 * Drives captures through stacks of every shape and compares each with a full walk by libunwind; one difference fails. The
 * shim is not loaded: the unwinder is called directly.
 *
 *     unwind_stress [ROUNDS [PLUGIN PLUGIN]]    the plugins are two builds of plugin.c with different frames */
#define UNW_LOCAL_ONLY

#include "stress.h"

#include "chain.h"
#include "compiler.h"
#include "ledger.h"
#include "modules.h"
#include "unwind.h"
#include "unwind_rules.h"
#include "unwind_slow.h"

#include <dlfcn.h>
#include <libunwind.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES 1024 /* of a stack, that are looked at here */

/* Whether libunwind finds all stacks itself: they are not compared with its own then. */
#ifdef STRESS_PORTABLE
static const bool portable = true;
#else
static const bool portable = false;
#endif

unsigned rounds = 20;
char **plugin_paths;
volatile double sink;

static uint64_t captures, wrong_chains, longest;
static int (*flush_cache)(unw_addr_space_t space, unw_word_t low, unw_word_t high);
static unw_addr_space_t *local_space;

static _Thread_local struct unwind_thread *state;
static _Thread_local volatile sig_atomic_t busy;
static _Thread_local uint64_t seed = 1;

uint32_t chance(uint32_t below)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed >> 33) % below;
}

/* Whether the chain of nodes is what libunwind finds; of a cut one, how many frames were cut. */
static noinline bool chain_is_right(uint32_t node, const struct unwind_start *start)
{
    struct slow_frame frames[FRAMES];
    struct ledger_node nodes[FRAMES];
    uint64_t cut;
    size_t length = chain_read(node, nodes, FRAMES, &cut), count = slow_walk(start, frames, FRAMES);
    bool same = length && (cut == CHAIN_WHOLE ? length == count : length <= count);

    for (size_t i = 0; same && i < length && i < FRAMES; i++)
        same = nodes[i].key == frames[i].pc && !!(nodes[i].meta & NODE_EXACT) == frames[i].exact;
    if (cut != CHAIN_WHOLE && count < FRAMES)
        same = same && length + cut == count;
    longest = MAX(longest, count);
    return same;
}

/* The self-check inside unwind_capture compares what it has walked; that the nodes say the same is looked at here for some. */
noinline void capture(void)
{
    struct unwind_start start = unwind_caller(UNWIND_HERE);

    if (busy)
        return;
    busy = 1;
    KEEP_FRAME();
    uint32_t node = unwind_capture_at(state, UNWIND_HERE);
    if (__atomic_add_fetch(&captures, 1, __ATOMIC_RELAXED) % 16 == 0 && !chain_is_right(node, &start))
        __atomic_add_fetch(&wrong_chains, 1, __ATOMIC_RELAXED);
    KEEP_FRAME();
    busy = 0;
}

void capture_some(void)
{
    for (uint32_t i = chance(4); i-- > 0;)
        capture();
    KEEP_FRAME();
}

/* ---- threads: states go from one to another, as in the shim ---- */

static struct unwind_thread *spare[64];

void thread_begin(void)
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

void thread_end(void *unused)
{
    (void)unused;
    capture();
    __atomic_store_n(&spare[chance(ARRAY_SIZE(spare))], state, __ATOMIC_RELEASE);
    state = NULL;
    busy = 1; /* no capture any more */
}

/* ---- modules ---- */

void module_gone(void)
{
    modules_epoch++;
    rules_flush();
    flush_cache(*local_space, 0, 0);
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

/* ---- the run ---- */

static const struct shape {
    const char *name;
    void (*run)(void);
} shapes[] = {
    {"calls", test_calls},
    {"calls -O0", test_calls_plain_code},
    {"calls -Os", test_calls_small_code},
    {"recursion", test_recursion},
    {"jumps", test_jumps},
    {"signals", test_signals},
    {"single steps", test_single_steps},
    {"coroutines", test_coroutines},
    {"bare code", test_bare_code},
    {"threads", test_threads},
    {"plugins", test_plugins},
#ifdef STRESS_CXX
    {"C++ exceptions", test_exceptions},
    {"C++ coroutines", test_coroutines_cxx},
#endif
#ifdef STRESS_FFI
    {"libffi", test_ffi},
#endif
};

static void run_all(unsigned depth)
{
    printf("stack_depth %u\n", depth);
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
        uint64_t before = captures, differences = ledger_header->self_check_differences, wrong = wrong_chains;
        shapes[i].run();
        printf("%-14s %9lu captures, %lu differences, %lu wrong chains\n", shapes[i].name, captures - before,
               ledger_header->self_check_differences - differences, wrong_chains - wrong);
    }
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
    plugin_paths = argc > 3 ? argv + 2 : NULL;
    for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
        if (unwind_init(depths[i], 1) < 0)
            return 77;
        if (!i) {
            speed_up_libunwind();
            state = unwind_thread_new();
        }
        unwind_thread_reset(state);
        rules_flush();
        modules_epoch++; /* other nodes than those of the depth before */
        run_all(depths[i]);
    }
    printf("%lu captures, %lu compared, %lu differences, %lu wrong chains, longest stack seen %lu\n", captures,
           ledger_header->self_checks, ledger_header->self_check_differences, wrong_chains, longest);
    bool compared = portable || ledger_header->self_checks >= captures / 10 * 9;
    return ledger_header->self_check_differences || wrong_chains || !compared;
}
