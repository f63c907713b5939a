/* SPDX-License-Identifier: MIT
 *
 * MEMSHIM_OPTIONS: grammar, ranges, warnings, and that what is written is read back. */
#include "options.h"

#include "ledger_format.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#define MESSAGE_MAX 512

struct messages {
    unsigned count;
    char last[MESSAGE_MAX];
};

static struct options options;
static struct messages messages;

static void note(void *context, const char *message)
{
    struct messages *to = context;

    to->count++;
    snprintf(to->last, sizeof(to->last), "%s", message);
}

static void parse(const char *text)
{
    options_defaults(&options);
    messages = (struct messages){0};
    options_parse(&options, text, note, &messages);
}

Test(options, defaults_are_the_tables)
{
    parse(NULL);
    cr_expect_str_eq(options.output, "");
    cr_expect_eq(options.domains, 1u << DOMAIN_MALLOC | 1u << DOMAIN_RAW | 1u << DOMAIN_MEM | 1u << DOMAIN_OBJ |
                                      1u << DOMAIN_NEW | 1u << DOMAIN_NEW_ARRAY);
    cr_expect_eq(options.native, 1);
    cr_expect_eq(options.stack_depth, 64);
    cr_expect_eq(options.sample, 0);
    cr_expect_eq(options.quarantine, 16u << 20);
    cr_expect_eq(options.error_limit, 1000);
    cr_expect_eq(messages.count, 0);
}

Test(options, every_default_is_a_value_of_its_row)
{
    size_t count;
    const struct option_row *rows = options_rows(&count);

    for (size_t i = 0; i < count; i++) {
        cr_expect_null(option_set(&options, &rows[i], rows[i].value, strlen(rows[i].value)), "%s", rows[i].name);
        cr_expect_eq(option_find(rows[i].name, strlen(rows[i].name)), &rows[i]);
    }
}

Test(options, pairs)
{
    parse(":guard=1::stack_depth=512:sample=3k:quarantine=2G:domains=obj,mmap:native=off:output=/tmp/%p.jsonl:");
    cr_expect_eq(messages.count, 0, "%s", messages.last);
    cr_expect_eq(options.guard, 1);
    cr_expect_eq(options.stack_depth, 512);
    cr_expect_eq(options.sample, 3072);
    cr_expect_eq(options.quarantine, 2ull << 30);
    cr_expect_eq(options.domains, 1u << DOMAIN_OBJ | 1u << DOMAIN_MMAP);
    cr_expect_eq(options.native, 0);
    cr_expect_str_eq(options.output, "/tmp/%p.jsonl");
}

/* Each of the values is warned about, and the default, 0, holds. */
static void expect_refused(const char *name, const uint64_t *field, const char *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s=%s", name, values[i]);
        parse(text);
        cr_expect_eq(*field, 0, "%s", values[i]);
        cr_expect_eq(messages.count, 1, "%s", values[i]);
    }
}

Test(options, signals)
{
    parse("snapshot_signal=USR2");
    cr_expect_eq(options.snapshot_signal, SIGUSR2);
    parse("snapshot_signal=sigusr1");
    cr_expect_eq(options.snapshot_signal, SIGUSR1);
    parse("snapshot_signal=RTMIN+3");
    cr_expect_eq(options.snapshot_signal, (unsigned)SIGRTMIN + 3);
    parse("snapshot_signal=RTMAX-1");
    cr_expect_eq(options.snapshot_signal, (unsigned)SIGRTMAX - 1);
    parse("snapshot_signal=10");
    cr_expect_eq(options.snapshot_signal, 10);
    parse("snapshot_signal=none");
    cr_expect_eq(options.snapshot_signal, 0);
    cr_expect_eq(messages.count, 0, "%s", messages.last);
    static const char *const bad[] = {"KILL",    "STOP",    "SEGV",     "9", "11", "1000",
                                      "RTMIN-1", "RTMAX+1", "RTMIN+99", "",  "x"};
    expect_refused("snapshot_signal", &options.snapshot_signal, bad, ARRAY_SIZE(bad));
}

