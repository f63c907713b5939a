/* SPDX-License-Identifier: MIT
 *
 * What a process left, cut anywhere: a report at every byte, a ledger at every byte, too (TEST_REPEAT; else at some thousands).
 * Everything before the cut is read, and it is said that something is missing; or the file is refused in one line. The files are
 * read here and not by the program memshim: a whole program for each of millions of cuts would take days. */
#include "ledger_format.h"
#include "ledger_view.h"
#include "load.h"
#include "report_writer.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

TestSuite(truncated, .timeout = 0);

struct bytes {
    char *at;
    size_t size;
};

/* The file `name` in the folder of a run of end_variants that ends by `how`. */
static struct bytes left_by(const char *how, const char *name)
{
    char *folder = folder_new(), *target = target_path("end_variants");
    char *options = text_format("MEMSHIM_OPTIONS=output=%s/r.jsonl", folder);
    char *preload = text_format("LD_PRELOAD=%s", shim_path()), *path = text_format("%s/%s", folder, name);
    struct outcome outcome = spawn_run(LIST(target, how), LIST(options, preload));
    struct bytes bytes = {0};
    FILE *in = fopen(path, "r");

    cr_assert(in, "no %s: %s", name, outcome.err);
    cr_assert_eq(fseek(in, 0, SEEK_END), 0);
    bytes.size = (size_t)ftell(in);
    rewind(in);
    bytes.at = malloc(bytes.size);
    cr_assert_eq(fread(bytes.at, 1, bytes.size, in), bytes.size);
    fclose(in);
    char *real = realpath(path, NULL); /* of a ledger in shared memory */
    unlink(real);
    free(real);
    free(path);
    free(preload);
    free(options);
    free(target);
    outcome_clear(&outcome);
    folder_remove(folder);
    return bytes;
}

static int load_bytes(struct model *model, const void *bytes, size_t size, struct load_error *error)
{
    FILE *in = size ? fmemopen((void *)(uintptr_t)bytes, size, "r") : fopen("/dev/null", "r");
    int r;

    cr_assert(in);
    *model = (struct model){0};
    r = load_stream(model, in, "cut", error);
    fclose(in);
    return r;
}

static void expect_refused(int r, const struct load_error *error, size_t cut)
{
    cr_assert_eq(r, -EINVAL, "cut at %zu: %d", cut, r);
    cr_assert(error->text[0] && !strchr(error->text, '\n'), "cut at %zu: \"%s\"", cut, error->text);
}

static size_t next_line(const struct bytes *bytes, size_t at)
{
    const char *end = memchr(bytes->at + at, '\n', bytes->size - at);

    return end ? (size_t)(end - bytes->at) + 1 : bytes->size;
}

/* Lines of a kind that are whole in the first `cut` bytes; the last one need not have its newline. */
static size_t whole_lines(const struct bytes *bytes, size_t cut, const char *begin)
{
    size_t count = 0;

    for (size_t at = 0; at < cut; at = next_line(bytes, at))
        count += next_line(bytes, at) - 1 <= cut && strncmp(bytes->at + at, begin, strlen(begin)) == 0;
    return count;
}

Test(truncated, a_report_at_every_byte)
{
    struct bytes report = left_by("return", "r.jsonl");
    size_t first = next_line(&report, 0) - 1;

    for (size_t cut = 0; cut <= report.size; cut++) {
        struct load_error error = {0};
        struct model model;
        int r = load_bytes(&model, report.at, cut, &error);

        if (cut < first) {
            expect_refused(r, &error, cut);
            cr_assert_eq(model.process_count, 0);
        } else {
            cr_assert_eq(r, 0, "cut at %zu: %s", cut, error.text);
            cr_assert_eq(model.process_count, 1);
            const struct process *process = model.processes[0];
            cr_assert_eq(process->truncated, cut + 1 < report.size, "cut at %zu of %zu", cut, report.size);
            cr_assert_eq(process->group_count, whole_lines(&report, cut, "{\"group\""), "cut at %zu", cut);
            cr_assert_eq(process->trace_count, whole_lines(&report, cut, "{\"trace\"") + 1, "cut at %zu", cut);
        }
        model_clear(&model);
    }
    free(report.at);
}

