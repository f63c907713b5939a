/* SPDX-License-Identifier: MIT */
#include "unwind_branch.h"

#include "real.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#define SETTLED_FRAMES 3u /* the root, __libc_start_main, and what that calls .. */
#define BESIDE 4096u      /* .. in no more than so many bytes from it */

_hot_data_ bool branch_wide;

#ifdef __x86_64__
#define LEAF_FEATURES 7u
#define FEATURE_AVX_VNNI (1u << 4)

/* Up to a certain generation of Intel's, and with other makers', it takes longer than to read one by one. Those after it have
 * AVX-VNNI. */
static void choose_way(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;

    __builtin_cpu_init();
    branch_wide = __builtin_cpu_is("intel") && __builtin_cpu_supports("avx2") &&
                  __get_cpuid_count(LEAF_FEATURES, 1, &a, &b, &c, &d) && a & FEATURE_AVX_VNNI;
}

BRANCH_WIDE bool branch_is_same_wide(const struct unwind_branch *branch)
{
    return branch_is_same_here_wide(branch);
}
#else
static void choose_way(void)
{
}

bool branch_is_same_wide(const struct unwind_branch *branch)
{
    return branch_is_same_plainly(branch);
}
#endif

/* ---- where main was called ---- */

static uintptr_t start_main;
static size_t start_main_size; /* 0: it is not known */

static void find_start_main(void)
{
    Dl_info info;
    ElfW(Sym) *symbol = NULL;
    const void *address = (const void *)(uintptr_t)real.__libc_start_main;

    if (!address || !dladdr1(address, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol)
        return;
    start_main = (uintptr_t)address;
    start_main_size = symbol->st_size;
}

void branch_init(void)
{
    choose_way();
    find_start_main();
}

/* The words that need no look: those of the steps that lead from main to what called it. In the main thread the C library's part of the
 * stack, __libc_start_main and the function beside it through which that calls main (since 2.34), stays as long as the process:
 * what stands right below it was called by it. */
static uint32_t settled_words(const struct unwind_thread *thread)
{
    const struct unwind_frame *frames = thread->frames;

    if (thread->count <= SETTLED_FRAMES || frames[1].pc - start_main >= start_main_size ||
        frames[2].pc - (start_main - BESIDE) >= 2 * BESIDE)
        return 0;
    return frames[SETTLED_FRAMES].words;
}

/* ---- keeping a branch ---- */

/* Whether the words lie on the stack on which the capture began, which is there whenever a capture begins at this place
 * again; and nothing has to be asked before they are read. */
static bool all_here(const struct unwind_thread *thread, const struct unwind_word *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!memory_in(&thread->memory.here, (uintptr_t)words[i].address))
            return false;
    return true;
}

/* In place of the same branch where it ended elsewhere in the trunk, or of the oldest, but before the others: what was kept
 * last is mostly what is met next, and what is found first costs least. */
static struct unwind_branch *make_room(struct unwind_thread *thread, void *const *frame)
{
    struct unwind_branch *set = branch_set(thread, frame), *place = set;

    for (; place < set + BRANCH_WAYS - 1; place++) {
        bool is_void = (place->start & ~(BRANCH_STAMP - 1)) != thread->stamp;
        if (is_void || (branch_begins(thread, place, frame) && branch_is_same(place)))
            break;
    }
    memmove(set + 1, set, (size_t)(place - set) * sizeof(*set));
    return set;
}

static bool on_one_page(uintptr_t a, uintptr_t b)
{
    return a >> 12 == b >> 12;
}

/* Fills the last group of `words`. */
static void fill(struct unwind_word *words, uint32_t *count)
{
    for (; *count % BRANCH_GROUP; ++*count)
        words[*count] = words[*count - 1];
}

static bool add(struct unwind_word *words, uint32_t *count, struct unwind_word word)
{
    if (*count % BRANCH_GROUP && !on_one_page((uintptr_t)word.address, (uintptr_t)words[*count - 1].address))
        fill(words, count);
    if (*count == (branch_wide ? BRANCH_WORDS_WIDE : BRANCH_WORDS))
        return false;
    words[(*count)++] = word;
    return true;
}

/* The frame pointer with which the hook was called, where that leads to older frames, and the words from the innermost frame to
 * the first `kept` ones: their number, 0: they are not of the kind. */
static uint32_t gather(const struct unwind_thread *thread, void *const *frame, uint32_t kept, struct unwind_word *words)
{
    const struct unwind_frame *leaf = &thread->frames[thread->count - 1];
    uint32_t from = kept ? thread->frames[kept - 1].words : settled_words(thread), count = 0;
    const uintptr_t *fp = unwind_saved_fp(frame);

    if (!all_here(thread, thread->words + from, leaf->words - from))
        return 0;
    if (leaf->fp_used && !(fp && add(words, &count, (struct unwind_word){fp, leaf->fp})))
        return 0;
    for (uint32_t i = leaf->words; i-- > from;)
        if (!add(words, &count, thread->words[i]))
            return 0;
    fill(words, &count);
    return count;
}

/* False: they lie too far from each other. */
static bool take_wide(struct unwind_branch *branch, const struct unwind_word *words)
{
    for (uint32_t i = 0; i < branch->count; i++) {
        intptr_t place = (intptr_t)words[i].address - (intptr_t)branch->sp;
        if (place != (int32_t)place)
            return false;
        branch->wide.places[i] = (int32_t)place;
        branch->wide.values[i] = words[i].value;
    }
    return true;
}

static bool take(struct unwind_branch *branch, const struct unwind_word *words, uint32_t count)
{
    branch->count = (uint16_t)count;
    if (branch_wide)
        return take_wide(branch, words);
    memcpy(branch->words, words, count * sizeof(*words));
    return true;
}

static void join(const struct unwind_thread *thread, uint32_t kept, uint32_t begin, struct unwind_branch *branch)
{
    const struct unwind_frame *join = &thread->frames[kept - 1];

    branch->join_kind = frame_kind(join);
    branch->join_sp = join->sp;
    branch->join_fp = join->fp;
    branch->join_fp_used = join->fp_used;
    branch->join = kept;
    branch->join_from = (kept - 1) * (uint32_t)sizeof(*join);
    branch->join_node = join->node[thread->chain_parity];
    branch->low = first_word(thread, begin);
}

void branch_keep(struct unwind_thread *thread, void *const *frame, uint32_t node)
{
    const struct unwind_start start = unwind_caller(frame);
    uint32_t kept = thread->kept, begin = chain_begin(thread, thread->count);
    struct unwind_word words[BRANCH_WORDS_WIDE];
    struct unwind_branch branch = {
        .start = thread->stamp | start.pc,
        .sp = start.sp,
        .node = node,
        .parity = thread->chain_parity & 1,
    };

    if (!node || thread->dropped || thread->rootless || start.pc >= BRANCH_STAMP)
        return;
    uint32_t count = begin ? 0 : gather(thread, frame, 0, words);
    if (!count) {
        if (kept <= begin || !(count = gather(thread, frame, kept, words)))
            return;
        join(thread, kept, begin, &branch);
    }
    if (take(&branch, words, count))
        *make_room(thread, frame) = branch;
}
