/* SPDX-License-Identifier: MIT
 *
 * Every capture here is also compared with libunwind (self_check=1); what comes on top of that is what the nodes say.
 * tests/stress/unwind_stress.c goes through the shapes of stacks. */
#define UNW_LOCAL_ONLY

#include "unwind.h"

#include "chain.h"
#include "compiler.h"
#include "ledger_fixture.h"
#include "modules.h"
#include "unwind_branch.h"
#include "unwind_rules.h"
#include "unwind_slow.h"

#include <alloca.h>
#include <pthread.h>
#include <signal.h>

#define noinline __attribute__((noinline, noclone))
#define DEPTH 16u
#define LONGEST 4096u

static struct unwind_thread *state;

static void set_up(void)
{
    fixture_open();
    if (unwind_init(DEPTH, 1) < 0)
        cr_skip_test("no libunwind");
    state = unwind_thread_new();
    cr_assert_not_null(state);
}

TestSuite(unwind, .init = set_up, .fini = fixture_close);

/* What one capture gave. */
struct captured {
    uint32_t node;
    size_t length, total; /* frames in the chain, and according to libunwind */
    uint64_t cut;
    struct ledger_node frames[LONGEST];
    struct slow_frame reference[LONGEST];
};

static struct captured one, two;

static noinline uint32_t capture(struct captured *ret)
{
    struct unwind_start start = unwind_caller(UNWIND_HERE);
    uint32_t node = unwind_capture_at(state, UNWIND_HERE);

    cr_expect_eq(ledger_header->self_check_differences, 0);
    if (ret) {
        ret->node = node;
        ret->length = chain_read(node, ret->frames, LONGEST, &ret->cut);
        ret->total = slow_walk(&start, ret->reference, LONGEST);
    }
    return node;
}

static void expect_same_frames(const struct captured *captured)
{
    cr_assert_geq(captured->length, MIN(DEPTH, captured->total));
    cr_assert_lt(captured->length, 2 * DEPTH);
    cr_assert_leq(captured->length, captured->total);
    cr_expect_eq(captured->length + (captured->cut == CHAIN_WHOLE ? 0 : captured->cut), captured->total);
    for (size_t i = 0; i < captured->length; i++) {
        uint32_t meta =
            NODE_NATIVE | (captured->reference[i].exact ? NODE_EXACT : 0) | modules_epoch << NODE_EPOCH_SHIFT;
        cr_expect_eq(captured->frames[i].key, captured->reference[i].pc, "frame %zu", i);
        cr_expect_eq(captured->frames[i].meta, meta, "frame %zu", i);
    }
}

/* Two ways to the same frame of `in_the_middle` (same stack pointer, same return address), by frames of different size in
 * between: only the saved rbp tells them apart, because the return address of the one lies, stale, in the frame of the
 * other. */
static noinline __attribute__((optimize("no-omit-frame-pointer"))) uint32_t in_the_middle(struct captured *ret)
{
    uint32_t node = capture(ret);
    __asm__ volatile("");
    return node;
}

static noinline uint32_t with_room(size_t size, struct captured *ret)
{
    volatile char *room = alloca(size);
    __asm__ volatile("" ::"r"(room));
    uint32_t node = in_the_middle(ret);
    __asm__ volatile("" ::"r"(room));
    return node;
}

static noinline uint32_t narrow_way(size_t size, struct captured *ret)
{
    uint32_t node = with_room(size, ret);
    __asm__ volatile("");
    return node;
}

static noinline uint32_t wide_way(size_t size, struct captured *ret)
{
    volatile char room[512];
    __asm__ volatile("" ::"r"(room));
    uint32_t node = with_room(size, ret);
    __asm__ volatile("" ::"r"(room));
    return node;
}

Test(unwind, stale_return_addresses_do_not_mislead)
{
    uint32_t (*const ways[])(size_t, struct captured *) = {narrow_way, wide_way};

    for (volatile size_t i = 0; i < 50; i++) {
        ways[i % 2](i % 2 ? 400 + i * 8 : 1024, &one); /* one call, so that all else is the same */
        expect_same_frames(&one);
    }
}

/* ledger_take hands out consecutive ids: how many nodes there are. */
static uint32_t count_nodes(void)
{
    return ledger_take(LEDGER_NODES, 1);
}

