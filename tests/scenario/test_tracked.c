/* SPDX-License-Identifier: MIT
 *
 * What programs say of their memory themselves: regions, domains, labels. */
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

TestSuite(tracked);

static struct traced run(const char *mode, const char *options)
{
    char *program = target_path("track_use");
    const char *argv[] = {program, mode, NULL};
    struct traced traced = trace(BY_LAUNCHER, options, argv, NULL);

    cr_assert_eq(traced.run.status, 0, "%s: %d: %s", mode, traced.run.status, traced.run.err);
    free(program);
    return traced;
}

static long long blocks_of_kind(const json_t *report, const char *domain, const char *kind, const char *function)
{
    long long blocks = 0;
    size_t i;
    const json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        size_t k;
        const json_t *frame;
        bool found = false;
        json_array_foreach(json_object_get(leak, "stack"), k, frame)
        {
            const char *name = json_string_value(json_object_get(frame, "function"));
            found |= name && strcmp(name, function) == 0;
        }
        if (found && strcmp(json_string_value(json_object_get(leak, "domain")), domain) == 0 &&
            strcmp(json_string_value(json_object_get(leak, "kind")), kind) == 0)
            blocks += json_integer_value(json_object_get(leak, "blocks"));
    }
    return blocks;
}

struct place {
    char where[8], options[32];
};

ParameterizedTestParameters(tracked, regions)
{
    static struct place places[] = {{"malloc", ""},        {"static", ""},         {"mmap", ""},
                                    {"malloc", "guard=1"}, {"malloc", "native=0"}, {"mmap", "guard=1"}};
    return cr_make_param_array(struct place, places, sizeof(places) / sizeof(*places));
}

ParameterizedTest(struct place *place, tracked, regions)
{
    struct traced traced = run(place->where, *place->options ? place->options : NULL);
    bool stacks = !strstr(place->options, "native");
    char *leaks = report_describe(traced.report);

    ASSERT_LEAKS(traced.report, 16, 1600, .domain = "arena", .function = stacks ? "item_new" : NULL);
    if (stacks) {
        cr_expect_eq(blocks_of_kind(traced.report, "arena", "definite", "lost_items"), 6, "%s", leaks);
        cr_expect_eq(blocks_of_kind(traced.report, "arena", "reachable", "work"), 8, "%s", leaks);
        cr_expect_eq(blocks_of_kind(traced.report, "arena", "possible", "work"), 2, "%s", leaks);
        cr_expect_eq(blocks_of_kind(traced.report, "malloc", "reachable", "outside_new"), 1, "%s", leaks);
        cr_expect_eq(blocks_of_kind(traced.report, "malloc", "reachable", "chunk_new"),
                     strcmp(place->where, "malloc") == 0, "%s", leaks);
    }
    free(leaks);
    traced_clear(&traced);
}

/* One record, in the domain as long as it is tracked. */
Test(tracked, blocks_of_the_allocator)
{
    const char *options[] = {NULL, "guard=1", "guard_pages=1"};

    for (int i = 0; i < 3; i++) {
        struct traced traced = run("named", options[i]);
        ASSERT_LEAKS(traced.report, 1, 500, .domain = "arena", .function = "named_new");
        ASSERT_LEAKS(traced.report, 1, 500, .domain = "malloc", .function = "named_new");
        traced_clear(&traced);
    }
}

Test(tracked, errors)
{
    struct traced traced = run("errors", NULL);
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "domain-7");
    traced_clear(&traced);
    traced = run("devices", NULL);
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "domain-12");
    traced_clear(&traced);
}

Test(tracked, bare)
{
    char *program = target_path("track_use");
    struct outcome outcome = spawn_run(LIST(program, "malloc"), NULL);

    cr_expect_eq(outcome.status, 0);
    outcome_clear(&outcome);
    free(program);
}
