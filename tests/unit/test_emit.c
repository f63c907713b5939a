/* SPDX-License-Identifier: MIT */
#include "emit.h"

#include "compiler.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef void (*emit_function)(FILE *out, const char *text);

struct row {
    const char *text, *want;
};

static void check(emit_function emit, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        emit(out, rows[i].text);
        fclose(out);
        cr_expect_str_eq(text, rows[i].want, "row %zu: got %s, want %s", i, text, rows[i].want);
        free(text);
    }
}

Test(emit, json)
{
    static const struct row rows[] = {
        {NULL, "null"},
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\r\t\x01\x7f", "\"\\n\\r\\t\\u0001\\u007f\""},
        {"\xc3\xa9\xff", "\"\xc3\xa9\xef\xbf\xbd\""},
    };
    check(emit_json, rows, ARRAY_SIZE(rows));
}

Test(emit, script)
{
    static const struct row rows[] = {
        {NULL, "null"},
        {"a\"b\n\x01", "\"a\\\"b\\n\\u0001\""},
        {"</script><!--&", "\"\\u003c/script\\u003e\\u003c!--\\u0026\""},
        {"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", "\"\\u2028\\u2029\xe2\x80\xaa\""},
        {"\xc2\x80\xc2\x9f\xc2\xa0\xff", "\"\\u0080\\u009f\xc2\xa0\xef\xbf\xbd\""},
    };
    check(emit_script, rows, ARRAY_SIZE(rows));
}

Test(emit, xml)
{
    static const struct row rows[] = {
        {NULL, ""},
        {"<a href=\"x\">&'</a>", "&lt;a href=&quot;x&quot;&gt;&amp;'&lt;/a&gt;"},
        {"a\nb\tc\rd", "a&#10;b&#9;c&#13;d"},
        {"\x1b[0m", "\xef\xbf\xbd[0m"},                           /* not even as a reference */
        {"\xef\xbf\xbe", "\xef\xbf\xbd"},                         /* U+FFFE */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate is no UTF-8 */
        {"]]>", "]]&gt;"},
    };
    check(emit_xml, rows, ARRAY_SIZE(rows));
}

Test(emit, csv)
{
    static const struct row rows[] = {
        {NULL, ""},
        {"plain text", "plain text"},
        {"a,b", "\"a,b\""},
        {"say \"x\"", "\"say \"\"x\"\"\""},
        {"two\nlines", "\"two\nlines\""},
        {"=1+1", "\"'=1+1\""},
        {"+1", "\"'+1\""},
        {"-1", "\"'-1\""},
        {"@x", "\"'@x\""},
        {"\t=1", "\"'\t=1\""},
        {"a=1", "a=1"},
    };
    check(emit_csv, rows, ARRAY_SIZE(rows));
}

Test(emit, uri_path)
{
    static const struct row rows[] = {
        {"src/a_b-c.d~", "src/a_b-c.d~"},
        {"a b#c?d%e", "a%20b%23c%3Fd%25e"},
        {"c:x", "c%3Ax"}, /* not a scheme */
        {"\xc3\xa9", "%C3%A9"},
        {"", ""},
    };
    check(emit_uri_path, rows, ARRAY_SIZE(rows));
}

Test(emit, memo_collects)
{
    struct memo memo;
    cr_assert(memo_open(&memo));
    for (int i = 0; i < 10000; i++)
        fprintf(memo.out, "%05d", i);
    char *text = memo_close(&memo);
    cr_assert_eq(memo.size, 50000);
    cr_expect_eq(strlen(text), 50000);
    cr_expect_eq(strncmp(text + 5 * 1234, "01234", 5), 0);
    cr_expect_null(memo.out);
    free(text);
    cr_assert(memo_open(&memo));
    text = memo_close(&memo);
    cr_expect_str_eq(text, "");
    free(text);
}

/* Memory that runs out on the way is no shorter text. */
Test(emit, memo_fails_as_a_whole)
{
    struct memo memo;
    cr_assert(memo_open(&memo));
    fputs("begin", memo.out);
    fflush(memo.out);
    memo.failed = true;
    fputs("end", memo.out);
    cr_expect_null(memo_close(&memo));
}