Test(unwind, a_stack_is_what_libunwind_finds)
{
    capture(&one);
    expect_same_frames(&one);
    cr_expect_eq(one.cut, CHAIN_WHOLE);
    cr_expect_eq(ledger_header->self_checks > 0, HAS_UNWIND_RULES);
}

Test(unwind, the_same_stack_has_the_same_node)
{
    uint32_t nodes[3];

    for (volatile unsigned i = 0; i < 3; i++) /* volatile: one call, not three */
        nodes[i] = capture(NULL);
    cr_expect_eq(nodes[0], nodes[1]);
    cr_expect_eq(nodes[0], nodes[2]);
    uint32_t other = capture(NULL);
    cr_expect_neq(other, nodes[0], "another call");
}

static noinline uint32_t middle(struct captured *ret)
{
    uint32_t node = capture(ret);
    __asm__ volatile("");
    return node;
}

/* Same frames, stack pointers and frame pointers but for one return address far out. */
Test(unwind, a_change_far_out_is_seen)
{
    uint32_t a = middle(&one);
    uint32_t b = middle(&two);

    cr_expect_neq(a, b);
    cr_expect_eq(one.length, two.length);
    cr_expect_eq(one.frames[0].key, two.frames[0].key);
    cr_expect_neq(one.frames[1].key, two.frames[1].key);
    expect_same_frames(&one);
    expect_same_frames(&two);
}

static noinline uint32_t left_way(struct captured *ret)
{
    uint32_t node = middle(ret);
    __asm__ volatile("" ::: "memory");
    return node;
}

static noinline uint32_t right_way(struct captured *ret)
{
    uint32_t node = middle(ret);
    __asm__ volatile("nop" ::: "memory");
    return node;
}

/* The same place, stack pointer, and number of frames; with and without the instruction that not all processors have. */
Test(unwind, branches_that_begin_alike_are_told_apart)
{
    uint32_t (*const ways[])(struct captured *) = {left_way, right_way};
    const bool has_wide = branch_wide;

    for (volatile int wide = 0; wide <= has_wide; wide++) {
        branch_wide = wide;
        state = unwind_thread_new();
        cr_assert_not_null(state);
        uint32_t nodes[2] = {0, 0};
        for (volatile unsigned i = 0; i < 20; i++) {
            uint32_t node = ways[i % 2](&one);
            expect_same_frames(&one);
            cr_expect(!nodes[i % 2] || nodes[i % 2] == node);
            nodes[i % 2] = node;
        }
        cr_expect_neq(nodes[0], nodes[1]);
    }
}

static noinline uint32_t recurse(unsigned depth, struct captured *ret)
{
    uint32_t node = depth ? recurse(depth - 1, ret) : capture(ret);
    __asm__ volatile("");
    return node;
}

Test(unwind, a_deep_stack_is_cut_at_its_root)
{
    for (unsigned depth = 0; depth < 5 * DEPTH; depth++) {
        recurse(depth, &one);
        expect_same_frames(&one);
        if (one.total < 2 * DEPTH)
            cr_expect_eq(one.cut, CHAIN_WHOLE);
        else
            cr_expect_neq(one.cut, CHAIN_WHOLE);
    }
}

Test(unwind, deep_stacks_share_their_nodes)
{
    recurse(100 * DEPTH, NULL);
    uint32_t before = count_nodes();
    for (unsigned depth = 100 * DEPTH; depth < 110 * DEPTH; depth++)
        recurse(depth, NULL);
    cr_expect_leq(count_nodes() - before, 4 * 10 * DEPTH, "a few nodes for each, not a chain for each");
}

#define DEEPEST (HAS_UNWIND_RULES ? 200000u : 3000u) /* libunwind alone takes too long for many deep ones */

static noinline uint32_t dig(unsigned depth)
{
    volatile char room[100];
    room[0] = (char)depth;
    uint32_t deeper = depth ? dig(depth - 1) : 0, node;
    if (depth % 50 == 0 && depth > DEEPEST - LONGEST / 2) {
        node = capture(&one);
        expect_same_frames(&one);
    } else {
        uint64_t cut;
        node = capture(NULL);
        if (chain_read(node, NULL, 0, &cut) < MIN(DEPTH, DEEPEST - depth))
            cr_assert_fail("a chain shorter than the depth, %u frames from the end", depth);
    }
    return node + deeper + (uint32_t)room[0];
}

