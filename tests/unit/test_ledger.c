/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include "ledger_fixture.h"
#include "ledger_view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

TestSuite(ledger, .init = fixture_open, .fini = fixture_close);

static char *read_text(uint32_t ref, size_t *length)
{
    struct ledger_view view;

    cr_assert_eq(ledger_view_open_fd(&view, ledger_descriptor(), NULL), 0);
    char *text = ledger_view_text(&view, ref, length);
    ledger_view_close(&view);
    return text;
}

Test(ledger, entries_are_zeroed_and_their_ids_consecutive)
{
    uint32_t first = ledger_take(LEDGER_NODES, 1);

    cr_assert_neq(first, 0);
    for (uint32_t i = 1; i < 100000; i++) {
        uint32_t id = ledger_take(LEDGER_NODES, 1);
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        cr_assert_eq(id, first + i);
        cr_assert_eq(node->key, 0);
        cr_assert_eq(node->meta, 0);
    }
}

Test(ledger, a_run_of_records_lies_in_one_segment)
{
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t first = ledger_take(LEDGER_RECORDS, 128);
        cr_assert_neq(first, 0);
        cr_assert_eq(first / ledger_per_segment(LEDGER_RECORDS), (first + 127) / ledger_per_segment(LEDGER_RECORDS));
    }
}

Test(ledger, what_is_written_is_read_back_by_the_view)
{
    struct ledger_view view;
    uint32_t last = 0;

    for (uint64_t i = 1; i <= 50000; i++) {
        last = ledger_take(LEDGER_TRACES, 1);
        struct ledger_trace *trace = ledger_entry(LEDGER_TRACES, last);
        trace->bytes = i;
        trace->used = 1;
    }
    cr_assert_eq(ledger_view_open_fd(&view, ledger_descriptor(), NULL), 0);
    const struct ledger_trace *trace = ledger_view_entry(&view, LEDGER_TRACES, last);
    cr_assert_not_null(trace);
    cr_expect_eq(trace->bytes, 50000);
    cr_expect(!view.truncated);
    cr_expect_eq(view.header->pid, getpid());
    ledger_view_close(&view);
}

Test(ledger, equal_texts_are_stored_once)
{
    uint32_t a = ledger_text("hello", 5), b = ledger_text("hello!", 6), c = ledger_text("hello", 5),
             empty = ledger_text("", 0);

    cr_expect_neq(a, 0);
    cr_expect_neq(a, b);
    cr_expect_eq(a, c);
    cr_expect_neq(empty, 0);
    cr_expect_eq(ledger_text(NULL, 3), 0);
}

Test(ledger, long_texts_and_nul_bytes_survive)
{
    size_t size = 3 * LEDGER_SEGMENT_SIZE + 17, length;
    char *text = malloc(size);

    for (size_t i = 0; i < size; i++)
        text[i] = (char)(i * 7 + (i >> 12));
    uint32_t ref = ledger_text(text, size);
    cr_assert_neq(ref, 0);
    cr_expect_eq(ledger_text(text, size), ref);
    char *back = read_text(ref, &length);
    cr_assert_not_null(back);
    cr_assert_eq(length, size);
    cr_expect_eq(memcmp(back, text, size), 0);
    free(back);
    free(text);
}

Test(ledger, many_texts_keep_their_contents)
{
    uint32_t refs[20000];
    char text[32];

    for (int i = 0; i < 20000; i++)
        refs[i] = ledger_text(text, (size_t)snprintf(text, sizeof(text), "text %d", i));
    for (int i = 0; i < 20000; i++)
        cr_assert_eq(ledger_text(text, (size_t)snprintf(text, sizeof(text), "text %d", i)), refs[i]);
}

Test(ledger, a_closed_descriptor_is_opened_again_and_a_strange_one_not_used)
{
    int fd = ledger_descriptor();
    struct stat before, after;

    cr_assert_geq(fd, 100);
    fstat(fd, &before);
    int other = open("/dev/null", O_RDWR);
    dup2(other, fd); /* what closefrom() and an open() of the program do */
    int again = ledger_descriptor();
    cr_assert_geq(again, 0);
    fstat(again, &after);
    cr_expect_eq(before.st_ino, after.st_ino);
    cr_expect_neq(ledger_take(LEDGER_RECORDS, 128), 0);
}

Test(ledger, a_file_size_limit_is_an_error_and_no_signal)
{
    const struct rlimit limit = {LEDGER_SEGMENT_SIZE, LEDGER_SEGMENT_SIZE};

    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(ledger_take(LEDGER_RECORDS, 128), 0);
    cr_expect(ledger_header->lacks & LACK_LEDGER_FULL);
}

Test(ledger, a_second_report_of_the_same_name_gets_a_number)
{
    char first[LEDGER_PATH_MAX];

    memcpy(first, ledger_header->output, sizeof(first));
    ledger_abandon(false);
    cr_assert_eq(ledger_create(fixture_report), 0);
    cr_expect_eq(ledger_header->sequence, 1);
    cr_expect_str_neq(ledger_header->output, first);
}

Test(ledger, the_file_is_private)
{
    struct stat status;

    cr_assert_eq(fstat(ledger_descriptor(), &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0600);
}

Test(ledger_fresh, a_missing_folder_is_an_error)
{
    cr_expect_eq(ledger_create("/nonexistent/folder/r.jsonl"), -ENOENT);
    cr_expect_eq(ledger_take(LEDGER_RECORDS, 128), 0);
}
