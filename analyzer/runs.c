/* SPDX-License-Identifier: MIT
 *
 * Leaks are sorted by what makes them one, and each stretch of equal ones is looked at as a whole. See runs.h. */
#include "runs.h"

#include "compiler.h"

#include <errno.h>
#include <string.h>

struct sum {
    uint64_t leaks, blocks, bytes;
};

static bool is_lost(const struct leak *leak)
{
    return leak->known && leak->kind != LEAK_REACHABLE;
}

static int compare(const void *a, const void *b)
{
    const struct leak *x = *(const struct leak *const *)a, *y = *(const struct leak *const *)b;
    int order = memcmp(x->fingerprint, y->fingerprint, FINGERPRINT_SIZE);
    if (order == 0)
        order = (int)is_lost(x) - (int)is_lost(y);
    if (order == 0)
        order = (int)x->startup - (int)y->startup;
    return order ? order : (int)x->interpreter - (int)y->interpreter;
}

/* Marks those that go by taking away their blocks: a leak has some. `sums` has room for each run. */
static void judge(struct leak **items, size_t count, struct sum *sums, unsigned int runs)
{
    unsigned int least = 0;
    bool in_all = true;

    memset(sums, 0, runs * sizeof(*sums));
    for (size_t i = 0; i < count; i++) {
        struct sum *sum = &sums[items[i]->process->run];
        sum->leaks++;
        sum->blocks += items[i]->blocks;
        sum->bytes += items[i]->bytes;
    }
    for (unsigned int run = 0; run < runs; run++) {
        in_all = in_all && sums[run].leaks > 0;
        if (sums[run].bytes < sums[least].bytes ||
            (sums[run].bytes == sums[least].bytes && sums[run].blocks < sums[least].blocks))
            least = run;
    }
    for (size_t i = 0; i < count; i++) {
        if (!in_all || items[i]->process->run != least)
            items[i]->blocks = 0;
    }
}

int runs_keep_common(struct leaks *leaks, unsigned int runs)
{
    _cleanup_free_ struct leak **sorted = calloc(leaks->count + 1, sizeof(struct leak *));
    _cleanup_free_ struct sum *sums = calloc(runs + 1, sizeof(*sums));
    size_t kept = 0;

    if (!sorted || !sums)
        return -ENOMEM;
    for (size_t i = 0; i < leaks->count; i++)
        sorted[i] = &leaks->items[i];
    qsort(sorted, leaks->count, sizeof(*sorted), compare);
    for (size_t i = 0, next; i < leaks->count; i = next) {
        for (next = i + 1; next < leaks->count && compare(&sorted[i], &sorted[next]) == 0;)
            next++;
        judge(&sorted[i], next - i, sums, runs);
    }
    for (size_t i = 0; i < leaks->count; i++) {
        if (leaks->items[i].blocks > 0)
            leaks->items[kept++] = leaks->items[i];
    }
    leaks->count = kept;
    return 0;
}

void runs_keep_errors(struct model *model, unsigned int runs)
{
    size_t most = 0;
    unsigned int worst = 0;

    for (unsigned int run = 0; run < runs; run++) {
        size_t errors = 0;
        for (size_t i = 0; i < model->process_count; i++)
            errors += model->processes[i]->run == run ? model->processes[i]->error_count : 0;
        if (errors > most) {
            most = errors;
            worst = run;
        }
    }
    for (size_t i = 0; i < model->process_count; i++) {
        if (model->processes[i]->run != worst)
            model->processes[i]->error_count = 0;
    }
}
