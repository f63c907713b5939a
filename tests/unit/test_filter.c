/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <criterion/criterion.h>

static const struct frame native = {
    .language = FRAME_NATIVE, .function = "f", .file = "ext.c", .module = "/lib/ext.so"};
static const struct frame python = {.language = FRAME_PYTHON, .function = "g", .file = "/x/app.py"};
static const struct frame *native_stack[] = {&native}, *both[] = {&native, &python};
static struct stack_source sources[] = {{.stack = {native_stack, 1}}, {.stack = {both, 2}}};
static struct leak items[2];
static struct leaks leaks = {.items = items, .count = 2};
static struct filters filters;

static void set_up(void)
{
    items[0] = (struct leak){.domain = "malloc", .source = &sources[0]};
    items[1] = (struct leak){.domain = "obj", .type = "list", .source = &sources[1]};
}

TestSuite(filter, .init = set_up);

/* How many pass. */
static size_t count(void)
{
    struct model none = {0};
    cr_assert_eq(filters_apply(&filters, &none, &leaks, NULL), 0);
    return leaks.count;
}

Test(filter, words_and_patterns_are_checked)
{
    static const char *const bad[] = {"", "module", "module=", "=x", "stack=x", "modul=x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_expect_not_null(filter_parse(&filters, bad[i]), "%s", bad[i]);
    cr_expect_eq(filters.count, 0);
    for (size_t i = 0; i < FILTERS_MAX; i++)
        cr_expect_null(filter_parse(&filters, "file=a=b"));
    cr_expect_not_null(filter_parse(&filters, "file=x"), "too many");
}

Test(filter, without_filters_all_pass)
{
    cr_expect_eq(count(), 2);
}

Test(filter, any_frame_may_match)
{
    cr_assert_null(filter_parse(&filters, "file=app.py$"));
    cr_assert_eq(count(), 1);
    cr_expect_eq(items[0].type[0], 'l');
}

Test(filter, all_must_hold)
{
    cr_assert_null(filter_parse(&filters, "module=ext"));
    cr_expect_eq(count(), 2);
    cr_assert_null(filter_parse(&filters, "domain=obj"));
    cr_expect_eq(count(), 1);
    cr_assert_null(filter_parse(&filters, "function=nothing"));
    cr_expect_eq(count(), 0);
}

Test(filter, labels)
{
    items[1].label = "loading";
    cr_assert_null(filter_parse(&filters, "label=load"));
    cr_assert_eq(count(), 1);
    cr_expect_str_eq(items[0].label, "loading");
}

Test(filter, a_leak_without_a_type_has_none_that_matches)
{
    cr_assert_null(filter_parse(&filters, "type=*"));
    cr_expect_eq(count(), 1);
}