/* Whether the ledger's lists are what they have to be with the first `cut` bytes of it there. */
static void check_view(const struct ledger_view *view, size_t cut)
{
    bool missing = view->header->segments > cut / LEDGER_SEGMENT_SIZE;

    cr_assert_eq(view->truncated, missing, "cut at %zu: %d, %u segments", cut, view->truncated, view->header->segments);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        const uint8_t *segment;
        for (uint32_t n = 0; (segment = ledger_view_segment(view, (enum ledger_kind)kind, n)); n++)
            cr_assert_leq((size_t)(segment - view->base) + LEDGER_SEGMENT_SIZE, cut, "cut at %zu", cut);
    }
}

static bool lacks(const struct process *process, const char *what)
{
    for (size_t i = 0; i < process->lacks_count; i++)
        if (strcmp(process->lacks[i], what) == 0)
            return true;
    return false;
}

/* The blocks that the report of a ledger has. */
static uint64_t blocks_of(const struct ledger_view *view, size_t cut)
{
    struct load_error error = {0};
    struct model model;
    char *text = NULL;
    size_t length = 0;
    uint64_t blocks = 0;
    FILE *out = open_memstream(&text, &length);

    cr_assert_eq(report_write(view, NULL, out), 0, "cut at %zu", cut);
    fclose(out);
    cr_assert_eq(load_bytes(&model, text, length, &error), 0, "cut at %zu: %s", cut, error.text);
    cr_assert_eq(lacks(model.processes[0], "the ledger is truncated"), view->truncated, "cut at %zu", cut);
    for (size_t i = 0; i < model.processes[0]->group_count; i++)
        blocks += model.processes[0]->groups[i].blocks;
    model_clear(&model);
    free(text);
    return blocks;
}

/* Whether a report is made of the ledger cut here: around the ends of pages, which is where memory ends, and in the beginning. */
static bool is_read_whole(size_t cut, size_t page)
{
    return cut % page <= 1 || cut % page == page - 1;
}

Test(truncated, a_ledger_at_every_byte)
{
    struct bytes ledger = left_by("kill", "r.ledger");
    bool all = getenv("TEST_REPEAT") != NULL;
    size_t step = all ? 1 : 1021, page = all ? 4096 : 65536;
    int fd = memfd_create("ledger", MFD_CLOEXEC);
    uint64_t last = UINT64_MAX, whole = 0;
    size_t views = 0, reports = 0;

    cr_assert_eq(write(fd, ledger.at, ledger.size), (ssize_t)ledger.size);
    for (size_t cut = ledger.size + 1; cut-- > 0;) {
        const char *why = NULL;
        struct ledger_view view;

        if (cut % step && !is_read_whole(cut, page))
            continue;
        cr_assert_eq(ftruncate(fd, (off_t)cut), 0);
        int r = ledger_view_open_fd(&view, fd, &why);
        cr_assert_eq(r, cut < sizeof(struct ledger_header) ? -EINVAL : 0, "cut at %zu: %d", cut, r);
        views++;
        if (r < 0) {
            cr_assert(why && *why);
            continue;
        }
        check_view(&view, cut);
        if (is_read_whole(cut, page)) {
            uint64_t blocks = blocks_of(&view, cut);
            cr_assert_leq(blocks, last, "cut at %zu: %lu blocks, and %lu in less", cut, last, blocks);
            last = blocks;
            whole = whole ? whole : blocks;
            reports++;
        }
        ledger_view_close(&view);
    }
    cr_assert_geq(whole, 10, "the target loses ten blocks");
    cr_assert_eq(last, 0, "none is in the header");
    cr_log_info("%zu cuts, %zu reports", views, reports);
    close(fd);
    free(ledger.at);
}