/* The frames near the root are given up, and found again on the way back. */
Test(unwind, more_frames_than_are_kept)
{
    pthread_attr_t attributes;
    pthread_t thread;

    cr_assert_eq(unwind_init(DEPTH, 100000), 0);
    unwind_thread_reset(state);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 20);
    cr_assert_eq(pthread_create(&thread, &attributes, (void *(*)(void *))(void *)dig, (void *)(uintptr_t)DEEPEST), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    unwind_thread_reset(state);
    cr_assert_eq(unwind_init(DEPTH, 1), 0);
    capture(&one);
    expect_same_frames(&one);
}

Test(unwind, nodes_carry_the_epoch)
{
    for (unsigned i = 0; i < 2; i++) {
        modules_epoch += i;
        capture(i ? &two : &one);
        expect_same_frames(i ? &two : &one);
    }
    cr_expect_neq(one.node, two.node);
}

Test(unwind, a_flush_changes_nothing_that_is_seen)
{
    uint32_t nodes[4];

    for (volatile unsigned i = 0; i < 4; i++) {
        nodes[i] = capture(NULL);
        if (i & 1)
            rules_flush();
        else
            unwind_thread_reset(state);
    }
    for (unsigned i = 1; i < 4; i++)
        cr_expect_eq(nodes[i], nodes[0]);
}

static void take_signal(int number)
{
    (void)number;
    capture(&one);
}

static bool has_exact(const struct captured *captured)
{
    for (size_t i = 0; i < captured->length; i++)
        if (captured->frames[i].meta & NODE_EXACT)
            return true;
    return false;
}

Test(unwind, an_interrupted_frame_is_marked)
{
    static uint8_t stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_handler = take_signal};

    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    expect_same_frames(&one);
    cr_expect(has_exact(&one));
    sigaltstack(&alternate, NULL);
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR1, &action, NULL);
    for (unsigned i = 0; i < 3; i++) {
        raise(SIGUSR1);
        expect_same_frames(&one);
        cr_expect(has_exact(&one));
        capture(&two);
        expect_same_frames(&two);
        cr_expect_not(has_exact(&two));
    }
}

Test(unwind, every_nth_stack_is_compared)
{
    cr_assert_eq(unwind_init(DEPTH, 3), 0);
    unwind_thread_reset(state);
    uint64_t before = ledger_header->self_checks;
    for (unsigned i = 0; i < 9; i++)
        capture(NULL);
    cr_expect_eq(ledger_header->self_checks - before, HAS_UNWIND_RULES ? 3 : 0);
    cr_assert_eq(unwind_init(DEPTH, 0), 0);
    for (unsigned i = 0; i < 9; i++)
        capture(NULL);
    cr_expect_eq(ledger_header->self_checks - before, HAS_UNWIND_RULES ? 3 : 0);
}

#if defined(__x86_64__)

/* Calls `function` with a frame that claims to be found by rbp, while rbp is `lie`; the second one has a wrong return
 * address above it. What is captured below ends somewhere, and nothing is read that is not there. */
__asm__(".text\n"
        "call_with_lie:\n"
        ".cfi_startproc\n"
        "push %rbp\n"
        "push %rbx\n"
        "mov %rsp, %rbx\n"
        "mov %rdi, %rbp\n"
        "and $-16, %rsp\n"
        ".cfi_def_cfa 6, 16\n"
        ".cfi_offset 6, -16\n"
        "call *%rsi\n"
        ".cfi_def_cfa 3, 24\n"
        ".cfi_offset 6, -16\n"
        "mov %rbx, %rsp\n"
        "pop %rbx\n"
        "pop %rbp\n"
        "ret\n"
        ".cfi_endproc\n");

void call_with_lie(uintptr_t lie, void (*function)(void));

static noinline void capture_lie(void)
{
    capture(&one);
    capture(&two);
    __asm__ volatile("");
}

Test(unwind, a_garbled_stack_ends_without_harm)
{
    static uintptr_t words[64];
    uintptr_t lies[] = {0, 8, 4096, 0x800000000000, UINTPTR_MAX - 15, (uintptr_t)&words[16], (uintptr_t)words + 3};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        words[i] = i % 2 ? (uintptr_t)capture_lie + 4 : (uintptr_t)&words[(i + 8) % 64];
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        call_with_lie(lies[i], capture_lie);
        expect_same_frames(&one);
        expect_same_frames(&two);
    }
}

#endif
