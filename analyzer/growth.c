/* SPDX-License-Identifier: MIT */
#include "growth.h"

#include "compiler.h"
#include "fingerprint.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* ---- trends ---- */

#define POINTS_MAX 128        /* of a longer series as many are used, evenly spread: pairs are compared */
#define CONFIDENCE_LEAST 0.99 /* of the whole series */
#define HALF_LEAST 0.25       /* of the slope of the whole: what the second half must have */
#define STEP_MOST 0.5         /* of the rise: what one interval may have */
#define RISE_LEAST 4.0        /* less is chance */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of the slopes between all pairs (Sen, 1968). */
static double median_slope(const double *times, const double *values, size_t count)
{
    static double slopes[POINTS_MAX * (POINTS_MAX - 1) / 2];
    size_t used = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            if (times[j] > times[i])
                slopes[used++] = (values[j] - values[i]) / (times[j] - times[i]);
    if (used == 0)
        return 0;
    qsort(slopes, used, sizeof(*slopes), compare_doubles);
    return used % 2 ? slopes[used / 2] : (slopes[used / 2 - 1] + slopes[used / 2]) / 2;
}

/* How likely it is that the values rise (Mann, 1945, in the normal approximation, without the correction for ties, which would
 * make it larger). */
static double rising_confidence(const double *values, size_t count)
{
    double score = 0, n = (double)count;

    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            score += (values[j] > values[i]) - (values[j] < values[i]);
    if (score <= 0)
        return 0;
    return 0.5 * (1 + erf((score - 1) / sqrt(n * (n - 1) * (2 * n + 5) / 18) / M_SQRT2));
}

static bool is_one_step(const double *values, size_t count)
{
    double largest = 0, rise = values[count - 1] - values[0];

    for (size_t i = 1; i < count; i++)
        largest = fmax(largest, values[i] - values[i - 1]);
    return largest > STEP_MOST * rise;
}

static bool find(const double *times, const double *values, size_t count, struct trend *ret)
{
    size_t half = count / 2;
    double slope = median_slope(times, values, count);
    double late = median_slope(times + half, values + half, count - half);

    if (values[count - 1] - values[0] < RISE_LEAST || slope <= 0 || late < HALF_LEAST * slope ||
        is_one_step(values, count))
        return false;
    *ret = (struct trend){slope, rising_confidence(values, count)};
    return ret->confidence >= CONFIDENCE_LEAST && rising_confidence(values + half, count - half) > 0.5;
}

bool trend_find(const double *times, const double *values, size_t count, struct trend *ret)
{
    double some_times[POINTS_MAX], some_values[POINTS_MAX];

    if (count < TREND_LEAST)
        return false;
    if (count <= POINTS_MAX)
        return find(times, values, count, ret);
    for (size_t i = 0; i < POINTS_MAX; i++) {
        size_t from = i * (count - 1) / (POINTS_MAX - 1);
        some_times[i] = times[from];
        some_values[i] = values[from];
    }
    return find(some_times, some_values, POINTS_MAX, ret);
}

/* ---- stacks ---- */

size_t growth_least_marks(const struct process *process)
{
    bool known = !process->python || (process->series_count && process->series[0].garbage_known);

    if (known || (process->mark_count >= TREND_LEAST &&
                  process->marks[process->mark_count - 1].seconds - process->marks[0].seconds >= TREND_SECONDS_BLIND))
        return TREND_LEAST;
    return TREND_LEAST_BLIND;
}

/* One line of the report: equal stacks may have several. */
struct candidate {
    const struct series *series;
    struct stack stack;
    char fingerprint[FINGERPRINT_SIZE];
};

/* What one process needs for all its series. */
struct work {
    const struct process *process;
    double *seconds, *numbers, *blocks, *bytes; /* by mark */
    struct candidate *candidates;
    size_t count;
};

static int work_init(struct work *work, const struct process *process)
{
    size_t count = process->mark_count;

    *work = (struct work){.process = process,
                          .seconds = calloc(4 * (count + 1), sizeof(double)),
                          .candidates = calloc(process->series_count + 1, sizeof(*work->candidates))};
    if (!work->seconds || !work->candidates)
        return -ENOMEM;
    work->numbers = work->seconds + count + 1;
    work->blocks = work->numbers + count + 1;
    work->bytes = work->blocks + count + 1;
    for (size_t i = 0; i < count; i++) {
        work->seconds[i] = process->marks[i].seconds - process->marks[0].seconds;
        work->numbers[i] = (double)i;
    }
    return 0;
}

static void work_done(struct work *work)
{
    for (size_t i = 0; i < work->count; i++)
        stack_clear(&work->candidates[i].stack);
    free(work->candidates);
    free(work->seconds);
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *p = a, *q = b;
    return memcmp(p->fingerprint, q->fingerprint, FINGERPRINT_SIZE);
}

