/* SPDX-License-Identifier: MIT */
#include "lines.h"
#include "zst.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINES 20000

/* LINES numbered lines, compressed; skips the test without libzstd. */
static FILE *packed(size_t *ret_size)
{
    FILE *file = tmpfile(), *out = zst_writer_open(file);
    if (!out) {
        cr_assert_eq(errno, ENOSYS);
        cr_skip("built without zstd");
    }
    for (int i = 0; i < LINES; i++)
        fprintf(out, "line %d, which is not so short that all of them fit into a buffer\n", i);
    cr_assert_eq(fclose(out), 0);
    *ret_size = (size_t)ftell(file);
    rewind(file);
    return file;
}

/* How many lines come, as they were written; *ret_end is what came after them. */
static int count_lines(FILE *file, int *ret_end)
{
    struct lines lines = {.in = file};
    const char *text;
    size_t length;
    int count = 0;
    while ((*ret_end = lines_next(&lines, &text, &length)) > 0) {
        char want[32];
        int size = snprintf(want, sizeof(want), "line %d,", count % LINES);
        cr_assert(length > (size_t)size && memcmp(text, want, (size_t)size) == 0, "line %d: %.*s", count, (int)length,
                  text);
        count++;
    }
    lines_clear(&lines);
    return count;
}

Test(zst, lines_come_back)
{
    size_t size;
    int end;
    FILE *file = packed(&size);
    cr_expect_lt(size, (size_t)LINES * 60 / 5);
    cr_expect_eq(count_lines(file, &end), LINES);
    cr_expect_eq(end, 0);
    fclose(file);
}

Test(zst, frames_one_after_the_other)
{
    size_t size;
    int end;
    FILE *file = packed(&size), *both = tmpfile();
    char *bytes = malloc(size);
    cr_assert_eq(fread(bytes, 1, size, file), size);
    cr_assert(fwrite(bytes, 1, size, both) == size && fwrite(bytes, 1, size, both) == size);
    rewind(both);
    cr_expect_eq(count_lines(both, &end), 2 * LINES);
    cr_expect_eq(end, 0);
    free(bytes);
    fclose(file);
    fclose(both);
}

Test(zst, cut_anywhere_is_an_end)
{
    size_t size;
    FILE *file = packed(&size);
    char *bytes = malloc(size);
    cr_assert_eq(fread(bytes, 1, size, file), size);
    for (size_t length = 4; length < size; length += size / 40 + 1) {
        FILE *cut = fmemopen(bytes, length, "r");
        struct lines lines = {.in = cut};
        const char *text;
        size_t got;
        int r;
        while ((r = lines_next(&lines, &text, &got)) > 0)
            ;
        cr_expect_eq(r, 0);
        lines_clear(&lines);
        fclose(cut);
    }
    free(bytes);
    fclose(file);
}

Test(zst, damage_is_told)
{
    size_t size;
    FILE *file = packed(&size);
    char *bytes = malloc(size);
    cr_assert_eq(fread(bytes, 1, size, file), size);
    memset(bytes + size / 2, 0x55, size / 4);
    FILE *damaged = fmemopen(bytes, size, "r");
    struct lines lines = {.in = damaged};
    const char *text;
    size_t got;
    int r;
    while ((r = lines_next(&lines, &text, &got)) > 0)
        ;
    cr_expect_eq(r, -EBADMSG);
    lines_clear(&lines);
    fclose(damaged);
    free(bytes);
    fclose(file);
}

Test(zst, what_is_not_compressed_is_left_alone)
{
    FILE *file = tmpfile();
    int end;
    fputs("line 0, and\nline 1, without an end", file);
    rewind(file);
    cr_expect_eq(count_lines(file, &end), 2);
    cr_expect_eq(end, 0);
    fclose(file);
}
