/* SPDX-License-Identifier: MIT */
#include "pycompat.h"

#include "fake_python.h"

#include <errno.h>

static const unsigned minors[] = {FAKE_MINORS};

static enum ledger_lack expect_refused(void)
{
    enum ledger_lack lack = 0;
    cr_expect_eq(fake_find(&lack), -ENOTSUP, "3.%u", fake.minor);
    return lack;
}

Test(pycompat, every_supported_version_is_found)
{
    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        fake_open(minors[i]);
        cr_expect_eq(fake.compat.minor, minors[i]);
    }
}

Test(pycompat, other_versions_are_refused)
{
    static const uint32_t others[] = {0x020712f0, 0x03060ff0, 0x030710f0, 0x031000a1, 0x040000f0, 0};

    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        fake_build(12);
        fake.api.hex = others[i];
        cr_expect_eq(expect_refused(), LACK_PYTHON_UNKNOWN);
    }
}

Test(pycompat, an_object_of_another_size_is_refused)
{
    static const unsigned types[] = {FAKE_CODE, FAKE_STR, FAKE_BYTES};

    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(types); j++) {
            fake_build(minors[i]);
            fake_put(fake_type(types[j]), 32, pycompat_load((uintptr_t)fake_type(types[j]), 32) + 8);
            cr_expect_eq(expect_refused(), LACK_PYTHON_UNKNOWN);
        }
    fake_build(11);
    fake_put(fake_type(FAKE_FRAME), 32, 128);
    expect_refused();
}

Test(pycompat, missing_names_are_refused)
{
    fake_build(9);
    fake.api.runtime = NULL;
    expect_refused();
    fake_build(12);
    fake.api.current_thread_state = NULL;
    expect_refused();
    fake_build(13);
    fake.api.runtime = NULL;
    expect_refused();
    fake_build(10);
    fake.api.code_type = NULL;
    expect_refused();
    fake_build(10);
    fake_put(fake_type(FAKE_CODE), 8, 0);
    expect_refused();
}

/* Each word that the table is compared with: one that differs must be noticed. */
Test(pycompat, published_offsets_that_differ_are_refused)
{
    static const unsigned words[] = {0, 1, 26, 32, 33, 34, 36, 40, 41, 42, 43, 44, 48, 51};

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        fake_build(14);
        ((uint64_t *)fake.runtime)[words[i]] += 8;
        cr_expect_eq(expect_refused(), LACK_PYTHON_UNKNOWN, "word %u", words[i]);
    }
}

Test(pycompat, free_threaded_builds_are_named)
{
    for (unsigned minor = 13; minor <= 15; minor++) {
        fake_build(minor);
        ((uint64_t *)fake.runtime)[2] = 1;
        cr_expect_eq(expect_refused(), LACK_FREE_THREADED);
    }
    fake_build(15); /* one to come */
    fake.api.hex = 0x031000f0;
    ((uint64_t *)fake.runtime)[1] = fake.api.hex;
    ((uint64_t *)fake.runtime)[2] = 1;
    cr_expect_eq(expect_refused(), LACK_FREE_THREADED);
}

static void expect_text(const void *string, size_t room, const char *expected, size_t length)
{
    char buffer[64];

    memset(buffer, '#', sizeof(buffer));
    ssize_t got = pycompat_text(&fake.compat, (uintptr_t)string, buffer, room);
    cr_expect_eq(got, (ssize_t)length, "%zd instead of %zu", got, length);
    cr_expect(got < 0 || memcmp(buffer, expected, length) == 0, "%.*s", (int)length, buffer);
    cr_expect_eq(buffer[room], '#');
}

Test(pycompat, text_becomes_utf8)
{
    static const uint8_t latin[] = {'f', 0xfc, 'r', 0xff};
    static const uint16_t two[] = {'a', 0x0436, 0x6f22, 0xdc80};
    static const uint32_t four[] = {0x1f40d, 'x', 0xe9};

    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        fake_open(minors[i]);
        expect_text(fake_text("plain"), 60, "plain", 5);
        expect_text(fake_text(""), 60, "", 0);
        expect_text(fake_wide("a\0b", 3, 1, true), 60, "a\0b", 3);
        expect_text(fake_wide(latin, 4, 1, false), 60, "f\xc3\xbcr\xc3\xbf", 6);
        expect_text(fake_wide(two, 4, 2, false), 60, "a\xd0\xb6\xe6\xbc\xa2\\udc80", 12);
        expect_text(fake_wide(four, 3, 4, false), 60, "\xf0\x9f\x90\x8dx\xc3\xa9", 7);
    }
}

Test(pycompat, text_is_cut_between_characters)
{
    static const uint32_t four[] = {'a', 0x1f40d, 'x'};

    fake_open(12);
    expect_text(fake_text("plain"), 3, "pla", 3);
    expect_text(fake_wide(four, 3, 4, false), 4, "a", 1);
    expect_text(fake_wide(four, 3, 4, false), 5, "a\xf0\x9f\x90\x8d", 5);
}

Test(pycompat, a_subclass_keeps_its_characters_elsewhere)
{
    uint8_t *string;

    fake_open(11);
    string = fake_object(FAKE_SUBCLASS, 200);
    fake_put(string, 16, 4);
    fake_put32(string, 32, 1u << 2 | 64u);
    fake_put(string, fake.compat.text_other, (uintptr_t) "away");
    expect_text(string, 60, "away", 4);
}

Test(pycompat, what_is_no_string_is_not_read)
{
    uint8_t *odd;

    fake_open(12);
    expect_text(NULL, 10, "", (size_t)-1);
    expect_text((void *)0xdddddddddddddddd, 10, "", (size_t)-1);
    expect_text((uint8_t *)fake_text("x") + 1, 10, "", (size_t)-1);
    expect_text(fake_bytes("abc", 3), 10, "", (size_t)-1);
    odd = fake_text("abc");
    fake_put32(odd, 32, 7u << 2 | 32u);
    expect_text(odd, 10, "", (size_t)-1);
    odd = fake_text("abc");
    fake_put(odd, 16, UINT64_MAX);
    expect_text(odd, 10, "", (size_t)-1);
}

Test(pycompat, bytes)
{
    size_t size = 0;

    fake_open(10);
    const void *bytes = pycompat_bytes(&fake.compat, (uintptr_t)fake_bytes("abc", 3), 3, &size);
    cr_expect_eq(size, 3);
    cr_expect(bytes && memcmp(bytes, "abc", 3) == 0);
    cr_expect_null(pycompat_bytes(&fake.compat, (uintptr_t)fake_bytes("abcd", 4), 3, &size));
    cr_expect_null(pycompat_bytes(&fake.compat, (uintptr_t)fake_text("abc"), 100, &size));
    cr_expect_null(pycompat_bytes(&fake.compat, 0, 100, &size));
}

Test(pycompat, only_code_is_read_as_code)
{
    struct pycompat_code code;

    fake_open(13);
    cr_expect(pycompat_code_read(&fake.compat, (uintptr_t)fake_code("f", "n", 7, "t"), &code));
    cr_expect_eq(code.first_line, 7);
    cr_expect_not(pycompat_code_read(&fake.compat, (uintptr_t)fake_text("x"), &code));
    cr_expect_not(pycompat_code_read(&fake.compat, 0xdddddddddddddddd, &code));
    cr_expect_not(pycompat_code_read(&fake.compat, 0, &code));
}
