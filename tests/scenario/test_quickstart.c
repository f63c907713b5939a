/* SPDX-License-Identifier: MIT
 *
 * What a new user sees first: the report that scripts/quickstart prints names the four planted leaks with the exact
 * numbers, and none of them once they are fixed. */
#include "trace.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(quickstart);

/* The part of the output that begins with `title`, up to the next title ("== ") or the end. The caller frees it. */
static char *section(const char *text, const char *title)
{
    const char *start = strstr(text, title);
    cr_assert(start, "quickstart does not print \"%s\":\n%s", title, text);
    const char *end = strstr(start + strlen(title), "\n== ");
    return end ? strndup(start, (size_t)(end - start)) : strdup(start);
}

/* Digits without separators: 6,400 becomes 6400. */
static void drop_separators(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != ',' || !isdigit((unsigned char)from[1]) || from == text || !isdigit((unsigned char)from[-1]))
            *to++ = *from;
    *to = '\0';
}

Test(quickstart, demo)
{
    static const char *const expected[] = {
        "copy_header", "grow_buffer", "open_journal", "make_token", "leaky.c:",    "app.py:",     "read_request",
        "sign_in",     "100 blocks",  "6400 bytes",   "9600 bytes", "12800 bytes", "25600 bytes",
    };
    char *script = text_format("%s/scripts/quickstart", test_variable("TEST_SOURCE"));
    char *folder = folder_new();
    struct outcome outcome = spawn_run(LIST(script, "--demo-only", memshim_path(), folder), NULL);

    cr_assert_eq(outcome.status, 0, "status %d\n%s%s", outcome.status, outcome.out, outcome.err);
    char *leaky = section(outcome.out, "== the leaking program"), *fixed = section(outcome.out, "== the fixed program");
    drop_separators(leaky);
    for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
        cr_assert(strstr(leaky, expected[i]), "\"%s\" is missing in\n%s", expected[i], leaky);
    for (size_t i = 0; i < 4; i++)
        cr_assert(!strstr(fixed, expected[i]), "\"%s\" is in the report of the fixed program:\n%s", expected[i], fixed);
    outcome_clear(&outcome);
    free(leaky);
    free(fixed);
    free(script);
    folder_remove(folder);
}
