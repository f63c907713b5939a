/* SPDX-License-Identifier: MIT
 *
 * What depends on whether a person is looking: the colour decision and the pager. Reads the environment; everything
 * else in the analyzer is told. */
#ifndef ANALYZER_TERM_H
#define ANALYZER_TERM_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

enum color_mode { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

enum term_style { STYLE_NONE, STYLE_BAD, STYLE_WARN, STYLE_GOOD, STYLE_STRONG, STYLE_FAINT, STYLE_COUNT };

/* "auto", "always" or "never". Returns 0 or -EINVAL. */
int color_parse(const char *text, enum color_mode *ret);

/* Whether to colour what goes to `out`. An explicit mode wins; then NO_COLOR, FORCE_COLOR and CLICOLOR_FORCE, TERM=dumb,
 * and whether `out` is a terminal. */
bool term_color(enum color_mode mode, FILE *out);

/* The escape sequence that begins `style` (STYLE_NONE: that ends any), "" without colour. */
const char *term_style(bool color, enum term_style style);

struct pager {
    FILE *out; /* what to write to: the pager, or stdout when there is none */
    pid_t pid; /* 0 = no pager */
};

/* Starts $MEMSHIM_PAGER, $PAGER or less if stdout and stdin are a terminal, TERM is not dumb and CI is not set. Never
 * fails: without a pager `out` is stdout. Must be given to pager_done. */
void pager_start(struct pager *pager, bool wanted);

/* Flushes, and waits for the user to leave the pager. Returns 0 or -errno of the stream; a pager that was left early
 * (EPIPE) is no failure. */
int pager_done(struct pager *pager);

/* fflush that reports what went wrong earlier, too. A reader that closed its pipe (EPIPE) is no failure. */
int stream_flush(FILE *out);

#endif
