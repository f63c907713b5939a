/* SPDX-License-Identifier: MIT
 *
 * What a thread says of its work, and the domains and tables of tracked regions. */
#include "labels.h"

#include "domains.h"
#include "ledger_fixture.h"
#include "side_table.h"
#include "stacks.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define GENERATION 7u

static unsigned settled;

static void settle(void)
{
    settled++;
}

static void set_up(void)
{
    fixture_open();
    labels_init(settle);
}

TestSuite(labels, .init = set_up, .fini = fixture_close);
TestSuite(domains, .init = fixture_open, .fini = fixture_close);

/* The label of a node that labels_apply gave; "" = it has none. */
static const char *label_of(uint32_t node, uint64_t *ret_flags)
{
    const struct ledger_node *entry = node ? ledger_entry(LEDGER_NODES, node) : NULL;

    *ret_flags = 0;
    if (!entry || !(entry->meta & NODE_LABEL))
        return "";
    *ret_flags = entry->key & ~(uint64_t)UINT32_MAX;
    uint32_t text = (uint32_t)entry->key;
    return text ? ((const struct ledger_text *)ledger_entry(LEDGER_TEXT, text))->bytes : "";
}

static void expect(uint32_t python, const char *label, uint64_t flags)
{
    uint64_t found;
    uint32_t node = labels_apply(python, GENERATION);
    const char *text = label_of(node, &found);

    cr_expect_eq(strncmp(text, label, strlen(label)), 0, "%s, not %s", text, label);
    cr_expect_eq(found, flags);
    if (*label || flags)
        cr_expect_eq(((const struct ledger_node *)ledger_entry(LEDGER_NODES, node))->parent, python);
    else
        cr_expect_eq(node, python);
}

Test(labels, nest)
{
    uint32_t frame = stacks_node(0, 1ULL << 32, NODE_PYTHON);

    expect(frame, "", 0);
    cr_assert_eq(labels_push("outer"), 0);
    cr_expect(labels_used);
    expect(frame, "outer", 0);
    expect(0, "outer", 0);
    cr_assert_eq(labels_push("inner"), 0);
    expect(frame, "inner", 0);
    cr_assert_eq(labels_enter(LABELS_IGNORED), 0);
    expect(frame, "inner", LABEL_IGNORED);
    cr_assert_eq(labels_pop(), 0);
    expect(frame, "outer", LABEL_IGNORED);
    cr_assert_eq(labels_pop(), 0);
    expect(frame, "", LABEL_IGNORED);
    cr_assert_eq(labels_leave(LABELS_IGNORED), 0);
    expect(frame, "", 0);
    cr_expect_not(labels_used);
    cr_expect_eq(settled, 2);
}

Test(labels, equal_labels_are_one_node)
{
    uint32_t frame = stacks_node(0, 1ULL << 32, NODE_PYTHON), other = stacks_node(frame, 2ULL << 32, NODE_PYTHON);

    labels_push("same");
    uint32_t first = labels_apply(frame, GENERATION);
    cr_expect_neq(labels_apply(other, GENERATION), first);
    cr_expect_eq(labels_apply(frame, GENERATION), first);
    labels_pop();
    labels_push("same");
    cr_expect_eq(labels_apply(frame, GENERATION), first);
    labels_pop();
}

Test(labels, wrong)
{
    char text[80];

    memset(text, 'x', sizeof(text));
    text[64] = '\0';
    cr_expect_eq(labels_push(NULL), -EINVAL);
    cr_expect_eq(labels_push(""), -EINVAL);
    cr_expect_eq(labels_push(text), -EINVAL);
    cr_expect_eq(labels_pop(), -EINVAL);
    cr_expect_eq(labels_leave(LABELS_QUIET), -EINVAL);
    cr_expect_eq(labels_leave(LABELS_IGNORED), -EINVAL);
    cr_expect_not(labels_used);
}

