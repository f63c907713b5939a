/* SPDX-License-Identifier: MIT */
#include "stacks.h"

#include "ledger_fixture.h"

#include <pthread.h>
#include <string.h>

TestSuite(stacks, .init = fixture_open, .fini = fixture_close);

Test(stacks, equal_nodes_have_equal_ids)
{
    uint32_t root = stacks_node(0, 0x1000, NODE_NATIVE), leaf = stacks_node(root, 0x2000, NODE_NATIVE);

    cr_assert_neq(root, 0);
    cr_expect_neq(root, leaf);
    cr_expect_eq(stacks_node(0, 0x1000, NODE_NATIVE), root);
    cr_expect_eq(stacks_node(root, 0x2000, NODE_NATIVE), leaf);
    cr_expect_neq(stacks_node(0, 0x2000, NODE_NATIVE), leaf);
    cr_expect_neq(stacks_node(root, 0x2000, NODE_NATIVE | NODE_EXACT), leaf);
    cr_expect_neq(stacks_node(root, 0x2000, NODE_NATIVE | 1u << NODE_EPOCH_SHIFT), leaf);
}

Test(stacks, a_node_is_what_was_interned)
{
    uint32_t root = stacks_node(0, 1, NODE_PYTHON), leaf = stacks_node(root, 0xdeadbeefcafe, NODE_PYTHON | NODE_ENTRY);
    const struct ledger_node *node = ledger_entry(LEDGER_NODES, leaf);

    cr_expect_eq(node->key, 0xdeadbeefcafe);
    cr_expect_eq(node->parent, root);
    cr_expect_eq(node->meta, NODE_PYTHON | NODE_ENTRY);
}

Test(stacks, the_tables_grow_and_forget_nothing)
{
    enum { COUNT = 200000 };
    static uint32_t ids[COUNT];

    for (uint32_t i = 0; i < COUNT; i++) {
        ids[i] = stacks_node(i % 5 ? ids[i - 1] : 0, i * 64, NODE_NATIVE);
        cr_assert_neq(ids[i], 0);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        cr_assert_eq(stacks_node(i % 5 ? ids[i - 1] : 0, i * 64, NODE_NATIVE), ids[i]);
}

Test(stacks, traces_count)
{
    uint32_t native = stacks_node(0, 1, NODE_NATIVE), python = stacks_node(0, 1, NODE_PYTHON);
    uint32_t trace = stacks_trace(native, python);

    cr_expect_eq(stacks_trace(0, 0), 0);
    cr_expect_eq(stacks_trace(native, python), trace);
    cr_expect_neq(stacks_trace(native, 0), trace);
    cr_expect_neq(stacks_trace(0, python), trace);
    stacks_count(trace, 3, 100);
    stacks_count(trace, 1, 1);
    const struct ledger_trace *entry = ledger_entry(LEDGER_TRACES, trace);
    cr_expect_eq(entry->native, native);
    cr_expect_eq(entry->python, python);
    cr_expect_eq(entry->allocations, 4);
    cr_expect_eq(entry->bytes, 101);
}

Test(stacks, nothing_is_left_after_a_reset)
{
    uint32_t before = stacks_node(0, 1, NODE_NATIVE);

    stacks_reset();
    uint32_t after = stacks_node(0, 1, NODE_NATIVE);
    cr_expect_neq(after, 0);
    cr_expect_neq(after, before, "the index still knew the old entry");
}

enum { THREADS = 4, DISTINCT = 30000 };

static void *intern_all(void *argument)
{
    uint32_t *ids = argument;

    for (uint32_t i = 0; i < DISTINCT; i++)
        ids[i] = stacks_node(0, i * 16 + 8, NODE_NATIVE);
    return NULL;
}

/* Two threads may make one node twice, but whatever id they get holds the right contents. */
Test(stacks, threads_agree_on_contents)
{
    static uint32_t ids[THREADS][DISTINCT];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, intern_all, ids[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int t = 0; t < THREADS; t++) {
        for (uint32_t i = 0; i < DISTINCT; i++) {
            const struct ledger_node *node = ledger_entry(LEDGER_NODES, ids[t][i]);
            cr_assert_eq(node->key, i * 16 + 8);
            cr_assert_eq(node->meta, NODE_NATIVE);
        }
    }
}
