/* SPDX-License-Identifier: MIT
 *
 * A ledger in a folder of its own, for unit tests of the shim's modules. Each Criterion test is a process of its own, so one
 * ledger a process is enough. */
#ifndef TESTS_LEDGER_FIXTURE_H
#define TESTS_LEDGER_FIXTURE_H

#include "ledger.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char fixture_folder[64];
static char fixture_report[128];

static inline void fixture_make_folder(void)
{
    snprintf(fixture_folder, sizeof(fixture_folder), "/tmp/memshim-unit-XXXXXX");
    cr_assert_not_null(mkdtemp(fixture_folder));
    snprintf(fixture_report, sizeof(fixture_report), "%s/r.jsonl", fixture_folder);
}

static inline void fixture_open(void)
{
    fixture_make_folder();
    cr_assert_eq(ledger_create(fixture_report), 0);
}

static inline int fixture_remove_one(const char *path, const struct stat *status, int flag, struct FTW *place)
{
    (void)status, (void)flag, (void)place;
    return remove(path);
}

static inline void fixture_close(void)
{
    ledger_remove();
    nftw(fixture_folder, fixture_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
