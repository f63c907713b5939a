/* SPDX-License-Identifier: MIT
 *
 * In place of out_pprof.c where protobuf-c or zlib was missing when memshim was built. */
#include "out_machine.h"

#include <errno.h>

static int none_begin(struct output_job *job)
{
    (void)job;
    return -ENOTSUP;
}

const struct output out_pprof = {
    .name = "pprof",
    .help = "not in this build, which had no protobuf-c or zlib",
    .absent = true,
    .begin = none_begin,
};
