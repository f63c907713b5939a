/* SPDX-License-Identifier: MIT
 *
 * memshim/pool.h between processes, bare and under memshim: what nobody freed is named, with the process and the stack that made
 * it, whatever became of these. */
#include "trace.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *pool_name(const char *test)
{
    return text_format("memshim-test-%s-%d", test, (int)getpid());
}

/* Runs a case bare, then traced; fails unless both end with `status`. */
static struct traced trace_case(const char *test, const char *name, const char *rounds, int status)
{
    char *program = target_path("pool_use");
    struct outcome bare = spawn_run(LIST(program, test, name, rounds), NULL);

    cr_assert_eq(bare.status, status, "%s: %d: %s", test, bare.status, bare.out);
    shm_unlink(name);
    struct traced traced = trace(BY_LAUNCHER, NULL, LIST(program, test, name, rounds), NULL);
    cr_assert_eq(traced.run.status, status, "%s: %d: %s%s", test, traced.run.status, traced.run.out, traced.run.err);
    outcome_clear(&bare);
    free(program);
    return traced;
}

static size_t error_count(const struct traced *traced)
{
    return json_array_size(json_object_get(traced->report, "errors"));
}

/* One error is planted: an allocation is freed twice, in two processes. */
Test(pools, from_one_process_to_another)
{
    char *name = pool_name("good");
    struct traced traced = trace_case("good", name, "1", 0);
    json_t *error = json_array_get(json_object_get(traced.report, "errors"), 0);

    cr_assert_eq(error_count(&traced), 1, "%s", traced.run.err);
    cr_expect_str_eq(json_string_value(json_object_get(error, "kind")), "double-free");
    cr_expect_str_eq(json_string_value(json_object_get(error, "domain")), "pool");
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "pool");
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "pool-attachment");
    traced_clear(&traced);
    free(name);
}

Test(pools, waiting)
{
    char *name = pool_name("blocking");
    struct traced traced = trace_case("blocking", name, "1", 0);

    /* what the last waiter got, if it got anything, went with the pool */
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "pool-attachment");
    traced_clear(&traced);
    free(name);
}

Test(pools, what_nobody_freed)
{
    char *name = pool_name("lost");
    struct traced traced = trace_case("lost", name, "1", 0);
    int child = atoi(traced.run.out);

    char *first = text_format("%s: type 1, id 1", name);

    ASSERT_LEAKS(traced.report, 2, 600, .domain = "pool");
    ASSERT_LEAKS(traced.report, 1, 100, .domain = "pool", .type = first, .function = "take", .caller = "lost",
                 .file = "pool_use.c");
    ASSERT_LEAKS(traced.report, 1, 500, .domain = "pool", .function = "take", .caller = "lose_and_die", .pid = child);
    char *type = text_format("%s: type 1, id 3", name);
    ASSERT_LEAKS(traced.report, 1, 500, .domain = "pool", .type = type, .pid = child);
    json_t *leak = report_leak(traced.report, &(struct query){.domain = "pool"});
    cr_expect_str_eq(json_string_value(json_object_get(leak, "kind")), "definite");
    ASSERT_LEAKS(traced.report, 0, 0, .domain = "pool-attachment");
    cr_expect_eq(error_count(&traced), 1);
    free(type);
    free(first);
    traced_clear(&traced);
    free(name);
}

Test(pools, never_detached)
{
    char *name = pool_name("attached");
    struct traced traced = trace_case("attached", name, "1", 0);

    ASSERT_LEAKS(traced.report, 1, 300, .domain = "pool", .function = "take");
    ASSERT_LEAKS(traced.report, 1, 0, .domain = "pool-attachment", .type = name, .function = "create");
    shm_unlink(name);
    traced_clear(&traced);
    free(name);
}

/* Nobody is left to tell: the pool itself is read, by `memshim run` and by its path. */
Test(pools, all_are_dead)
{
    char *name = pool_name("killed");
    struct traced traced = trace_case("killed", name, "1", 128 + 9);

    ASSERT_LEAKS(traced.report, 1, 400, .domain = "pool", .function = "take", .caller = "killed", .file = "pool_use.c");
    char *path = text_format("/dev/shm/%s", name);
    json_t *report = report_load(path);
    ASSERT_LEAKS(report, 1, 400, .domain = "pool", .function = "take", .caller = "killed");
    ASSERT_LEAKS(report, 1, 0, .domain = "pool-attachment", .type = name);
    json_decref(report);
    free(path);
    shm_unlink(name);
    traced_clear(&traced);
    free(name);
}

/* A pool that is not whole is an error line, not a crash. */
Test(pools, damaged_files)
{
    char *name = pool_name("damaged"), *program = target_path("pool_use"), *folder = folder_new();
    struct outcome run = spawn_run(LIST(program, "attached", name), NULL);
    char *path = text_format("/dev/shm/%s", name), *copy = text_format("%s/x.pool", folder);
    static char bytes[200 << 10];
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, bytes, sizeof(bytes));

    cr_assert_eq(run.status, 0);
    cr_assert_gt(size, 4096);
    close(fd);
    for (ssize_t cut = 8; cut < size; cut += cut < 64 ? 8 : 9973) {
        fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        cr_assert_eq(write(fd, bytes, (size_t)cut), cut);
        close(fd);
        struct outcome report = spawn_run(LIST(memshim_path(), "report", copy), NULL);
        cr_expect_eq(report.status, 2, "%zd bytes: %d", cut, report.status);
        cr_expect(strstr(report.err, "not a whole memory pool") != NULL, "%s", report.err);
        outcome_clear(&report);
    }
    shm_unlink(name);
    outcome_clear(&run);
    folder_remove(folder);
    free(path);
    free(copy);
    free(program);
    free(name);
}

/* One of two processes is killed in the middle of whatever it does, again and again. */
Test(pools, killed_at_any_moment)
{
    char *name = pool_name("kill_loop");
    const char *repeat = getenv("TEST_REPEAT");
    struct traced traced = trace_case("kill_loop", name, repeat ? "1000" : "40", 0);
    int left = atoi(traced.run.out);

    cr_expect_eq(error_count(&traced), 0, "%s", traced.run.err);
    struct sum sum = report_sum(traced.report, &(struct query){.domain = "pool", .function = "work"});
    cr_expect_eq(sum.blocks, left, "%lld of %d named", sum.blocks, left);
    traced_clear(&traced);
    free(name);
}

/* The same with no moment left out (in the long tests), or hardly any. */
Test(pools, killed_after_any_instruction)
{
    char *program = target_path("pool_use"), *name = pool_name("steps");
    struct outcome run = spawn_run(LIST(program, "kill_steps", name, getenv("TEST_REPEAT") ? "7" : "61"), NULL);

    cr_expect_eq(run.status, 0, "%s", run.out);
    outcome_clear(&run);
    free(program);
    free(name);
}
