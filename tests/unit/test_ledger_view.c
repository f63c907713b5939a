/* SPDX-License-Identifier: MIT
 *
 * Views of ledgers: ids across segments, holes, texts in pieces, and every kind of file that is no ledger. */
#include "ledger_view.h"

#include "../support/fake_ledger.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static struct fake_ledger fake;
static struct ledger_view view;

static void set_up(void)
{
    fake_init(&fake);
}

static void tear_down(void)
{
    ledger_view_close(&view);
    fake_done(&fake);
}

TestSuite(ledger_view, .init = set_up, .fini = tear_down);

static int open_cut(size_t size)
{
    int fd = fake_file(&fake, size);
    int error;

    ledger_view_close(&view);
    error = ledger_view_open_fd(&view, fd, NULL);
    close(fd);
    return error;
}

static void open_fake(void)
{
    cr_assert_eq(open_cut(fake.size), 0);
}

Test(ledger_view, ids_count_through_segments_of_one_kind)
{
    uint32_t per = ledger_per_segment(LEDGER_ERRORS);
    uint32_t last = 0;

    for (uint32_t i = 1; i <= per + 5; i++) {
        if (i == 10)
            fake_node(&fake, 0, 1, NODE_NATIVE); /* a segment of another kind between */
        last = fake_add(&fake, LEDGER_ERRORS, &(struct ledger_error){.kind = ERROR_OVERFLOW, .size = i});
    }
    open_fake();
    cr_expect_eq(last, per + 5);
    cr_expect_eq(ledger_view_limit(&view, LEDGER_ERRORS), 2 * per);
    for (uint32_t id = 1; id <= last; id++) {
        const struct ledger_error *error = ledger_view_entry(&view, LEDGER_ERRORS, id);
        cr_assert(error);
        cr_assert_eq(error->size, id);
    }
    cr_expect(!view.truncated);
}

Test(ledger_view, what_is_not_there_is_null)
{
    fake_take(&fake, LEDGER_NODES, 1);
    fake_node(&fake, 0, 1, NODE_NATIVE);
    fake_add(&fake, LEDGER_MODULES, &(struct ledger_module){.start = 1}); /* not published: no end */
    open_fake();
    cr_expect_null(ledger_view_entry(&view, LEDGER_NODES, 0));
    cr_expect_null(ledger_view_entry(&view, LEDGER_NODES, 1));
    cr_expect_not_null(ledger_view_entry(&view, LEDGER_NODES, 2));
    cr_expect_null(ledger_view_entry(&view, LEDGER_MODULES, 1));
    cr_expect_null(ledger_view_entry(&view, LEDGER_NODES, ledger_view_limit(&view, LEDGER_NODES)));
    cr_expect_null(ledger_view_entry(&view, LEDGER_NODES, UINT32_MAX));
    cr_expect_null(ledger_view_entry(&view, LEDGER_ERRORS, 1));
    cr_expect_null(ledger_view_entry(&view, LEDGER_HEADER, 1));
    cr_expect_null(ledger_view_entry(&view, LEDGER_KIND_COUNT, 1));
    cr_expect_eq(ledger_view_limit(&view, LEDGER_KIND_COUNT), 0);
    cr_expect_null(ledger_view_segment(&view, LEDGER_NODES, 1));
}

static void expect_text(uint32_t ref, const char *expected, size_t expected_length)
{
    size_t length = 0;
    char *text = ledger_view_text(&view, ref, &length);

    cr_assert(text);
    cr_expect_eq(length, expected_length);
    cr_expect_arr_eq(text, expected, expected_length + 1);
    free(text);
}

Test(ledger_view, texts)
{
    uint32_t plain = fake_text(&fake, "hello"), empty = fake_text(&fake, "");
    uint32_t pieces = fake_text_pieces(&fake, "a\0bcdefgh", 9, 2);
    char buffer[4] = "zzz";

    open_fake();
    expect_text(plain, "hello", 5);
    expect_text(empty, "", 0);
    expect_text(pieces, "a\0bcdefgh", 9);
    cr_expect_null(ledger_view_text(&view, 0, NULL));
    cr_expect_eq(ledger_view_text_read(&view, plain, buffer, 3), 5);
    cr_expect_str_eq(buffer, "hel");
}

Test(ledger_view, damaged_texts_are_null)
{
    uint32_t loop = fake_text_pieces(&fake, "abcd", 4, 2), too_long = fake_text(&fake, "x");
    uint32_t last = ledger_per_segment(LEDGER_TEXT) - 1;

    ((struct ledger_text *)fake_entry(&fake, LEDGER_TEXT, loop))->next = loop;
    ((struct ledger_text *)fake_entry(&fake, LEDGER_TEXT, too_long))->length_plus_1 = LEDGER_SEGMENT_SIZE;
    ((struct ledger_text *)fake_entry(&fake, LEDGER_TEXT, last))->length_plus_1 = 2;
    open_fake();
    cr_expect_null(ledger_view_text(&view, loop, NULL));
    cr_expect_null(ledger_view_text(&view, too_long, NULL));
    cr_expect_null(ledger_view_text(&view, last, NULL));
    cr_expect_null(ledger_view_text(&view, last + 1, NULL));
    cr_expect_null(ledger_view_text(&view, UINT32_MAX, NULL));
}

