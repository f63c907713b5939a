/* SPDX-License-Identifier: MIT
 *
 * See stackname.h. */
#include "stackname.h"

#include "text.h"

#include <inttypes.h>
#include <string.h>

void stackname_function(FILE *out, const struct frame *frame)
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

void stackname_process(FILE *out, const struct process *process)
{
    fprintf(out, "%s (pid %d)", process->program && *process->program ? process->program : "?", process->pid);
}
