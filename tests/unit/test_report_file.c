/* SPDX-License-Identifier: MIT
 *
 * Reports as files: they appear whole, replace nothing, and a writer that died does not block the next one. */
#include "report_writer.h"

#include "../support/fake_report.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/file.h>
#include <sys/stat.h>

static char folder[] = "/tmp/test_report_writer.XXXXXX";
static char path[64], part[80];

static void set_up_folder(void)
{
    set_up();
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/r.jsonl", folder);
    snprintf(part, sizeof(part), "%s.part", path);
}

static void tear_down_folder(void)
{
    unlink(path);
    unlink(part);
    rmdir(folder);
    tear_down();
}

TestSuite(report_file, .init = set_up_folder, .fini = tear_down_folder);

static int write_file(const char *to)
{
    int fd = fake_file(&fake, fake.size);
    struct ledger_view view;
    int error;

    cr_assert_eq(ledger_view_open_fd(&view, fd, NULL), 0);
    close(fd);
    error = report_write_file(&view, NULL, to);
    ledger_view_close(&view);
    return error;
}

static bool exists(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

Test(report_file, is_whole_private_and_alone)
{
    struct stat st;

    cr_assert_eq(write_file(path), 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    cr_expect_gt(st.st_size, 300);
    cr_expect(!exists(part));
}

Test(report_file, replaces_nothing)
{
    struct stat st;

    fclose(fopen(path, "w"));
    cr_expect_eq(write_file(path), -EEXIST);
    cr_expect_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_size, 0);
    unlink(path);
    cr_assert_eq(symlink("/nowhere", path), 0);
    cr_expect_eq(write_file(path), -EEXIST);
    cr_expect(!exists(part));
}

Test(report_file, takes_over_what_a_dead_writer_left)
{
    fclose(fopen(part, "w"));
    cr_expect_eq(write_file(path), 0);
    cr_expect(exists(path));
    cr_expect(!exists(part));
}

Test(report_file, leaves_a_live_writer_alone)
{
    int fd = open(part, O_WRONLY | O_CREAT, 0600);

    cr_assert_eq(flock(fd, LOCK_EX), 0);
    cr_expect_eq(write_file(path), -EBUSY);
    cr_expect(exists(part));
    cr_expect(!exists(path));
    close(fd);
}

Test(report_file, does_not_write_through_a_link)
{
    char target[160];

    snprintf(target, sizeof(target), "%s/target", folder);
    cr_assert_eq(symlink(target, part), 0);
    cr_expect_lt(write_file(path), 0);
    cr_expect(!exists(target));
}

Test(report_file, errors_come_back)
{
    char missing[160];
    struct ledger_view view;
    int fd = fake_file(&fake, fake.size);
    FILE *full = fopen("/dev/full", "w");

    snprintf(missing, sizeof(missing), "%s/no/r.jsonl", folder);
    cr_expect_eq(write_file(missing), -ENOENT);
    cr_assert_eq(ledger_view_open_fd(&view, fd, NULL), 0);
    cr_assert(full);
    cr_expect_eq(report_write(&view, NULL, full), -ENOSPC);
    fclose(full);
    ledger_view_close(&view);
    close(fd);
}