Test(ledger_view, a_short_file_is_truncated)
{
    fake_text(&fake, "x");
    fake_node(&fake, 0, 1, NODE_NATIVE);
    cr_assert_eq(open_cut(fake.size - 1), 0);
    cr_expect(view.truncated);
    cr_expect_null(ledger_view_entry(&view, LEDGER_NODES, 1));
    cr_assert_eq(open_cut(sizeof(struct ledger_header)), 0);
    cr_expect(view.truncated);
    cr_expect_eq(open_cut(sizeof(struct ledger_header) - 1), -EINVAL);
    cr_expect_eq(open_cut(0), -EINVAL);
}

Test(ledger_view, a_damaged_directory_is_noticed)
{
    struct ledger_header *header;

    fake_node(&fake, 0, 1, NODE_NATIVE);
    header = fake_header(&fake);
    header->directory[1] = 200;
    open_fake();
    cr_expect(view.truncated);
    cr_expect_null(ledger_view_entry(&view, LEDGER_NODES, 1));
    header->directory[1] = LEDGER_NODES;
    header->segments = 0;
    open_fake();
    cr_expect(view.truncated);
    cr_expect_not_null(ledger_view_entry(&view, LEDGER_NODES, 1));
    header->segments = UINT32_MAX;
    open_fake();
    cr_expect(view.truncated);
    header->segments = 2;
    open_fake();
    cr_expect(!view.truncated);
}

Test(ledger_view, spare_segments_are_no_damage)
{
    fake_node(&fake, 0, 1, NODE_NATIVE);
    fake_add_segment(&fake, LEDGER_RECORDS);
    fake_header(&fake)->segments = 2;
    fake_header(&fake)->directory[2] = LEDGER_FREE;
    open_fake();
    cr_expect(!view.truncated);
    cr_expect_eq(ledger_view_limit(&view, LEDGER_RECORDS), 0);
}

static void expect_refused(const char *path, int error, const char *why)
{
    const char *said = NULL;

    cr_expect_eq(ledger_view_open(&view, path, &said), error, "%s", path);
    cr_assert(said, "%s", path);
    cr_expect_str_eq(said, why);
    ledger_view_close(&view);
}

Test(ledger_view, only_ledgers_are_opened)
{
    char folder[] = "/tmp/test_ledger_view.XXXXXX";
    char path[64];

    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/x", folder);
    expect_refused(path, -ENOENT, "cannot be opened");
    expect_refused(folder, -EINVAL, "not a regular file");
    cr_assert_eq(mkfifo(path, 0600), 0);
    expect_refused(path, -EINVAL, "not a regular file");
    unlink(path);
    fclose(fopen(path, "w"));
    expect_refused(path, -EINVAL, "too short for a ledger");
    cr_assert_eq(truncate(path, LEDGER_SEGMENT_SIZE), 0);
    expect_refused(path, -EINVAL, "not a ledger");
    unlink(path);
    cr_assert_eq(symlink("/dev/null", path), 0);
    expect_refused(path, -EINVAL, "not a regular file");
    unlink(path);
    rmdir(folder);
}

Test(ledger_view, another_version_is_refused)
{
    fake_header(&fake)->version++;
    cr_expect_eq(open_cut(fake.size), -EINVAL);
    fake_header(&fake)->version--;
    fake_header(&fake)->header_size--;
    cr_expect_eq(open_cut(fake.size), -EINVAL);
}

Test(ledger_view, links_of_the_caller_are_followed)
{
    char folder[] = "/tmp/test_ledger_view.XXXXXX";
    char path[64], link_path[64];
    FILE *file;

    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/x", folder);
    snprintf(link_path, sizeof(link_path), "%s/l", folder);
    file = fopen(path, "w");
    cr_assert(file && fwrite(fake.base, 1, fake.size, file) == fake.size);
    fclose(file);
    cr_assert_eq(symlink(path, link_path), 0);
    cr_expect_eq(ledger_view_open(&view, link_path, NULL), 0);
    if (geteuid() == 0) { /* only root can make the file another user's */
        ledger_view_close(&view);
        cr_assert_eq(chown(path, 12345, 12345), 0);
        expect_refused(link_path, -EACCES, "a symbolic link to another user's file");
        cr_expect_eq(ledger_view_open(&view, path, NULL), 0);
    }
    unlink(link_path);
    unlink(path);
    rmdir(folder);
}

Test(ledger_view, a_live_file_may_grow)
{
    int fd = fake_file(&fake, fake.size);
    struct ledger_header *header;

    fake_node(&fake, 0, 1, NODE_NATIVE);
    header = mmap(NULL, LEDGER_SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(header, MAP_FAILED);
    cr_assert_eq(ledger_view_open_fd(&view, fd, NULL), 0);
    cr_assert_eq(ftruncate(fd, (off_t)fake.size), 0);
    cr_assert_eq(pwrite(fd, fake.base, fake.size, 0), (ssize_t)fake.size);
    cr_expect_eq(header->segments, 2);
    cr_expect_eq(ledger_view_limit(&view, LEDGER_NODES), 0, "a view is of the moment it was opened");
    ledger_view_close(&view);
    cr_assert_eq(ledger_view_open_fd(&view, fd, NULL), 0);
    cr_expect_not_null(ledger_view_entry(&view, LEDGER_NODES, 1));
    munmap(header, LEDGER_SEGMENT_SIZE);
    close(fd);
}
