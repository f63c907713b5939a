/* SPDX-License-Identifier: MIT
 *
 * For tests of the analyzer: reports as texts, loaded into a model. */
#ifndef TESTS_SAMPLE_REPORT_H
#define TESTS_SAMPLE_REPORT_H

#include "load.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SAMPLE_HEAD \
    "{\"memshim\":1, \"schema\":\"memshim-report-lines/1\", \"version\":\"0.1.0\", \"pid\":42, \"ppid\":7, " \
    "\"sequence\":3, " \
    "\"program\":\"python3\", \"argv\":[\"python3\",\"a b\"], \"python\":\"3.11.2\", " \
    "\"started\":\"2026-01-31T12:00:00.000000Z\", \"options\":\"stack_depth=32\", \"forked\":true}\n"

#define SAMPLE_END(lines) \
    "{\"end\":true, \"ended\":\"exit\", \"status\":3, \"time\":\"2026-01-31T12:00:01.000000Z\", " \
    "\"lacks\":[\"no unwinder\"], \"lines\":" #lines "}\n"

/* One of each kind of line: 13 lines. */
#define SAMPLE_BODY \
    "{\"module\":1, \"path\":\"/opt/app/ext.so\", \"start\":\"0x7f0000000000\", \"end\":\"0x7f0000010000\", " \
    "\"bias\":\"0x7f0000000000\", \"build_id\":\"00ff\"}\n" \
    "{\"code\":1, \"file\":\"/srv/x\\u00e9.py\", \"name\":\"f\", \"qualname\":\"C.f\", \"first_line\":3, " \
    "\"table_kind\":\"lnotab\", \"table\":\"00020a01\"}\n" \
    "{\"frame\":1, \"language\":\"native\", \"module\":1, \"offset\":\"0x1234\", \"exact\":true}\n" \
    "{\"frame\":2, \"language\":\"python\", \"code\":1, \"instruction\":12, \"entry\":true}\n" \
    "{\"frame\":3, \"language\":\"cut\", \"frames\":10}\n" \
    "{\"stack\":1, \"parent\":0, \"frame\":3}\n" \
    "{\"stack\":2, \"parent\":1, \"frame\":1}\n" \
    "{\"stack\":3, \"parent\":0, \"frame\":2}\n" \
    "{\"trace\":1, \"native\":2, \"python\":3, \"allocations\":10, \"bytes\":160}\n" \
    "{\"group\":1, \"trace\":1, \"kind\":\"definite\", \"known\":true, \"domain\":\"obj\", \"type\":\"list\", " \
    "\"startup\":false, \"blocks\":2, \"bytes\":32}\n" \
    "{\"error\":1, \"kind\":\"overflow\", \"domain\":\"mem\", \"address\":\"0x10\", \"size\":16, \"count\":4, " \
    "\"detail\":\"one byte\", \"trace\":1, \"alloc_trace\":1, \"free_trace\":0}\n" \
    "{\"totals\":true, \"allocations\":11, \"frees\":9, \"live_blocks\":2, \"live_bytes\":32, \"peak_bytes\":64, " \
    "\"dropped\":1, \"startup_blocks\":5, \"startup_bytes\":6, \"inherited_frees\":7, \"threads\":8, " \
    "\"self_checks\":9, " \
    "\"self_check_differences\":10}\n"

#define SAMPLE SAMPLE_HEAD SAMPLE_BODY SAMPLE_END(14)

/* Loads `size` bytes of text as the file "sample". */
static inline int sample_load(struct model *model, const char *text, size_t size, struct load_error *error)
{
    FILE *in = tmpfile();
    int r;

    cr_assert(in);
    cr_assert_eq(fwrite(text, 1, size, in), size);
    rewind(in);
    r = load_stream(model, in, "sample", error);
    fclose(in);
    return r;
}

/* Loads a text that must be readable. */
static inline const struct process *sample_process(struct model *model, const char *text)
{
    struct load_error error = {0};

    *model = (struct model){0};
    cr_assert_eq(sample_load(model, text, strlen(text), &error), 0, "%s:%lu: %s", error.source, error.line, error.text);
    cr_assert(model->process_count >= 1);
    return model->processes[0];
}

#endif
