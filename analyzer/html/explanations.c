/* SPDX-License-Identifier: MIT
 *
 * See explanations.h. */
#include "explanations.h"

#include "compiler.h"
#include "emit.h"
#include "why.h"

#include <errno.h>
#include <inttypes.h>

/* The words of the text report, malloc'ed; NULL without memory. */
static char *explain(const struct output_job *job, const struct process *process, const struct link *block)
{
    struct memo memo;
    struct output_job words = *job;
    words.out = memo_open(&memo);
    if (!words.out)
        return NULL;
    int r = why_write_explanation(&words, process, block->kind, block->of, job->symbols);
    char *text = memo_close(&memo);
    if (r == 0)
        return text;
    free(text);
    return NULL;
}

static int put_row(struct output_job *job, struct html_tables *tables, const struct process *process,
                   const struct link *block, bool first)
{
    char fingerprint[FINGERPRINT_SIZE];
    uint32_t number = 0;
    _cleanup_free_ char *text = explain(job, process, block);
    int r = text ? why_fingerprint(process, block, job->symbols, fingerprint) : -ENOMEM;
    if (r == 0)
        r = html_tables_process(tables, process, &number);
    if (r < 0)
        return r;
    fprintf(job->out, "%s[%" PRIu32 ",\"%s\",\"%s\",", first ? "\n" : ",\n", number, leak_kind_name(block->kind),
            fingerprint);
    emit_script(job->out, text);
    fputc(']', job->out);
    return 0;
}

int html_explanations_put(struct output_job *job, struct html_tables *tables)
{
    bool first = true;
    fputs(",\n\"why\":[", job->out);
    for (size_t i = 0; i < job->model->process_count; i++) {
        const struct process *process = job->model->processes[i];
        for (size_t j = 0; j < process->link_count; j++) {
            if (process->links[j].role != WAY_BLOCK)
                continue;
            int r = put_row(job, tables, process, &process->links[j], first);
            if (r < 0)
                return r;
            first = false;
        }
    }
    fputs("]", job->out);
    return 0;
}
