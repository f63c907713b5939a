/* SPDX-License-Identifier: MIT
 *
 * See stackname.h. */
#include "stackname.h"

#include "emit.h"
#include "text.h"

#include <inttypes.h>
#include <string.h>

void stackname_put(FILE *out, const struct frame *frame)
{
    if (frame->language == FRAME_CUT)
        fputs("(frames cut by stack_depth)", out);
    else if (frame->language == FRAME_PYTHON || strcmp(frame->function, "??") != 0)
        fputs(*frame->function ? frame->function : "??", out);
    else if (frame->module)
        fprintf(out, "%s+0x%" PRIx64, text_base(frame->module), frame->offset);
    else
        fprintf(out, "0x%" PRIx64, frame->offset);
}

char *stackname_of(const struct frame *frame)
{
    struct memo memo;
    FILE *out = memo_open(&memo);
    if (!out)
        return NULL;
    stackname_put(out, frame);
    return memo_close(&memo);
}

char *stackname_process(const struct process *process)
{
    const char *program = process->program && *process->program ? process->program : "?";
    char *text = NULL;
    return asprintf(&text, "%s (pid %d)", program, process->pid) < 0 ? NULL : text;
}
