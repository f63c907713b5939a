/* SPDX-License-Identifier: MIT */
#include "runs.h"

#include <criterion/criterion.h>
#include <string.h>

static struct process processes[] = {{.run = 0}, {.run = 1}, {.run = 2}, {.run = 2}};
static struct leak items[16];
static struct leaks leaks = {.items = items};

static struct leak *add(size_t process, const char *fingerprint, enum leak_kind kind, uint64_t bytes)
{
    struct leak *leak = &items[leaks.count++];
    *leak = (struct leak){.process = &processes[process], .kind = kind, .known = true, .blocks = 1, .bytes = bytes};
    strcpy(leak->fingerprint, fingerprint);
    return leak;
}

Test(runs, what_one_run_does_not_have_goes)
{
    add(0, "aa", LEAK_DEFINITE, 10);
    add(1, "aa", LEAK_DEFINITE, 10);
    cr_expect_eq(runs_keep_common(&leaks, 3), 0);
    cr_expect_eq(leaks.count, 0);
}

Test(runs, of_what_all_have_the_run_with_least_is_kept)
{
    add(2, "aa", LEAK_DEFINITE, 6);
    add(3, "aa", LEAK_DEFINITE, 6);
    add(0, "bb", LEAK_DEFINITE, 10);
    add(0, "aa", LEAK_DEFINITE, 20);
    add(1, "aa", LEAK_POSSIBLE, 13);
    cr_expect_eq(runs_keep_common(&leaks, 3), 0);
    cr_assert_eq(leaks.count, 2, "both processes of the third run");
    cr_expect_eq(leaks.items[0].process, &processes[2]);
    cr_expect_eq(leaks.items[1].process, &processes[3]);
}

/* A block that is reachable in one run is not lost in all of them. */
Test(runs, lost_is_not_reachable)
{
    add(0, "aa", LEAK_DEFINITE, 20);
    add(1, "aa", LEAK_REACHABLE, 20);
    cr_expect_eq(runs_keep_common(&leaks, 2), 0);
    cr_expect_eq(leaks.count, 0);
}

Test(runs, no_leaks_at_all)
{
    cr_expect_eq(runs_keep_common(&leaks, 2), 0);
    cr_expect_eq(leaks.count, 0);
}

Test(runs, errors_count_once)
{
    struct process *list[] = {&processes[0], &processes[1], &processes[2], &processes[3]};
    struct model model = {.processes = list, .process_count = 4};
    processes[1].error_count = 2;
    processes[2].error_count = 1;
    processes[3].error_count = 2;
    runs_keep_errors(&model, 3);
    cr_expect_eq(processes[1].error_count, 0);
    cr_expect_eq(processes[2].error_count, 1);
    cr_expect_eq(processes[3].error_count, 2);
}
