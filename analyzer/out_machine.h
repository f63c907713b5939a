/* SPDX-License-Identifier: MIT
 *
 * The formats that other programs read; each is a file of its own, out_NAME.c. (out_json.h has the one that is ours.) */
#ifndef ANALYZER_OUT_MACHINE_H
#define ANALYZER_OUT_MACHINE_H

#include "output.h"

extern const struct output out_markdown, out_sarif, out_junit, out_github, out_gitlab, out_collapsed, out_speedscope,
    out_pprof, out_dhat, out_openmetrics, out_csv, out_html, out_suppressions;

#endif
