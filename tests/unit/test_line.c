/* SPDX-License-Identifier: MIT */
#include "line.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char why[256];

static int parse(const char *text, struct line *line)
{
    return line_parse(text, strlen(text), line, why);
}

/* True if the scanner took the line apart, without jansson. */
static bool is_flat(const char *text)
{
    struct line line;
    bool flat;

    cr_assert_eq(parse(text, &line), 0, "%s: %s", text, why);
    flat = !line.json;
    line_clear(&line);
    return flat;
}

Test(line, values_are_the_same_by_scanner_and_by_jansson)
{
    static const char *const ways[] = {"{\"a\":1,\"b\":\"x\",\"c\":true,\"d\":null,\"e\":\"\"}",
                                       "{ \"a\" : 1 , \"b\" : \"x\" , \"c\" : true , \"d\" : null , \"e\" : \"\" } ",
                                       "{\"a\":1,\"b\":\"\\u0078\",\"c\":true,\"d\":null,\"e\":\"\"}"};

    for (size_t i = 0; i < 3; i++) {
        struct line line;
        int64_t number;

        cr_assert_eq(parse(ways[i], &line), 0);
        cr_expect_eq(line.json != NULL, i == 2);
        cr_expect(line_is(&line, "a"));
        cr_expect(!line_is(&line, "ab"));
        cr_expect(value_is(line_get(&line, "b"), "x"));
        cr_expect(value_is(line_get(&line, "e"), ""));
        cr_expect_eq(line_get(&line, "d").kind, VALUE_NULL);
        cr_expect_eq(line_get(&line, "c").kind, VALUE_BOOL);
        cr_expect_eq(line_get(&line, "c").number, 1);
        cr_expect_eq(line_get(&line, "z").kind, VALUE_NONE);
        cr_expect(value_number(line_get(&line, "a"), 1, 1, &number));
        cr_expect_eq(number, 1);
        line_clear(&line);
    }
}

Test(line, what_needs_decoding_is_left_to_jansson)
{
    cr_expect(is_flat("{\"stack\":123456789012345678,\"parent\":0}"));
    cr_expect(!is_flat("{\"a\":-1}"));
    cr_expect(!is_flat("{\"a\":1.5}"));
    cr_expect(!is_flat("{\"a\":1234567890123456789}"));
    cr_expect(!is_flat("{\"a\":\"\\n\"}"));
    cr_expect(!is_flat("{\"a\":\"\xc3\xa9\"}"));
    cr_expect(!is_flat("{\"a\":[1]}"));
    cr_expect(!is_flat("{}"));
    cr_expect(!is_flat("\t{\"a\":1}"));
}

Test(line, what_is_not_one_object_is_refused)
{
    static const char *const bad[] = {
        "",
        "x",
        "[1]",
        "1",
        "null",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{\"a\":1}}",
        "{\"a\":1} x",
        "{\"a\":01}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":tru}",
        "{\"a\":\"x}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":truee}",
        "{\"a\":99999999999999999999}",
        "{\"a\":1e999}",
        "{,}",
        "{\"a\":1 \"b\":2}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct line line;

        why[0] = '\0';
        cr_expect_eq(parse(bad[i], &line), -EINVAL, "%s", bad[i]);
        cr_expect(why[0], "%s", bad[i]);
    }
}

Test(line, deep_nesting_is_refused)
{
    char *text = malloc(100001);
    struct line line;

    memset(text, '[', 100000);
    text[100000] = '\0';
    cr_expect_eq(parse(text, &line), -EINVAL);
    memcpy(text, "{\"a\":", 5);
    cr_expect_eq(parse(text, &line), -EINVAL);
    free(text);
}

Test(line, a_nul_byte_is_refused_and_an_escaped_one_is_not)
{
    struct line line;

    cr_expect_eq(line_parse("{\"a\":\"x\0y\"}", 11, &line, why), -EINVAL);
    cr_assert_eq(parse("{\"a\":\"x\\u0000y\"}", &line), 0);
    cr_expect_eq(line_get(&line, "a").length, 3);
    line_clear(&line);
}

Test(line, keys_are_found_in_any_order_and_number)
{
    char text[1024] = "{";
    struct line line;

    for (int i = 0; i < 40; i++)
        sprintf(text + strlen(text), "%s\"k%d\":%d", i ? "," : "", i, i);
    strcat(text, "}");
    cr_assert_eq(parse(text, &line), 0);
    cr_expect_eq(line_get(&line, "k39").number, 39);
    line_clear(&line);
    cr_assert_eq(parse("{\"a\":1,\"b\":2,\"c\":3}", &line), 0);
    cr_expect_eq(line_get(&line, "c").number, 3);
    cr_expect_eq(line_get(&line, "b").number, 2);
    cr_expect_eq(line_get(&line, "c").number, 3);
    cr_expect_eq(line_get(&line, "a").number, 1);
    line_clear(&line);
}

Test(line, limits_of_numbers_hold)
{
    struct value value = {.kind = VALUE_NUMBER, .number = 5};
    int64_t number = -1;

    cr_expect(!value_number(value, 6, 10, &number));
    cr_expect(!value_number(value, 0, 4, &number));
    cr_expect_eq(number, -1);
    value.kind = VALUE_BOOL;
    cr_expect(!value_number(value, 0, 10, &number));
}

static bool hex(const char *text, uint64_t *ret)
{
    return value_hex((struct value){.kind = VALUE_TEXT, .text = text, .length = strlen(text)}, ret);
}

Test(line, hexadecimal_numbers)
{
    uint64_t number;

    cr_expect(hex("0x0", &number) && number == 0);
    cr_expect(hex("0x7fA9", &number) && number == 0x7fa9);
    cr_expect(hex("0xffffffffffffffff", &number) && number == UINT64_MAX);
    cr_expect(!hex("0x10000000000000000", &number));
    cr_expect(!hex("0x", &number));
    cr_expect(!hex("12", &number));
    cr_expect(!hex("0xg", &number));
    cr_expect(!hex("", &number));
}
