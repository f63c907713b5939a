/* SPDX-License-Identifier: MIT */
#include "gate.h"

#include <criterion/criterion.h>
#include <errno.h>

static const struct process nobody;

static struct leak make(enum leak_kind kind, bool known, uint64_t blocks, uint64_t bytes)
{
    return (struct leak){
        .process = &nobody, .kind = kind, .known = known, .domain = "malloc", .blocks = blocks, .bytes = bytes};
}

static struct gate_verdict decide(const struct gate_limits *limits, struct leak *items, size_t count, size_t errors)
{
    struct process process = {.error_count = errors};
    struct process *processes[] = {&process};
    struct model model = {.processes = processes, .process_count = 1};
    struct leaks leaks = {.items = items, .count = count};
    struct gate_counts counts;
    struct gate_verdict verdict;
    gate_count(&model, &leaks, &counts);
    gate_decide(limits, &counts, &verdict);
    return verdict;
}

Test(gate, limits_are_parsed_by_kind_and_in_total)
{
    struct gate_limits limits = {0};
    cr_assert_null(gate_limit_parse(&limits, GATE_BYTES, "2k"));
    cr_assert_null(gate_limit_parse(&limits, GATE_BYTES, "definite=3M"));
    cr_assert_null(gate_limit_parse(&limits, GATE_BLOCKS, "reachable=7"));
    cr_assert_null(gate_limit_parse(&limits, GATE_ERRORS, "5"));
    cr_expect_eq(limits.leaks[GATE_BYTES][GATE_TOTAL].value, 2048);
    cr_expect_eq(limits.leaks[GATE_BYTES][LEAK_DEFINITE].value, 3u << 20);
    cr_expect_eq(limits.leaks[GATE_BLOCKS][LEAK_REACHABLE].value, 7);
    cr_expect_eq(limits.errors.value, 5);
    cr_expect_not(limits.leaks[GATE_BLOCKS][GATE_TOTAL].set);
}

Test(gate, bad_limits_are_refused_and_change_nothing)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "-1",
                                      "1x",
                                      "=1",
                                      "lost=1",
                                      "over-referenced=1",
                                      "definite=",
                                      "definite",
                                      " 1",
                                      "99999999999999999999",
                                      "99999999999G",
                                      "1=definite"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct gate_limits limits = {0};
        cr_expect_not_null(gate_limit_parse(&limits, GATE_BYTES, bad[i]), "%s", bad[i]);
        cr_expect_not(limits.leaks[GATE_BYTES][GATE_TOTAL].set, "%s", bad[i]);
    }
    struct gate_limits limits = {0};
    cr_expect_not_null(gate_limit_parse(&limits, GATE_BLOCKS, "1k"), "blocks have no suffix");
    cr_expect_not_null(gate_limit_parse(&limits, GATE_ERRORS, "definite=1"), "errors have no kind");
}

Test(gate, kinds_of_fail_on)
{
    unsigned int kinds = 99;
    cr_expect_eq(gate_kinds_parse("definite,errors", &kinds), 0);
    cr_expect_eq(kinds, 1u << LEAK_DEFINITE | GATE_ERRORS_BIT);
    cr_expect_eq(gate_kinds_parse("growth,possible", &kinds), 0);
    cr_expect_eq(kinds, GATE_GROWTH_BIT | 1u << LEAK_POSSIBLE);
    cr_expect_eq(gate_kinds_parse("errors,over-referenced", &kinds), 0);
    cr_expect_eq(kinds, GATE_ERRORS_BIT | GATE_REFERENCED_BIT);
    cr_expect_eq(gate_kinds_parse("definite,errors", &kinds), 0);
    cr_expect_eq(gate_kinds_parse("definite,stack", &kinds), -EINVAL);
    cr_expect_eq(gate_kinds_parse("definite,", &kinds), -EINVAL);
    cr_expect_eq(gate_kinds_parse("", &kinds), -EINVAL);
    cr_expect_eq(gate_kinds_parse("def", &kinds), -EINVAL);
    cr_expect_eq(kinds, 1u << LEAK_DEFINITE | GATE_ERRORS_BIT, "untouched on failure");
}

