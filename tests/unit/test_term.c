/* SPDX-License-Identifier: MIT */
#include "term.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void clean_environment(void)
{
    static const char *const names[] = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CI", "PAGER", "MEMSHIM_PAGER"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        unsetenv(names[i]);
    setenv("TERM", "xterm", 1);
}

TestSuite(term, .init = clean_environment);

/* A stream that is a terminal. */
static FILE *open_terminal(int *master)
{
    int slave;
    cr_assert_eq(openpty(master, &slave, NULL, NULL, NULL), 0);
    return fdopen(slave, "w");
}

Test(term, modes)
{
    enum color_mode mode = COLOR_AUTO;
    cr_expect_eq(color_parse("always", &mode), 0);
    cr_expect_eq(mode, COLOR_ALWAYS);
    cr_expect_eq(color_parse("yes", &mode), -EINVAL);
    cr_expect_eq(mode, COLOR_ALWAYS);
}

Test(term, a_file_has_no_colour_unless_forced)
{
    FILE *file = tmpfile();
    cr_expect_not(term_color(COLOR_AUTO, file));
    cr_expect(term_color(COLOR_ALWAYS, file));
    setenv("FORCE_COLOR", "1", 1);
    cr_expect(term_color(COLOR_AUTO, file));
    setenv("FORCE_COLOR", "0", 1);
    cr_expect_not(term_color(COLOR_AUTO, file));
    setenv("CLICOLOR_FORCE", "1", 1);
    cr_expect(term_color(COLOR_AUTO, file));
    setenv("NO_COLOR", "1", 1);
    cr_expect_not(term_color(COLOR_AUTO, file));
    fclose(file);
}

Test(term, a_terminal_has_colour_unless_refused)
{
    int master;
    FILE *terminal = open_terminal(&master);
    cr_expect(term_color(COLOR_AUTO, terminal));
    cr_expect_not(term_color(COLOR_NEVER, terminal));
    setenv("NO_COLOR", "", 1);
    cr_expect(term_color(COLOR_AUTO, terminal), "an empty NO_COLOR says nothing");
    setenv("NO_COLOR", "1", 1);
    cr_expect_not(term_color(COLOR_AUTO, terminal));
    cr_expect(term_color(COLOR_ALWAYS, terminal), "an explicit mode wins");
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    cr_expect_not(term_color(COLOR_AUTO, terminal));
    fclose(terminal);
    close(master);
}

Test(term, without_colour_styles_are_empty)
{
    cr_expect_str_eq(term_style(false, STYLE_BAD), "");
    cr_expect_str_neq(term_style(true, STYLE_BAD), "");
}

Test(term, a_full_disk_is_an_error)
{
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        cr_skip_test("no /dev/full");
    fputs("x", full);
    cr_expect_eq(stream_flush(full), -ENOSPC);
    fclose(full);
}

Test(term, a_reader_who_left_is_none)
{
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(ends), 0);
    FILE *out = fdopen(ends[1], "w");
    close(ends[0]);
    fputs("x", out);
    cr_expect_eq(stream_flush(out), 0);
    setvbuf(out, NULL, _IONBF, 0);
    fputs("x", out); /* fails at once, so that flushing has nothing left to fail with */
    cr_expect_eq(stream_flush(out), 0);
    fclose(out);
}

Test(term, no_pager_without_a_terminal)
{
    struct pager pager;
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    pager_start(&pager, true);
    cr_expect_eq(pager.out, stdout);
    cr_expect_eq(pager.pid, 0);
    cr_expect_eq(pager_done(&pager), 0);
}
