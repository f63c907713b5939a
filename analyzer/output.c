/* SPDX-License-Identifier: MIT
 *
 * Registry of formats, the walk over leaks and errors, and output files that appear whole or not at all. See output.h. */
#include "output.h"

#include "compiler.h"
#include "out_json.h"
#include "out_machine.h"
#include "out_text.h"
#include "place.h"
#include "term.h"
#include "text.h"
#include "zst.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static const struct output *const formats[] = {
    &out_text,   &out_json,        &out_markdown,  &out_sarif,      &out_junit,
    &out_github, &out_gitlab,      &out_collapsed, &out_speedscope, &out_pprof,
    &out_dhat,   &out_openmetrics, &out_csv,       &out_html,       &out_suppressions,
};

const struct output *const *output_formats(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(formats);
    return formats;
}

const struct output *output_find(const char *name, const char *path)
{
    const struct output *found = name ? NULL : &out_text;
    size_t longest = 0, length = path ? strlen(path) : 0;
    if (text_ends_with(path, ZST_SUFFIX))
        length -= strlen(ZST_SUFFIX);
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        const char *extension = formats[i]->extension;
        if (name && strcmp(name, formats[i]->name) == 0)
            return formats[i];
        size_t size = extension ? strlen(extension) : 0;
        if (!name && path && size > longest && length >= size && memcmp(path + length - size, extension, size) == 0) {
            found = formats[i];
            longest = size;
        }
    }
    return found;
}

bool output_frame_shown(const struct output_options *options, const struct frame *frame)
{
    switch (options->frames) {
    case STACK_PYTHON:
        return frame->language != FRAME_NATIVE;
    case STACK_NATIVE:
        return frame->language != FRAME_PYTHON;
    case STACK_ALL:
        break;
    }
    return true;
}

static bool is_quiet(const struct output_job *job, const struct leak *leak)
{
    return job->quiet_reachable && leak->known && leak->kind == LEAK_REACHABLE && !leak_is_background(leak) &&
           !leak_is_over_referenced(leak);
}

bool output_leak_shown(const struct output_job *job, const struct leak *leak)
{
    const struct output_options *options = job->options;
    if (is_quiet(job, leak))
        return false;
    if (leak->startup && !(job->show & SHOW_STARTUP))
        return false;
    if (leak->interpreter && !leak->startup && !(job->show & SHOW_INTERPRETER))
        return false;
    if (leak->suppressed && !(job->show & SHOW_SUPPRESSED) && !job->marks_suppressed)
        return false;
    return leak->bytes >= options->min_bytes && (options->kinds == 0 || (options->kinds >> leak->kind & 1u));
}

static void sum_add(struct output_sum *sum, const struct leak *leak)
{
    sum->leaks++;
    sum->blocks += leak->blocks;
    sum->bytes += leak->bytes;
}

static void count_leaks(struct output_job *job, const struct leaks *leaks)
{
    for (size_t i = 0; i < leaks->count; i++) {
        const struct leak *leak = &leaks->items[i];
        bool listed = output_leak_shown(job, leak);
        if (leak->startup) {
            sum_add(&job->startup, leak);
        } else if (leak->interpreter) {
            sum_add(&job->interpreter, leak);
        } else if (leak->suppressed) {
            sum_add(&job->suppressed, leak);
        } else if (is_quiet(job, leak)) {
            sum_add(&job->reachable, leak);
            job->known = true;
        } else {
            sum_add(&job->kinds[leak->kind], leak);
            sum_add(&job->all, leak);
            job->known |= leak->known;
            job->guessed |= !leak->known;
        }
        if (listed && job->listed < job->top)
            job->listed++;
        else if (listed || (!leak_is_background(leak) && !is_quiet(job, leak)))
            sum_add(&job->hidden, leak);
        job->matching += listed;
    }
}

void output_job_init(struct output_job *job, const struct output *output, const struct output_options *options,
                     const struct model *model, const struct leaks *leaks, FILE *out)
{
    *job = (struct output_job){.out = out, .options = options, .model = model};
    job->show = options->show | output->show;
    job->quiet_reachable = output->reachable_on_request && !options->brief && !(job->show & SHOW_REACHABLE) &&
                           !(options->kinds >> LEAK_REACHABLE & 1u);
    job->marks_suppressed = output->marks_suppressed;
    job->top = options->top == OUTPUT_TOP_DEFAULT ? output->top : options->top;
    if (job->top == 0)
        job->top = SIZE_MAX;
    if (!getcwd(job->folder, sizeof(job->folder)))
        job->folder[0] = '\0';
    source_root_find(options->source_root, job->folder, job->root, sizeof(job->root));
    for (size_t i = 0; i < model->process_count; i++)
        job->errors += model->processes[i]->error_count;
    job->errors_hidden = job->errors > job->top ? job->errors - job->top : 0;
    if (leaks)
        count_leaks(job, leaks);
}

/* What the stream says after an operation that returned `r`; the operation began with errno 0. */
static int stream_result(const struct output_job *job, int r)
{
    if (r == 0 && ferror(job->out))
        r = errno ? -errno : -EIO;
    return r;
}

static int build_if_any(const struct process *process, uint32_t trace, struct symbols *symbols, struct stack *ret)
{
    return trace ? stack_build(process, trace, symbols, ret) : 0;
}

