/* SPDX-License-Identifier: MIT
 *
 * After a traced run: which reports appeared in its folder, and reports made from the ledgers of processes that left none.
 * Never prints. */
#ifndef ANALYZER_HARVEST_H
#define ANALYZER_HARVEST_H

#include "launch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* File names, sorted. */
struct names {
    char **items;
    size_t count;
};

/* The reports and ledgers in `folder`. Returns 0 or -errno. *ret is given to names_clear. */
int names_read(const char *folder, struct names *ret);
void names_clear(struct names *names);
bool names_have(const struct names *names, const char *name);

struct harvest_problem {
    char *path;
    int error;       /* -errno */
    const char *why; /* static text, or NULL: strerror */
};

struct harvest {
    struct names reports; /* paths of what the run left: reports, and ledgers that could not be turned into one */
    int *running;         /* pids of processes that are still alive and recording */
    size_t running_count;
    struct harvest_problem *problems;
    size_t problem_count;
};

/* Puts links into `folder`, which is made anew if it is gone, for those ledgers in shared memory that were to become reports there
 * and that it has no link to: of processes of this user that started at `begun` or later (report_process_start). Returns 0 or -errno. */
int harvest_relink(const char *folder, uint64_t begun);

/* Turns every ledger in `folder` that `before` does not have and whose process is gone into its report, and removes it.
 * `result` says how the command itself ended. Gives processes that are just ending a moment to do so. Returns 0 or -errno
 * (the folder could not be read, no memory); what was found until then is in *ret, which is given to harvest_clear. */
int harvest_folder(const char *folder, const struct names *before, const struct launch_result *result,
                   struct harvest *ret);
void harvest_clear(struct harvest *harvest);

#endif