/* Whatever leads to them; what is hardly more than a guess is left out. */
Test(gate, over_referenced_objects_fail_when_asked_for)
{
    struct leak_references sure = {.objects = 2, .surplus = 5, .confidence = CONFIDENCE_IS_HIGH};
    struct leak_references guess = {.objects = 1, .surplus = 1, .confidence = CONFIDENCE_IS_LOW};
    struct leak items[] = {make(LEAK_REACHABLE, true, 3, 300), make(LEAK_REACHABLE, true, 1, 10)};
    struct gate_limits none = {0}, limits = {.fail_on = GATE_REFERENCED_BIT};

    items[0].references = &guess;
    cr_expect(decide(&limits, items, 2, 0).passed);
    items[0].references = &sure;
    cr_expect(decide(&none, items, 2, 0).passed);
    struct gate_verdict verdict = decide(&limits, items, 2, 0);
    cr_assert_eq(verdict.reason_count, 1);
    cr_expect_eq(verdict.reasons[0].scope, GATE_REFERENCED);
    cr_expect(verdict.reasons[0].by_kind);
    cr_expect_eq(verdict.counts.blocks[GATE_REFERENCED], 2);
    cr_expect_eq(verdict.counts.first[GATE_REFERENCED], &items[0]);
    cr_expect_eq(gate_findings(&verdict.counts, GATE_REFERENCED_BIT | GATE_ERRORS_BIT), GATE_REFERENCED_BIT);
    items[0].startup = true;
    cr_expect(decide(&limits, items, 2, 0).passed);
    items[0] = make(LEAK_REACHABLE, false, 3, 300);
    verdict = decide(&limits, items, 1, 0);
    cr_expect(verdict.passed && verdict.blind, "no scan, no audit");
}

Test(gate, a_limit_that_is_met_exactly_passes)
{
    struct leak items[] = {make(LEAK_REACHABLE, false, 10, 160)};
    struct gate_limits limits = {.leaks[GATE_BYTES][GATE_TOTAL] = {true, 160}};
    cr_expect(decide(&limits, items, 1, 0).passed);
    limits.leaks[GATE_BYTES][GATE_TOTAL].value = 159;
    struct gate_verdict verdict = decide(&limits, items, 1, 0);
    cr_expect_not(verdict.passed);
    cr_assert_eq(verdict.reason_count, 1);
    cr_expect_eq(verdict.reasons[0].rule, GATE_BYTES);
    cr_expect_eq(verdict.reasons[0].scope, GATE_TOTAL);
    cr_expect_not(verdict.reasons[0].by_default);
}

Test(gate, by_default_definite_and_possible_leaks_and_errors_fail)
{
    struct gate_limits none = {0};
    struct leak items[] = {make(LEAK_REACHABLE, true, 5, 5), make(LEAK_INDIRECT, true, 5, 5),
                           make(LEAK_DEFINITE, true, 1, 0), make(LEAK_POSSIBLE, true, 1, 8)};
    cr_expect(decide(&none, items, 2, 0).passed);
    cr_expect_not(decide(&none, items, 3, 0).passed, "a lost block of no bytes is a leak");
    struct gate_verdict verdict = decide(&none, items, 4, 2);
    cr_assert_eq(verdict.reason_count, 3);
    cr_expect_eq(verdict.reasons[0].rule, GATE_ERRORS);
    cr_expect(verdict.reasons[1].by_default);
}

Test(gate, a_limit_for_one_kind_leaves_the_default_of_the_others)
{
    struct leak items[] = {make(LEAK_DEFINITE, true, 1, 100)};
    struct gate_limits limits = {.leaks[GATE_BYTES][LEAK_REACHABLE] = {true, 1000}};
    cr_expect_not(decide(&limits, items, 1, 0).passed);
    limits.leaks[GATE_BLOCKS][LEAK_DEFINITE] = (struct gate_limit){true, 1};
    cr_expect(decide(&limits, items, 1, 0).passed, "its own limit replaces the default");
    limits = (struct gate_limits){.leaks[GATE_BYTES][GATE_TOTAL] = {true, 1000}};
    cr_expect(decide(&limits, items, 1, 0).passed, "so does a total");
}