static int write_error(struct output_job *job, const struct output *output, const struct process *process,
                       const struct memory_error *error, struct symbols *symbols)
{
    struct error_stacks stacks = {0};
    int r = build_if_any(process, error->trace, symbols, &stacks.found);
    if (r == 0)
        r = build_if_any(process, error->alloc_trace, symbols, &stacks.allocated);
    if (r == 0)
        r = build_if_any(process, error->free_trace, symbols, &stacks.freed);
    errno = 0;
    if (r == 0)
        r = stream_result(job, output->error(job, process, error, &stacks));
    stack_clear(&stacks.found);
    stack_clear(&stacks.allocated);
    stack_clear(&stacks.freed);
    return r;
}

static int write_errors(struct output_job *job, const struct output *output, struct symbols *symbols)
{
    for (size_t i = 0; output->error && i < job->model->process_count; i++) {
        const struct process *process = job->model->processes[i];
        for (size_t j = 0; j < process->error_count; j++) {
            if (job->errors_written >= job->top)
                return 0;
            job->errors_written++;
            int r = write_error(job, output, process, &process->errors[j], symbols);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int write_leaks(struct output_job *job, const struct output *output, const struct leaks *leaks)
{
    for (size_t i = 0; output->leak && i < leaks->count && job->leaks_written < job->listed; i++) {
        if (!output_leak_shown(job, &leaks->items[i]))
            continue;
        job->leaks_written++;
        errno = 0;
        int r = stream_result(job, output->leak(job, &leaks->items[i]));
        if (r < 0)
            return r;
    }
    return 0;
}

static int write_growths(struct output_job *job, const struct output *output, struct symbols *symbols)
{
    struct growths growths = {0};
    int r = symbols ? growths_build(job->model, symbols, &growths) : 0;

    job->growing = growths.count;
    for (size_t i = 0; r == 0 && output->growth && i < growths.count && job->growing_written < job->top; i++) {
        job->growing_written++;
        errno = 0;
        r = stream_result(job, output->growth(job, &growths.items[i]));
    }
    growths_clear(&growths);
    return r;
}

int output_report(struct output_job *job, const struct output *output, const struct leaks *leaks,
                  struct symbols *symbols)
{
    errno = 0;
    job->symbols = symbols;
    int r = stream_result(job, output->begin(job));
    if (r == 0)
        r = write_errors(job, output, symbols);
    if (r == 0)
        r = write_leaks(job, output, leaks);
    if (r == 0)
        r = write_growths(job, output, symbols);
    errno = 0;
    if (r == 0)
        r = stream_result(job, output->end(job));
    if (output->done)
        output->done(job);
    return r;
}

/* A new file beside `path`, with the mode that open() would have given it. */
static int open_temporary(struct output_file *file, const char *path)
{
    if (asprintf(&file->temporary, "%s.XXXXXX", path) < 0) {
        file->temporary = NULL;
        return -ENOMEM;
    }
    int fd = mkostemp(file->temporary, O_CLOEXEC);
    if (fd >= 0) {
        mode_t mask = umask(0);
        umask(mask);
        if (fchmod(fd, 0666 & ~mask) == 0)
            file->out = fdopen(fd, "w");
        if (file->out)
            return 0;
    }
    int error = errno;
    if (fd >= 0) {
        close(fd);
        unlink(file->temporary);
    }
    free(TAKE_PTR(file->temporary));
    return -error;
}

static int open_plain(struct output_file *file, const char *path)
{
    *file = (struct output_file){.out = stdout};
    if (!path || strcmp(path, "-") == 0)
        return 0;
    file->out = NULL;
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (exists && !S_ISREG(status.st_mode)) {
        file->out = fopen(path, "we");
        file->path = path;
        return file->out ? 0 : -errno;
    }
    /* A link stays a link: the file behind it is replaced. */
    file->resolved = exists ? realpath(path, NULL) : strdup(path);
    if (!file->resolved)
        return -errno;
    file->path = file->resolved;
    int r = open_temporary(file, file->resolved);
    if (r < 0)
        free(TAKE_PTR(file->resolved));
    return r;
}

int output_file_open(struct output_file *file, const char *path)
{
    int r = open_plain(file, path);
    if (r < 0 || !text_ends_with(file->path, ZST_SUFFIX))
        return r;
    file->inner = file->out;
    file->out = zst_writer_open(file->inner);
    if (file->out)
        return 0;
    r = -errno;
    file->out = TAKE_PTR(file->inner);
    output_file_close(file, false);
    return r;
}

int output_file_close(struct output_file *file, bool keep)
{
    int r = 0;
    if (file->inner) {
        errno = 0;
        int failed = ferror(file->out);
        if ((fclose(file->out) != 0 || failed) && keep)
            r = errno ? -errno : -EIO;
        file->out = TAKE_PTR(file->inner);
    }
    if (file->path) {
        r = keep && r == 0 ? stream_flush(file->out) : r;
        if (fclose(file->out) != 0 && r == 0 && keep && errno != EPIPE)
            r = -errno;
    } else {
        r = stream_flush(file->out);
    }
    if (file->temporary) {
        if (keep && r == 0 && rename(file->temporary, file->path) < 0)
            r = -errno;
        if (!keep || r < 0)
            unlink(file->temporary);
    }
    free(file->temporary);
    free(file->resolved);
    *file = (struct output_file){.out = stdout};
    return r;
}