/* Equal stacks stand together afterwards. */
static int find_candidates(struct work *work, struct symbols *symbols)
{
    for (size_t i = 0; i < work->process->series_count; i++) {
        struct candidate *candidate = &work->candidates[work->count++];
        candidate->series = &work->process->series[i];
        int r = stack_build(work->process, candidate->series->trace, symbols, &candidate->stack);
        if (r < 0)
            return r;
        fingerprint_stack(&(struct fingerprint_of){"growth", NULL, NULL}, candidate->stack.frames,
                          candidate->stack.size, candidate->fingerprint);
    }
    if (work->count)
        qsort(work->candidates, work->count, sizeof(*work->candidates), compare_candidates);
    return 0;
}

/* What of the last number is garbage never was part of the growth. */
static void cap(double *values, size_t count, double garbage)
{
    double most = fmax(values[count - 1] - garbage, 0);

    for (size_t i = 0; i < count; i++)
        values[i] = fmin(values[i], most);
}

/* Adds up the series of `count` equal stacks. */
static void add_up(struct work *work, const struct candidate *candidates, size_t count)
{
    double garbage_blocks = 0, garbage_bytes = 0;

    for (size_t k = 0; k < count; k++) {
        garbage_blocks += (double)candidates[k].series->garbage_blocks;
        garbage_bytes += (double)candidates[k].series->garbage_bytes;
    }
    for (size_t i = 0; i < work->process->mark_count; i++) {
        work->blocks[i] = work->bytes[i] = 0;
        for (size_t k = 0; k < count; k++) {
            work->blocks[i] += (double)candidates[k].series->blocks[i];
            work->bytes[i] += (double)candidates[k].series->bytes[i];
        }
    }
    cap(work->blocks, work->process->mark_count, garbage_blocks);
    cap(work->bytes, work->process->mark_count, garbage_bytes);
}

/* The trend of the blocks, or, of a block that grows itself, of the bytes. */
static bool judge(const struct work *work, struct growth *ret)
{
    size_t count = work->process->mark_count;
    struct trend blocks = {0}, bytes = {0};
    bool by_blocks = trend_find(work->numbers, work->blocks, count, &blocks);
    bool by_bytes = trend_find(work->numbers, work->bytes, count, &bytes);

    if (!by_blocks && !by_bytes)
        return false;
    double seconds = fmax(work->seconds[count - 1], 1e-6), per_second = (double)(count - 1) / seconds;
    *ret = (struct growth){
        .process = work->process,
        .intervals = count - 1,
        .blocks_per_interval = by_blocks ? blocks.slope : 0,
        .bytes_per_interval = by_bytes ? bytes.slope : 0,
        .first_blocks = (uint64_t)work->blocks[0],
        .first_bytes = (uint64_t)work->bytes[0],
        .last_blocks = (uint64_t)work->blocks[count - 1],
        .last_bytes = (uint64_t)work->bytes[count - 1],
        .confidence = fmax(blocks.confidence, bytes.confidence),
    };
    ret->blocks_per_second = ret->blocks_per_interval * per_second;
    ret->bytes_per_second = ret->bytes_per_interval * per_second;
    return true;
}

static int add(struct growths *growths, const struct growth *growth, struct candidate *candidate)
{
    struct growth *larger = reallocarray(growths->items, growths->count + 1, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    growths->items = larger;
    struct growth *item = &larger[growths->count++];
    *item = *growth;
    item->stack = candidate->stack;
    candidate->stack = (struct stack){0};
    memcpy(item->fingerprint, candidate->fingerprint, FINGERPRINT_SIZE);
    return 0;
}

static int add_process(struct growths *growths, const struct process *process, struct symbols *symbols)
{
    struct work work;
    struct growth growth;
    int r = work_init(&work, process);

    if (r == 0)
        r = find_candidates(&work, symbols);
    for (size_t i = 0, end; r == 0 && i < work.count; i = end) {
        for (end = i + 1; end < work.count && compare_candidates(&work.candidates[i], &work.candidates[end]) == 0;)
            end++;
        add_up(&work, &work.candidates[i], end - i);
        if (judge(&work, &growth))
            r = add(growths, &growth, &work.candidates[i]);
    }
    work_done(&work);
    return r;
}

static int compare_growths(const void *a, const void *b)
{
    const struct growth *p = a, *q = b;

    if (p->bytes_per_second != q->bytes_per_second)
        return p->bytes_per_second < q->bytes_per_second ? 1 : -1;
    if (p->blocks_per_second != q->blocks_per_second)
        return p->blocks_per_second < q->blocks_per_second ? 1 : -1;
    return memcmp(p->fingerprint, q->fingerprint, FINGERPRINT_SIZE);
}

int growths_build(const struct model *model, struct symbols *symbols, struct growths *ret)
{
    struct growths growths = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < model->process_count; i++)
        if (model->processes[i]->series_count &&
            model->processes[i]->mark_count >= growth_least_marks(model->processes[i]))
            r = add_process(&growths, model->processes[i], symbols);
    if (r < 0) {
        growths_clear(&growths);
        return r;
    }
    if (growths.count)
        qsort(growths.items, growths.count, sizeof(*growths.items), compare_growths);
    *ret = growths;
    return 0;
}

void growths_clear(struct growths *growths)
{
    for (size_t i = 0; i < growths->count; i++)
        stack_clear(&growths->items[i].stack);
    free(growths->items);
    *growths = (struct growths){0};
}
