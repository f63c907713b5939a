/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

static void expect_escaped(const char *text, const char *want)
{
    char *got = NULL;
    size_t size;
    FILE *out = open_memstream(&got, &size);
    text_escape(out, text);
    fclose(out);
    cr_expect_str_eq(got, want);
    free(got);
}

Test(text, numbers_have_separators)
{
    char buffer[TEXT_NUMBER_SIZE];
    cr_expect_str_eq(text_number(buffer, 0), "0");
    cr_expect_str_eq(text_number(buffer, 999), "999");
    cr_expect_str_eq(text_number(buffer, 1000), "1,000");
    cr_expect_str_eq(text_number(buffer, UINT64_MAX), "18,446,744,073,709,551,615");
}

Test(text, sizes)
{
    uint64_t value = 0;
    cr_expect_eq(text_parse_size("16", &value), 0);
    cr_expect_eq(value, 16);
    cr_expect_eq(text_parse_size("2K", &value), 0);
    cr_expect_eq(value, 2048);
    cr_expect_eq(text_parse_size("1g", &value), 0);
    cr_expect_eq(value, 1u << 30);
    cr_expect_eq(text_parse_size("18446744073709551615", &value), 0);
    cr_expect_eq(text_parse_size("18446744073709551616", &value), -ERANGE);
    cr_expect_eq(text_parse_size("18014398509481984K", &value), -ERANGE);
    cr_expect_eq(text_parse_size("1KB", &value), -EINVAL);
    cr_expect_eq(text_parse_size("-1", &value), -EINVAL);
    cr_expect_eq(text_parse_count("1k", &value), -EINVAL);
    cr_expect_eq(value, UINT64_MAX, "untouched on failure");
}

Test(text, what_steers_a_terminal_is_escaped)
{
    expect_escaped("plain f\xc3\xb6\xc3\xb6 \xe4\xb8\xad \xf0\x9f\x90\x8d",
                   "plain f\xc3\xb6\xc3\xb6 \xe4\xb8\xad \xf0\x9f\x90\x8d");
    expect_escaped("\033[2Jx", "\\x1b[2Jx");
    expect_escaped("a\nb\tc\rd\x7f", "a\\nb\\tc\\x0dd\\x7f");
    expect_escaped("\xc2\x9b"
                   "31m",
                   "\\u009b31m"); /* C1: CSI in one character */
    expect_escaped("\xe2\x80\xae"
                   "gpj.exe",
                   "\\u202egpj.exe"); /* writes backwards */
    expect_escaped(NULL, "??");
}

Test(text, bytes_that_are_not_utf8_are_escaped)
{
    expect_escaped("\xff", "\\xff");
    expect_escaped("\xc3", "\\xc3");          /* cut short by the end */
    expect_escaped("\xc0\x80", "\\xc0\\x80"); /* overlong */
    expect_escaped("\xe0\x80\x80", "\\xe0\\x80\\x80");
    expect_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* a surrogate */
    expect_escaped("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
}

Test(text, utf8_replaces_what_is_not)
{
    char *copy = text_utf8("a\xff"
                           "b\xc3\xb6");
    cr_expect_str_eq(copy, "a\xef\xbf\xbd"
                           "b\xc3\xb6");
    free(copy);
}

Test(text, paths)
{
    cr_expect_str_eq(text_below("/a/b/c.py", "/a/b"), "c.py");
    cr_expect_str_eq(text_below("/a/bc/d.py", "/a/b"), "/a/bc/d.py");
    cr_expect_str_eq(text_below("/a/b", "/a/b"), "/a/b");
    cr_expect_str_eq(text_below("/x", "/"), "/x");
    cr_expect_str_eq(text_below("/x", NULL), "/x");
    cr_expect_str_eq(text_base("/usr/lib/x.so"), "x.so");
    cr_expect_str_eq(text_base("x.so"), "x.so");
    cr_expect(text_ends_with("a.json", ".json"));
    cr_expect_not(text_ends_with("json", ".json"));
    cr_expect_not(text_ends_with(NULL, ".json"));
}
