/* SPDX-License-Identifier: MIT
 *
 * What an extension module may lose of CPython's, on every interpreter there is: kinds, counts, bytes, and what the reference
 * audit says of the objects. */
#include "pythons.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(references);

#define COUNT 10

/* What the function of the target's that is called `name` loses: COUNT blocks of this type or domain. */
struct loss {
    const char *name, *type, *domain;
    const char *kind;
    long long size;     /* bytes of one, 0 = it depends on the version */
    long long surplus;  /* of all, 0 = nothing is said */
    const char *unseen; /* type that hides cycles */
};

static const struct loss losses[] = {
    {"lose_str", "str", "obj", "definite", .surplus = COUNT},
    {"lose_bytes", "bytes", "obj", "definite", .size = 43, .surplus = COUNT},
    {"lose_list", "list", "obj", "definite", .surplus = COUNT},
    {"lose_dict", "dict", "obj", "definite", .surplus = COUNT},
    {"lose_exception", "ValueError", "obj", "definite", .surplus = COUNT},
    {"lose_code", "code", "obj", "definite", .surplus = COUNT},
    {"lose_module", "module", "obj", "definite", .surplus = COUNT},
    {"lose_method", "method", "obj", "definite", .surplus = COUNT},
    {"lose_buffer", "bytearray", "obj", "definite", .surplus = COUNT},
    {"lose_type", "type", "obj", "definite", .surplus = COUNT},
    {"lose_object", "lost.Object", "obj", "definite", .size = 16, .surplus = COUNT},
    {"lose_mem", NULL, "mem", "definite", .size = 40},
    {"lose_raw", NULL, "raw", "definite", .size = 40},
    {"lose_capsule", NULL, "malloc", "definite", .size = 40},
    {"keep_too_many", "str", "obj", "reachable", .surplus = 2 * COUNT},
    {"lose_in_blind_cycles", "lost.Blind", "obj", "definite", .size = 40, .unseen = "lost.Blind"},
    {"lose_in_plain_cycles", "lost.Plain", "obj", "definite", .size = 24, .unseen = "lost.Plain"},
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Of the program's own leaks, startup and interpreter left out. */
static bool is_program(const json_t *leak)
{
    return !json_is_true(json_object_get(leak, "startup")) && !json_is_true(json_object_get(leak, "interpreter"));
}

static bool has_function(const json_t *leak, const char *function)
{
    size_t i;
    json_t *frame;

    json_array_foreach(json_object_get(leak, "stack"), i, frame)
    {
        if (strcmp(text_of(frame, "function"), function) == 0)
            return true;
    }
    return false;
}

struct found {
    long long blocks, bytes, objects, surplus, cycles;
    bool sure, unseen;
};

/* Objects come from free lists, with the stacks of earlier ones: all of the kind count. What is kept is told from the rest by
 * its stack. A stale word may point into the middle of something. */
static struct found find(const json_t *report, const struct loss *loss)
{
    struct found found = {.sure = true, .unseen = true};
    bool lost = strcmp(loss->kind, "reachable") != 0;
    size_t i;
    json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        const json_t *said = json_object_get(leak, "references");
        const char *kind = text_of(leak, "kind");
        bool same =
            strcmp(kind, loss->kind) == 0 || (lost && strcmp(kind, "possible") == 0 && has_function(leak, loss->name));
        if (!is_program(leak) || !same || strcmp(text_of(leak, "domain"), loss->domain) != 0 ||
            strcmp(text_of(leak, "type"), loss->type ? loss->type : "") != 0 ||
            (!lost && !has_function(leak, loss->name)))
            continue;
        found.blocks += json_integer_value(json_object_get(leak, "blocks"));
        found.bytes += json_integer_value(json_object_get(leak, "bytes"));
        found.objects += json_integer_value(json_object_get(said, "objects"));
        found.surplus += json_integer_value(json_object_get(said, "surplus"));
        found.cycles += json_integer_value(json_object_get(said, "cycles"));
        found.sure = found.sure && strcmp(text_of(said, "confidence"), "low") != 0;
        found.unseen = found.unseen && strcmp(text_of(said, "unseen"), loss->unseen ? loss->unseen : "") == 0;
    }
    return found;
}