Test(labels, quiet_is_no_label)
{
    cr_assert_eq(labels_enter(LABELS_QUIET), 0);
    cr_assert_eq(labels_enter(LABELS_QUIET), 0);
    cr_expect(labels_quiet());
    cr_expect_not(labels_used);
    cr_assert_eq(labels_leave(LABELS_QUIET), 0);
    cr_expect(labels_quiet());
    cr_assert_eq(labels_leave(LABELS_QUIET), 0);
    cr_expect_not(labels_quiet());
}

static void *label_and_end(void *unused)
{
    labels_push("thread");
    labels_enter(LABELS_QUIET);
    labels_end_thread();
    cr_expect_not(labels_quiet());
    return unused;
}

Test(labels, end_with_their_thread)
{
    pthread_t thread;

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pthread_create(&thread, NULL, label_and_end, NULL), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
    cr_expect_not(labels_used);
    expect(0, "", 0);
}

/* ---- domains ---- */

Test(domains, numbers_and_names)
{
    uint32_t numpy = domains_of_number(DOMAINS_NUMPY), seven = domains_of_number(7);
    uint32_t arena = domains_of_name("arena");

    cr_expect_str_eq(domains_get(numpy)->name, "numpy");
    cr_expect_str_eq(domains_get(seven)->name, "domain-7");
    cr_expect_str_eq(domains_get(domains_of_number(0))->name, "tracked");
    cr_expect_eq(domains_of_number(7), seven);
    cr_expect_neq(arena, 0);
    cr_expect_eq(domains_of_name("arena"), arena);
    cr_expect_str_eq(domains_get(domains_of_number(arena))->name, "arena");
    cr_expect_eq(domains_of_name("numpy"), DOMAINS_NUMPY);
}

Test(domains, texts_belong_to_a_ledger)
{
    uint32_t place = domains_of_number(9), text = domains_text(place, GENERATION);

    cr_expect_neq(text, 0);
    cr_expect_eq(domains_text(place, GENERATION), text);
    cr_expect_str_eq(domains_name(text, GENERATION), "domain-9");
    cr_expect_null(domains_name(text, GENERATION + 1));
    cr_expect_null(domains_name(0, GENERATION));
}

Test(domains, too_many)
{
    char name[16];
    uint32_t last = 1;

    for (unsigned i = 0; i < DOMAINS_MAX + 10; i++) {
        snprintf(name, sizeof(name), "d%u", i);
        last = domains_of_name(name);
    }
    cr_expect_eq(last, 0);
    cr_expect_neq(domains_of_name("d5"), 0);
    cr_expect_eq(domains_of_number(123456), domains_of_number(0));
}

/* ---- tables ---- */

Test(side_table, keeps_what_was_put)
{
    static struct side_table table;
    enum { COUNT = 20000 };

    cr_expect_eq(side_table_find(&table, 5), 0);
    cr_expect_eq(side_table_take(&table, 5), 0);
    for (uint32_t i = 1; i <= COUNT; i++)
        cr_assert(side_table_put(&table, (uint64_t)i * 4096 | (uint64_t)(i % 3) << 48, i));
    cr_expect_eq(table.count, COUNT);
    cr_assert(side_table_put(&table, 4096 | 1ull << 48, 99));
    cr_expect_eq(table.count, COUNT, "the place of the older one");
    cr_expect_eq(side_table_find(&table, 4096 | 1ull << 48), 99);
    for (uint32_t i = 2; i <= COUNT; i += 2)
        cr_assert_eq(side_table_take(&table, (uint64_t)i * 4096 | (uint64_t)(i % 3) << 48), i);
    for (uint32_t i = 3; i <= COUNT; i++)
        cr_assert_eq(side_table_find(&table, (uint64_t)i * 4096 | (uint64_t)(i % 3) << 48), i % 2 ? i : 0);
    side_table_fork_child(&table);
    cr_expect_eq(table.count, 0);
    cr_expect_eq(side_table_find(&table, 3 * 4096), 0);
}
