/* SPDX-License-Identifier: MIT
 *
 * Files, folders and streams in; lines out to rows.c. */
#include "load.h"

#include "compiler.h"
#include "ledger_format.h"
#include "lines.h"
#include "memshim/report.h"
#include "pool_file.h"
#include "pool_report.h"
#include "progress.h"
#include "rows.h"
#include "tee.h"
#include "text.h"
#include "zst.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _printf_format_(4, 5) int fail(struct load_error *error, const char *source, unsigned long line,
                                      const char *format, ...)
{
    va_list args;

    snprintf(error->source, sizeof(error->source), "%s", source);
    error->line = line;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return -EINVAL;
}

static int fail_errno(struct load_error *error, const char *source, int code)
{
    if (code == ENOMEM)
        return -ENOMEM;
    fail(error, source, 0, "%s", strerror(code));
    return -code;
}

/* The reading of one stream, which may hold several reports one after the other. */
struct loading {
    struct model *model;
    const char *source;
    struct load_error *error;
    struct rows rows; /* process NULL: none begun */
    unsigned long line;
    bool damaged; /* nothing more is read up to the next first line */
};

static int finish_process(struct loading *loading)
{
    struct model *model = loading->model;
    struct process **larger;

    if (!loading->rows.process)
        return 0;
    larger = reallocarray(model->processes, model->process_count + 1, sizeof(struct process *));
    if (!larger)
        return -ENOMEM;
    model->processes = larger;
    model->processes[model->process_count++] = rows_end(&loading->rows);
    return 0;
}

static int begin_process(struct loading *loading, struct line *line)
{
    char why[ROWS_WHY_MAX];
    int r = finish_process(loading);

    if (r < 0)
        return r;
    r = rows_begin(line, loading->source, &loading->rows, why);
    return r == -EINVAL ? fail(loading->error, loading->source, loading->line, "%s", why) : r;
}

static bool is_blank(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return false;
    return true;
}

/* What is damaged in a process ends the process, and not those that follow in the same stream. */
static int load_damage(struct loading *loading)
{
    loading->rows.ended = false;
    loading->damaged = true;
    return 0;
}

static int take_line(struct loading *loading, struct line *line)
{
    int r;

    if (loading->rows.process && !line_is(line, "memshim")) {
        if (loading->damaged)
            return 0;
        r = rows_add(&loading->rows, line);
        return r == -EINVAL ? load_damage(loading) : r;
    }
    r = begin_process(loading, line);
    if (r == -EINVAL && loading->damaged)
        return 0;
    loading->damaged = false;
    return r;
}

/* Returns 0, -ENOMEM, or -EINVAL: there is nothing to keep. */
static int load_line(struct loading *loading, const char *text, size_t length)
{
    struct line line;
    char why[256];
    int r;

    if (is_blank(text, length))
        return 0;
    r = line_parse(text, length, &line, why);
    if (r == -EINVAL && !loading->rows.process && !loading->damaged)
        return fail(loading->error, loading->source, loading->line, "not a memshim report: %s", why);
    if (r < 0)
        return r == -EINVAL ? load_damage(loading) : r;
    r = take_line(loading, &line);
    line_clear(&line);
    if (r == 0 && !loading->damaged && loading->model->tee)
        tee_line(loading->model->tee, loading->rows.process, text, length);
    return r;
}

static int load_lines(struct loading *loading, struct lines *lines)
{
    const char *text;
    size_t length;
    int r;

    for (;;) {
        loading->line++;
        r = lines_next(lines, &text, &length);
        if ((r == -E2BIG || r == -EBADMSG) && loading->rows.process)
            return load_damage(loading);
        if (r == -E2BIG)
            return fail(loading->error, loading->source, loading->line, "not a memshim report: a line without end");
        if (r == -EBADMSG)
            return fail(loading->error, loading->source, 0, "damaged: zstd cannot read it");
        if (r == -ENOSYS)
            return fail(loading->error, loading->source, 0, "compressed, and this memshim was built without zstd");
        if (r < 0)
            return fail_errno(loading->error, loading->source, -r);
        if (r > 0)
            r = load_line(loading, text, length);
        else
            return 0;
        if (r < 0)
            return r;
    }
}