static void check(const char *python, const json_t *report, const struct loss *loss)
{
    struct found found = find(report, loss);

    /* The address of one block may still lie about somewhere in the C library's memory; objects are pointed at by less. */
    cr_expect(found.blocks == COUNT || (!loss->type && found.blocks == COUNT - 1), "%s %s: %lld blocks", python,
              loss->name, found.blocks);
    if (loss->size)
        cr_expect_eq(found.bytes, found.blocks * loss->size, "%s %s: %lld bytes", python, loss->name, found.bytes);
    cr_expect_eq(found.objects, loss->surplus ? COUNT : 0, "%s %s: %lld objects", python, loss->name, found.objects);
    cr_expect_eq(found.surplus, loss->surplus, "%s %s: %lld too many", python, loss->name, found.surplus);
    cr_expect_eq(found.cycles, loss->unseen ? COUNT : 0, "%s %s: %lld cycles", python, loss->name, found.cycles);
    cr_expect(found.sure && found.unseen, "%s %s", python, loss->name);
}

ParameterizedTestParameters(references, lost)
{
    static struct python pythons[PYTHONS_MAX];
    return cr_make_param_array(struct python, pythons, pythons_find(pythons));
}

/* One process loses everything. */
ParameterizedTest(struct python *python, references, lost)
{
    enum { LOSSES = sizeof(losses) / sizeof(*losses) };
    char *script = text_format("%s/tests/targets/lose_references.py", test_variable("TEST_SOURCE"));
    char *extension = target_path("lose_references.so");
    const char *argv[LOSSES + 5] = {python->path, script, extension, "keep_rightly"};

    for (size_t i = 0; i < LOSSES; i++)
        argv[4 + i] = losses[i].name;
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);
    cr_assert_eq(traced.run.status, 0, "%s", python->path);
    for (size_t i = 0; i < LOSSES; i++)
        check(python->path, traced.report, &losses[i]);
    struct found kept = find(traced.report, &(struct loss){"keep_rightly", "str", "obj", "reachable"});
    cr_expect_eq(kept.blocks, COUNT, "%s: %lld kept rightly", python->path, kept.blocks);
    cr_expect_eq(kept.objects, 0, "%s: %lld accused", python->path, kept.objects);
    traced_clear(&traced);
    free(script);
    free(extension);
}

/* Objects that something still points at are no leaks for the gate, unless it is asked. */
Test(references, gate, .timeout = 120)
{
    char *script = text_format("%s/tests/targets/lose_references.py", test_variable("TEST_SOURCE"));
    char *extension = target_path("lose_references.so"), *folder = folder_new();
    static const struct {
        const char *function, *kinds, *said;
        int status;
    } cases[] = {
        {"keep_too_many", "definite,possible,errors", "gate passed", 0},
        {"keep_too_many", "definite,over-referenced",
         "gate failed: 10 over-referenced objects: --fail-on over-referenced", 1},
        {"keep_rightly", "over-referenced", "gate passed", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *reports = text_format("%s/%zu", folder, i);
        struct outcome gate = spawn_run(LIST(memshim_path(), "gate", "--fail-on", cases[i].kinds, "--reports", reports,
                                             "--", "/usr/bin/python3", script, extension, cases[i].function),
                                        NULL);
        cr_expect_eq(gate.status, cases[i].status, "%s %s: %d\n%s", cases[i].function, cases[i].kinds, gate.status,
                     gate.out);
        cr_expect(strstr(gate.out, cases[i].said) || strstr(gate.err, cases[i].said), "%s%s", gate.out, gate.err);
        outcome_clear(&gate);
        free(reports);
    }
    folder_remove(folder);
    free(script);
    free(extension);
}

/* ---- thread states ---- */

static long long count_states(const json_t *report, const char *function, const char *kind)
{
    long long blocks = 0;
    size_t i;
    json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        if (is_program(leak) && strcmp(text_of(leak, "type"), "PyThreadState") == 0 &&
            strcmp(text_of(leak, "domain"), "raw") == 0 && strcmp(text_of(leak, "kind"), kind) == 0 &&
            (!function || has_function(leak, function)))
            blocks += json_integer_value(json_object_get(leak, "blocks"));
    }
    return blocks;
}

static long long count_lost_at_all(const json_t *report)
{
    long long blocks = 0;
    size_t i;
    json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i,
                       leak) if (is_program(leak) && strcmp(text_of(leak, "kind"), "reachable") != 0) blocks +=
        json_integer_value(json_object_get(leak, "blocks"));
    return blocks;
}

ParameterizedTestParameters(references, states)
{
    static struct python pythons[PYTHONS_MAX];
    return cr_make_param_array(struct python, pythons, pythons_find(pythons));
}

