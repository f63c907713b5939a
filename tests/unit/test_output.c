/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/memshim-output-XXXXXX";

static void enter(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void leave(void)
{
    static const char *const names[] = {"a", "b", "link"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        unlink(names[i]);
    cr_expect_eq(rmdir(folder), 0, "no temporary file is left");
}

TestSuite(output, .init = enter, .fini = leave);

static void expect_content(const char *path, const char *want)
{
    char text[100] = "";
    FILE *in = fopen(path, "r");
    cr_assert_not_null(in);
    cr_expect(fread(text, 1, sizeof(text) - 1, in) > 0);
    fclose(in);
    cr_expect_str_eq(text, want);
}

static void put(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    fputs(text, out);
    fclose(out);
}

Test(output, formats_by_name_and_by_extension)
{
    cr_expect_str_eq(output_find(NULL, NULL)->name, "text");
    cr_expect_str_eq(output_find(NULL, "x.json")->name, "json");
    cr_expect_str_eq(output_find("text", "x.json")->name, "text", "the name wins");
    cr_expect_str_eq(output_find(NULL, "x.unknown")->name, "text");
    cr_expect_null(output_find("nonsense", "x.json"));
}

Test(output, a_file_appears_when_it_is_whole)
{
    struct output_file file;
    struct stat status;
    umask(022);
    cr_assert_eq(output_file_open(&file, "a"), 0);
    fputs("text", file.out);
    fflush(file.out);
    cr_expect_eq(access("a", F_OK), -1);
    cr_expect_eq(output_file_close(&file, true), 0);
    expect_content("a", "text");
    cr_assert_eq(stat("a", &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0644, "as open() would make it");
}

Test(output, what_is_given_up_leaves_the_old_file)
{
    struct output_file file;
    put("a", "old");
    cr_assert_eq(output_file_open(&file, "a"), 0);
    fputs("new", file.out);
    cr_expect_eq(output_file_close(&file, false), 0);
    expect_content("a", "old");
}

Test(output, a_link_stays_a_link)
{
    struct output_file file;
    struct stat status;
    put("b", "old");
    cr_assert_eq(symlink("b", "link"), 0);
    cr_assert_eq(output_file_open(&file, "link"), 0);
    fputs("new", file.out);
    cr_expect_eq(output_file_close(&file, true), 0);
    cr_assert_eq(lstat("link", &status), 0);
    cr_expect(S_ISLNK(status.st_mode));
    expect_content("b", "new");
}

Test(output, devices_are_written_directly)
{
    struct output_file file;
    cr_assert_eq(output_file_open(&file, "/dev/full"), 0);
    fputs("x", file.out);
    cr_expect_eq(output_file_close(&file, true), -ENOSPC);
    cr_assert_eq(access("/dev/full", F_OK), 0);
}

Test(output, impossible_places)
{
    struct output_file file;
    cr_expect_eq(output_file_open(&file, "nowhere/a"), -ENOENT);
    cr_expect_eq(output_file_open(&file, "/tmp"), -EISDIR);
}