Test(options, seconds)
{
    parse("growth=10");
    cr_expect_eq(options.growth, 10000);
    parse("growth=0.25");
    cr_expect_eq(options.growth, 250);
    cr_expect_eq(messages.count, 0, "%s", messages.last);
    static const char *const bad[] = {".5", "1.", "1.2345", "-1", "1s", "", "86401", "99999999999"};
    expect_refused("growth", &options.growth, bad, ARRAY_SIZE(bad));
}

Test(options, the_last_one_counts)
{
    parse("verbosity=1:verbosity=2:stack-depth=5");
    cr_expect_eq(options.verbosity, 2);
    cr_expect_eq(options.stack_depth, 5);
}

Test(options, words_for_domains)
{
    parse("domains=all");
    cr_expect_eq(options.domains, (1u << DOMAIN_TRACKED) - 1);
    parse("domains=none");
    cr_expect_eq(options.domains, 0);
    parse("domains=malloc,");
    cr_expect_eq(messages.count, 1);
}

Test(options, quotes)
{
    parse("output='/a:b\"c':guard=1");
    cr_expect_str_eq(options.output, "/a:b\"c");
    cr_expect_eq(options.guard, 1);
    parse("output='it'\"'\"'s':guard=1");
    cr_expect_str_eq(options.output, "it's");
    cr_expect_eq(options.guard, 1);
    parse("output=/it's:guard=1");
    cr_expect_str_eq(options.output, "/it's");
    cr_expect_eq(options.guard, 1);
    cr_expect_eq(messages.count, 0);
}

static void expect_warning(const char *text, const char *warning)
{
    parse(text);
    cr_expect_eq(messages.count, 1, "%s: %u warnings", text, messages.count);
    cr_expect_str_eq(messages.last, warning);
}

Test(options, warnings)
{
    expect_warning("stack_dept=1", "unknown option 'stack_dept' (did you mean 'stack_depth'?)");
    expect_warning("native=x", "bad value 'x' for option 'native': expected 0 or 1; using 1");
    expect_warning("stack_depth=513",
                   "bad value '513' for option 'stack_depth': expected a number from 1 to 512; using 64");
    expect_warning("stack_depth=0",
                   "bad value '0' for option 'stack_depth': expected a number from 1 to 512; using 64");
    expect_warning("verbosity=2:verbosity=",
                   "bad value '' for option 'verbosity': expected a number from 0 to 2; using 2");
    expect_warning(
        "sample=99999999999G",
        "bad value '99999999999G' for option 'sample': expected a number of bytes, or one with k, M or G; using 0");
    expect_warning("sample=k",
                   "bad value 'k' for option 'sample': expected a number of bytes, or one with k, M or G; using 0");
    expect_warning("sample=-1",
                   "bad value '-1' for option 'sample': expected a number of bytes, or one with k, M or G; using 0");
    expect_warning("domains=obj,x", "bad value 'obj,x' for option 'domains': expected 'all', 'none', or any of "
                                    "malloc,raw,mem,obj,mmap; using malloc,raw,mem,obj");
    expect_warning("guard", "option 'guard' has no value");
    expect_warning("zzz", "unknown option 'zzz'");
    expect_warning("=1", "unknown option ''");
    expect_warning("output='a:b", "value of option 'output' is badly quoted or too long");
    expect_warning("output='a'b:guard=1", "value of option 'output' is badly quoted or too long");
    cr_expect_eq(options.guard, 1);
    expect_warning("a\nb=1", "unknown option 'a?b'");
}

Test(options, a_bad_value_is_skipped_and_the_rest_holds)
{
    parse("native=x:guard=1");
    cr_expect_eq(options.native, 1);
    cr_expect_eq(options.guard, 1);
}

Test(options, numbers_at_their_ends)
{
    parse("sample=18446744073709551615:error_limit=1000000:self_check=4294967295");
    cr_expect_eq(messages.count, 0, "%s", messages.last);
    cr_expect_eq(options.sample, UINT64_MAX);
    parse("sample=18446744073709551616");
    cr_expect_eq(messages.count, 1);
    parse("sample=17179869183G");
    cr_expect_eq(options.sample, 17179869183ull << 30);
    parse("sample=17179869184G");
    cr_expect_eq(messages.count, 1);
}

