/* SPDX-License-Identifier: MIT
 *
 * memshim/scope.h: the target measures itself, in each way in which blocks are recorded. */
#include "trace.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void assert_exact(const char *options, const char *argument)
{
    char *program = target_path("scope_use");
    struct outcome run = trace_without_report(options, LIST(program, argument), NULL);

    cr_expect_eq(run.status, 0, "%s: %d: %s%s", options ? options : "", run.status, run.out, run.err);
    outcome_clear(&run);
    free(program);
}

Test(scopes, exact)
{
    assert_exact(NULL, NULL);
}

Test(scopes, with_guard_bytes)
{
    assert_exact("guard=1", NULL);
    assert_exact("guard=1:quarantine=0", NULL);
}

Test(scopes, with_checked_stacks)
{
    assert_exact("self_check=7", NULL);
}

Test(scopes, with_sampling)
{
    assert_exact("sample=1000", "sampled");
}

Test(scopes, bare)
{
    char *program = target_path("scope_use");
    struct outcome run = spawn_run(LIST(program), NULL);

    cr_expect_eq(run.status, 0);
    outcome_clear(&run);
    free(program);
}