/* Whether the interpreter takes itself down, and frees them, or not. Threads that are at work have theirs rightly. */
ParameterizedTest(struct python *python, references, states)
{
    static const char *const ends[] = {"exit", "_exit"};
    char *script = text_format("%s/tests/targets/lose_states.py", test_variable("TEST_SOURCE"));
    char *extension = target_path("lose_states.so");

    /* A report of a process that is not finalized is large. */
    for (size_t i = 0; i < (strncmp(python->path, "/usr/bin/", strlen("/usr/bin/")) == 0 ? 2 : 1); i++) {
        struct traced traced = trace(BY_LAUNCHER, NULL,
                                     LIST(python->path, script, extension, ends[i], "delete_new", "release_ensured",
                                          "keep_new", "lose_new", "lose_ensured"),
                                     NULL);
        cr_assert_eq(traced.run.status, 0, "%s", python->path);
        cr_expect_eq(count_states(traced.report, "lose_new", "definite"), COUNT, "%s %s", python->path, ends[i]);
        /* Seen once in 150 runs on 3.8: a word that was left over leads to one of them. */
        long long ensured = count_states(traced.report, "ensure_only", "definite");
        cr_expect(ensured == COUNT || ensured == COUNT - 1, "%s %s: %lld", python->path, ends[i], ensured);
        cr_expect_eq(count_states(traced.report, NULL, "definite"), COUNT + ensured, "%s %s", python->path, ends[i]);
        traced_clear(&traced);
        traced =
            trace(BY_LAUNCHER, NULL,
                  LIST(python->path, script, extension, ends[i], "delete_new", "release_ensured", "keep_new"), NULL);
        cr_expect_eq(count_lost_at_all(traced.report), 0, "%s %s: a clean program", python->path, ends[i]);
        traced_clear(&traced);
    }
    free(script);
    free(extension);
}

/* A thread that runs may have the state with which it was started in its registers only; but not those of others. */
Test(references, states_of_running_threads)
{
    char *script = text_format("%s/tests/targets/lose_states.py", test_variable("TEST_SOURCE"));
    char *extension = target_path("lose_states.so");
    struct traced traced =
        trace(BY_LAUNCHER, NULL, LIST("/usr/bin/python3", script, extension, "_exit", "spin_aside", "lose_new"), NULL);

    long long lost = count_states(traced.report, "lose_new", "definite");
    cr_expect_eq(lost, COUNT, "%lld", lost);
    traced_clear(&traced);
    free(script);
    free(extension);
}

/* ---- what is lost by the end of the interpreter ---- */

static long long count_lost(const json_t *report, const char *function, const char *caller)
{
    long long blocks = 0;
    size_t i;
    json_t *leak;

    json_array_foreach(json_object_get(report, "leaks"), i, leak)
    {
        if (is_program(leak) && strcmp(text_of(leak, "kind"), "reachable") != 0 && has_function(leak, function) &&
            has_function(leak, caller))
            blocks += json_integer_value(json_object_get(leak, "blocks"));
    }
    return blocks;
}

ParameterizedTestParameters(references, lost_at_end)
{
    static struct python pythons[PYTHONS_MAX];
    return cr_make_param_array(struct python, pythons, pythons_find(pythons));
}

ParameterizedTest(struct python *python, references, lost_at_end)
{
    char *script = text_format("%s/tests/targets/lose_at_end.py", test_variable("TEST_SOURCE"));
    char *extension = target_path("lose_references.so");
    char *folder = folder_new();
    const char *argv[] = {python->path, script, extension, folder, NULL};
    struct traced traced = trace(BY_LAUNCHER, NULL, argv, NULL);
    long long raw = count_lost(traced.report, "lose_raw", "_find_and_load");

    cr_assert_eq(traced.run.status, 0, "%s", python->path);
    cr_expect_eq(count_lost(traced.report, "make_capsule", "_find_and_load"), 0, "%s", python->path);
    long long later = count_lost(traced.report, "make_capsule", "later");
    /* Freed capsules may lie in an arena of the interpreter's in which nothing lives, and still point to some. */
    cr_expect(later >= 1 && later <= COUNT, "%s: %lld blocks", python->path, later);
    /* Of the last ones addresses may lie about. */
    cr_expect(raw >= COUNT / 2 && raw <= COUNT, "%s: %lld blocks", python->path, raw);
    traced_clear(&traced);
    folder_remove(folder);
    free(script);
    free(extension);
}
