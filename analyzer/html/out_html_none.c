/* SPDX-License-Identifier: MIT
 *
 * In place of out_html.c where npm, or what it fetches, was missing when memshim was built. */
#include "out_machine.h"

#include <errno.h>

static int none_begin(struct output_job *job)
{
    (void)job;
    return -ENOTSUP;
}

const struct output out_html = {
    .name = "html",
    .extension = ".html",
    .help = "not in this build, which had no npm or no packages from it",
    .absent = true,
    .begin = none_begin,
};