Test(options, long_texts)
{
    static char text[2 * OPTION_TEXT_MAX] = "output=";
    size_t at = strlen(text);

    memset(text + at, 'x', OPTION_TEXT_MAX - 1);
    parse(text);
    cr_expect_eq(messages.count, 0);
    cr_expect_eq(strlen(options.output), OPTION_TEXT_MAX - 1);
    text[at + OPTION_TEXT_MAX - 1] = 'x';
    parse(text);
    cr_expect_eq(messages.count, 1);
    cr_expect_lt(strlen(messages.last), 300);
    cr_expect_str_eq(options.output, "");
    text[at] = '\'';
    text[at + OPTION_TEXT_MAX] = '\'';
    parse(text);
    cr_expect_eq(messages.count, 0);
    text[at + OPTION_TEXT_MAX] = 'x';
    text[at + OPTION_TEXT_MAX + 1] = '\'';
    parse(text);
    cr_expect_eq(messages.count, 1);
}

static void expect_nearest(const char *name, const char *nearest)
{
    const struct option_row *row = option_nearest(name, strlen(name));

    if (nearest)
        cr_expect(row && strcmp(row->name, nearest) == 0, "%s: %s", name, row ? row->name : "none");
    else
        cr_expect_null(row, "%s", name);
}

Test(options, nearest_names)
{
    expect_nearest("quard", "guard");
    expect_nearest("gaurd", "guard");
    expect_nearest("leakcheck", "leak_check");
    expect_nearest("abort-on-eror", "abort_on_error");
    expect_nearest("domain", "domains");
    expect_nearest("", NULL);
    expect_nearest("malloc_context_size", NULL);
    expect_nearest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL);
}

static void expect_round_trip(const char *text, const char *formatted)
{
    struct options before;
    char buffer[2 * OPTION_TEXT_MAX];

    parse(text);
    before = options;
    cr_expect_eq(options_format(&options, buffer, sizeof(buffer)), strlen(formatted));
    cr_expect_str_eq(buffer, formatted);
    parse(buffer);
    cr_expect_eq(messages.count, 0, "%s", messages.last);
    cr_expect_arr_eq((char *)&options, (char *)&before, sizeof(options));
}

Test(options, what_is_written_is_read_back)
{
    expect_round_trip("", "");
    expect_round_trip("guard=0:native=1", "");
    expect_round_trip("verbosity=1:output=a b:guard=yes", "output=a b:guard=1:verbosity=1");
    expect_round_trip("output='a:b'", "output='a:b'");
    expect_round_trip("output=\"a:b'c\"", "output='a:b'\"'c\"");
    expect_round_trip("output='\"x\"'", "output='\"x\"'");
    expect_round_trip("domains=none", "domains=none");
    expect_round_trip("domains=all", "domains=malloc,raw,mem,obj,mmap");
}

Test(options, format_cuts_like_snprintf)
{
    char buffer[8] = "zzzzzzz";

    parse("guard=1:verbosity=2");
    cr_expect_eq(options_format(&options, buffer, sizeof(buffer)), strlen("guard=1:verbosity=2"));
    cr_expect_str_eq(buffer, "guard=1");
    cr_expect_eq(options_format(&options, NULL, 0), strlen("guard=1:verbosity=2"));
}

/* Every string of up to five of the characters that mean something. */
Test(options, no_text_harms)
{
    static const char alphabet[] = ":='\"a";
    char text[16] = "output=";

    for (unsigned n = 0; n < 5u * 5 * 5 * 5 * 5; n++) {
        unsigned rest = n;

        for (unsigned i = 0; i < 5; i++, rest /= 5)
            text[7 + i] = alphabet[rest % 5];
        parse(text);
        parse(text + 7);
        parse(text + 5);
    }
}