Test(gate, a_limit_for_each_single_leak)
{
    struct leak items[] = {make(LEAK_DEFINITE, true, 3, 100), make(LEAK_REACHABLE, true, 9, 90)};
    struct gate_limits limits = {0};
    cr_assert_null(gate_limit_parse(&limits, GATE_BYTES, "stack=100"));
    cr_expect(decide(&limits, items, 2, 0).passed, "it covers lost leaks, too");
    limits.leaks[GATE_BYTES][GATE_STACK].value = 99;
    struct gate_verdict verdict = decide(&limits, items, 2, 0);
    cr_assert_eq(verdict.reason_count, 1);
    cr_expect_eq(verdict.reasons[0].scope, GATE_STACK);
    cr_expect_eq(verdict.counts.bytes[GATE_STACK], 100, "not their sum");
    cr_expect_eq(verdict.counts.first[GATE_STACK], &items[0]);
    cr_expect_eq(verdict.counts.blocks[GATE_STACK], 9);
    limits.leaks[GATE_BLOCKS][GATE_STACK] = (struct gate_limit){true, 8};
    cr_expect_eq(decide(&limits, items, 2, 0).reason_count, 2);
}

Test(gate, fail_on_replaces_the_default)
{
    struct leak items[] = {make(LEAK_DEFINITE, true, 1, 0), make(LEAK_REACHABLE, true, 1, 8)};
    struct gate_limits limits = {.fail_on = 1u << LEAK_REACHABLE};
    struct gate_verdict verdict = decide(&limits, items, 2, 3);
    cr_assert_eq(verdict.reason_count, 1, "neither the lost one nor errors");
    cr_expect_eq(verdict.reasons[0].scope, LEAK_REACHABLE);
    cr_expect(verdict.reasons[0].by_kind);
    cr_expect(gate_covers_reachable(&limits));
    limits = (struct gate_limits){.fail_on = GATE_ERRORS_BIT};
    cr_expect_eq(decide(&limits, items, 2, 3).reason_count, 1);
    limits = (struct gate_limits){.fail_on = 1u << LEAK_DEFINITE, .leaks[GATE_BYTES][GATE_TOTAL] = {true, 1000}};
    cr_expect_eq(decide(&limits, items, 2, 3).reason_count, 1, "also with a total");
    limits.leaks[GATE_BLOCKS][LEAK_DEFINITE] = (struct gate_limit){true, 1};
    cr_expect(decide(&limits, items, 2, 3).passed, "a limit of its own holds instead");
    limits.errors = (struct gate_limit){true, 2};
    cr_expect_not(decide(&limits, items, 2, 3).passed);
}

Test(gate, startup_leaks_do_not_count)
{
    struct leak items[] = {make(LEAK_DEFINITE, true, 1, 100)};
    items[0].startup = true;
    struct gate_limits limits = {.leaks[GATE_BYTES][GATE_TOTAL] = {true, 0}};
    struct gate_verdict verdict = decide(&limits, items, 1, 0);
    cr_expect(verdict.passed);
    cr_expect_not(verdict.blind, "there is nothing that could not be judged");
}

Test(gate, a_pass_without_knowledge_and_limits_is_blind)
{
    struct leak items[] = {make(LEAK_REACHABLE, false, 1, 100)};
    struct gate_limits limits = {0};
    cr_expect(decide(&limits, items, 1, 0).blind);
    limits.leaks[GATE_BLOCKS][LEAK_REACHABLE] = (struct gate_limit){true, 10};
    cr_expect_not(decide(&limits, items, 1, 0).blind);
    items[0].known = true;
    limits = (struct gate_limits){0};
    cr_expect_not(decide(&limits, items, 1, 0).blind);
}

Test(gate, findings_are_what_is_there_and_wanted)
{
    struct gate_counts counts = {.blocks[LEAK_DEFINITE] = 1, .errors = 1};
    cr_expect_eq(gate_findings(&counts, 1u << LEAK_REACHABLE), 0);
    cr_expect_eq(gate_findings(&counts, 1u << LEAK_DEFINITE | 1u << LEAK_POSSIBLE), 1u << LEAK_DEFINITE);
    cr_expect_eq(gate_findings(&counts, GATE_ERRORS_BIT), GATE_ERRORS_BIT);
}