int load_stream(struct model *model, FILE *in, const char *source, struct load_error *error)
{
    struct loading loading = {.model = model, .source = source, .error = error};
    struct lines lines = {.in = in};
    struct stat status;
    int r;

    progress_step("reading", fstat(fileno(in), &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0);
    r = load_lines(&loading, &lines);
    bool compressed = lines.zst != NULL;
    lines_clear(&lines);
    if (r == 0 && !loading.rows.process)
        r = fail(error, source, 0, compressed ? "compressed, and cut before its first line" : "file is empty");
    if (r == 0)
        r = finish_process(&loading);
    process_free(loading.rows.process);
    return r;
}

/* A file without a name for the report of a ledger. */
static FILE *scratch_open(void)
{
    FILE *file = tmpfile();
    int fd;

    if (file)
        return file;
    fd = memfd_create("memshim-report", MFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    file = fdopen(fd, "w+");
    if (!file)
        close(fd);
    return file;
}

int load_ledger(struct model *model, const char *path, const struct report_end *end, struct load_error *error)
{
    _cleanup_fclose_ FILE *report = NULL;
    struct ledger_view view = {0};
    const char *why = NULL;
    int r;

    r = ledger_view_open(&view, path, &why);
    if (r < 0)
        return r == -EINVAL && why ? fail(error, path, 0, "%s", why) : fail_errno(error, path, -r);
    report = scratch_open();
    r = report ? report_write(&view, end, report) : -errno;
    ledger_view_close(&view);
    if (r < 0)
        return fail_errno(error, path, -r);
    rewind(report);
    return load_stream(model, report, path, error);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), suffix_length = strlen(suffix);

    return length > suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

/* A shared pool, as reports of those who made what is in it. */
static int load_pool(struct model *model, FILE *pool, const char *path, struct load_error *error)
{
    _cleanup_fclose_ FILE *report = scratch_open();
    struct pool_view view;
    unsigned parts = POOL_REPORT_ALLOCATIONS | POOL_REPORT_ATTACHMENTS;
    int r;

    if (!report)
        return fail_errno(error, path, errno);
    r = pool_file_read(fileno(pool), &view);
    if (r == -EINVAL)
        return fail(error, path, 0, "not a whole memory pool, or of another version");
    if (r == 0) {
        if (pool_report_is_in_use(&view, 0))
            parts |= POOL_REPORT_IN_USE;
        r = pool_report_write(&view, parts, report);
        pool_file_close(&view);
    }
    if (r < 0)
        return fail_errno(error, path, -r);
    rewind(report);
    return load_stream(model, report, path, error);
}

/* How the file begins. Only asked of regular files: a pipe could not be rewound. */
static uint64_t magic_of(FILE *file)
{
    uint64_t magic = 0;

    if (fread(&magic, sizeof(magic), 1, file) != 1)
        magic = 0;
    rewind(file);
    return magic;
}

static int load_file(struct model *model, const char *path, struct load_error *error)
{
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    struct stat status;

    if (!file || fstat(fileno(file), &status) < 0)
        return fail_errno(error, path, errno);
    uint64_t magic = S_ISREG(status.st_mode) ? magic_of(file) : 0;
    if (magic == POOL_MAGIC)
        return load_pool(model, file, path, error);
    if (S_ISREG(status.st_mode) && (has_suffix(path, MEMSHIM_LEDGER_SUFFIX) || magic == LEDGER_MAGIC))
        return load_ledger(model, path, NULL, error);
    return load_stream(model, file, path, error);
}

static int select_name(const struct dirent *entry)
{
    return has_suffix(entry->d_name, MEMSHIM_REPORT_SUFFIX) ||
           has_suffix(entry->d_name, MEMSHIM_REPORT_SUFFIX ZST_SUFFIX) ||
           has_suffix(entry->d_name, MEMSHIM_LEDGER_SUFFIX) || has_suffix(entry->d_name, MEMSHIM_POOL_SUFFIX);
}

/* A link to a pool that was destroyed since. */
static bool is_gone(const char *path)
{
    return has_suffix(path, MEMSHIM_POOL_SUFFIX) && access(path, F_OK) < 0 && errno == ENOENT;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_there(struct dirent **names, size_t count, const char *stem, size_t length, const char *suffix)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(names[i]->d_name, stem, length) == 0 && strcmp(names[i]->d_name + length, suffix) == 0)
            return true;
    return false;
}

/* The number of the newest snapshot of this stem, 0 = none. */
static unsigned long newest_snapshot(struct dirent **names, size_t count, const char *stem, size_t length)
{
    unsigned long newest = 0, number;
    size_t other;

    for (size_t i = 0; i < count; i++)
        if (text_is_snapshot(names[i]->d_name, &other, &number) && other == length &&
            strncmp(names[i]->d_name, stem, length) == 0)
            newest = number > newest ? number : newest;
    return newest;
}

/* Is there something later of the same process? Its report comes after all, then the newest snapshot, then the ledger, which
 * does not know what is lost. */
static bool is_superseded(const char *name, struct dirent **names, size_t count)
{
    size_t stem;
    unsigned long number;

    if (text_is_snapshot(name, &stem, &number))
        return is_there(names, count, name, stem, MEMSHIM_REPORT_SUFFIX) ||
               newest_snapshot(names, count, name, stem) > number;
    if (!has_suffix(name, MEMSHIM_LEDGER_SUFFIX))
        return false;
    stem = strlen(name) - strlen(MEMSHIM_LEDGER_SUFFIX);
    return is_there(names, count, name, stem, MEMSHIM_REPORT_SUFFIX) || newest_snapshot(names, count, name, stem) > 0;
}

static int load_names(struct model *model, const char *folder, struct dirent **names, size_t count,
                      struct load_error *error)
{
    const char *slash = has_suffix(folder, "/") ? "" : "/";
    int r = 0;

    if (count == 0)
        return fail(error, folder, 0, "no reports in this folder");
    for (size_t i = 0; i < count && r == 0; i++) {
        _cleanup_free_ char *path = NULL;

        if (is_superseded(names[i]->d_name, names, count))
            continue;
        if (asprintf(&path, "%s%s%s", folder, slash, names[i]->d_name) < 0) {
            path = NULL;
            return -ENOMEM;
        }
        r = is_gone(path) ? 0 : load_file(model, path, error);
    }
    return r;
}

static int load_folder(struct model *model, const char *folder, struct load_error *error)
{
    struct dirent **names;
    int count, r;

    count = scandir(folder, &names, select_name, compare_names);
    if (count < 0)
        return fail_errno(error, folder, errno);
    r = load_names(model, folder, names, (size_t)count, error);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return r;
}

int load_path(struct model *model, const char *path, struct load_error *error)
{
    struct stat status;

    *error = (struct load_error){0};
    if (strcmp(path, "-") == 0)
        return load_stream(model, stdin, "-", error);
    if (stat(path, &status) < 0)
        return fail_errno(error, path, errno);
    return S_ISDIR(status.st_mode) ? load_folder(model, path, error) : load_file(model, path, error);
}

static int compare_processes(const void *a, const void *b)
{
    const struct process *p = *(struct process *const *)a, *q = *(struct process *const *)b;
    int r = strcmp(p->started, q->started);

    if (r == 0)
        r = (p->pid > q->pid) - (p->pid < q->pid);
    if (r == 0)
        r = (p->sequence > q->sequence) - (p->sequence < q->sequence);
    return r ? r : strcmp(p->path, q->path);
}

void load_done(struct model *model)
{
    if (model->process_count > 1)
        qsort(model->processes, model->process_count, sizeof(struct process *), compare_processes);
}
