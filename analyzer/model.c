/* SPDX-License-Identifier: MIT
 *
 * The end of a model's life; load.c fills it. */
#include "model.h"

#include "text_pool.h"

#include <stdlib.h>

size_t process_symbols(const struct process *process, size_t id, const struct symbol **ret)
{
    if (id >= process->symbol_count || process->symbols[id].count == 0)
        return 0;
    *ret = process->symbols[id].items;
    return process->symbols[id].count;
}

void process_free(struct process *process)
{
    if (!process)
        return;
    free(process->modules);
    free(process->codes);
    free(process->frames);
    free(process->nodes);
    free(process->traces);
    free(process->groups);
    free(process->errors);
    free(process->references);
    free(process->symbols);
    free(process->links);
    free(process->marks);
    free(process->series);
    free(process->pins);
    text_pool_free(process->texts);
    free(process);
}

void model_clear(struct model *model)
{
    for (size_t i = 0; i < model->process_count; i++)
        process_free(model->processes[i]);
    free(model->processes);
    *model = (struct model){0};
}
