/* SPDX-License-Identifier: MIT
 *
 * pprof's profile.proto in gzip: bytes and blocks that were left, by stack. A protobuf message is the concatenation of its
 * parts, so each row is packed as a message of its own and written at once; only the numbers that rows refer to each
 * other by are kept. Rows refer to later ones freely, but a string's number is its place in the file. */
#include "compiler.h"
#include "gzip.h"
#include "intern.h"
#include "out_machine.h"
#include "profile.pb-c.h"
#include "stackname.h"
#include "text.h"
#include "timestamp.h"

#include <errno.h>
#include <string.h>

#define LABELS_MAX 5

struct pprof {
    struct gzip *gzip;
    struct intern strings;   /* texts; the index is the number */
    struct intern functions; /* int64_t[2]: name and file; the number is the index + 1, as of all that follow */
    struct intern locations; /* pointer to the innermost frame */
    struct intern mappings;  /* pointer to the module */
    uint8_t *buffer;
    size_t buffer_size;
    uint64_t *ids; /* of the stack at hand */
    size_t ids_room;
    int r; /* of the first failure: what it left undone makes the document useless */
};

typedef Perftools__Profiles__Profile profile_message;

static void fail(struct pprof *state)
{
    state->r = state->r < 0 ? state->r : -ENOMEM;
}

/* Writes a part of the profile. */
static void put_part(struct pprof *state, const profile_message *part)
{
    size_t size = perftools__profiles__profile__get_packed_size(part);
    if (size > state->buffer_size) {
        uint8_t *buffer = realloc(state->buffer, 2 * size);
        if (!buffer) {
            fail(state);
            return;
        }
        state->buffer = buffer;
        state->buffer_size = 2 * size;
    }
    gzip_write(state->gzip, state->buffer, perftools__profiles__profile__pack(part, state->buffer));
}

/* The number of a text; strings of proto3 are UTF-8. NULL is the empty one. */
static int64_t string_id(struct pprof *state, const char *text)
{
    _cleanup_free_ char *valid = text_utf8(text ? text : "");
    uint32_t index = 0;
    int r = valid ? intern_add(&state->strings, valid, strlen(valid), &index) : -ENOMEM;
    if (r < 0)
        fail(state);
    if (r > 0) {
        profile_message part = PERFTOOLS__PROFILES__PROFILE__INIT;
        part.n_string_table = 1;
        part.string_table = &valid;
        put_part(state, &part);
    }
    return index;
}

/* The number of `key`, and whether its row is still to be written. */
static uint64_t row_id(struct pprof *state, struct intern *table, const void *key, size_t size, bool *ret_new)
{
    uint32_t index = 0;
    int r = intern_add(table, key, size, &index);
    if (r < 0)
        fail(state);
    *ret_new = r > 0;
    return (uint64_t)index + 1;
}

static int64_t frame_name(struct pprof *state, const struct frame *frame)
{
    _cleanup_free_ char *name = stackname_of(frame);
    if (name)
        return string_id(state, name);
    fail(state);
    return 0;
}

static uint64_t function_id(struct pprof *state, const struct frame *frame)
{
    int64_t key[2] = {frame_name(state, frame), string_id(state, frame->file)};
    bool is_new;
    uint64_t id = row_id(state, &state->functions, key, sizeof(key), &is_new);
    if (is_new) {
        Perftools__Profiles__Function row = PERFTOOLS__PROFILES__FUNCTION__INIT, *rows = &row;
        row.id = id;
        row.name = row.system_name = key[0];
        row.filename = key[1];
        profile_message part = PERFTOOLS__PROFILES__PROFILE__INIT;
        part.n_function = 1;
        part.function = &rows;
        put_part(state, &part);
    }
    return id;
}

/* The module of a native frame, by its path and, where it was loaded more than once, its place; NULL: none. */
static const struct module *module_of(const struct process *process, const struct frame *frame)
{
    for (size_t i = 1; frame->language == FRAME_NATIVE && frame->module && i < process->module_count; i++) {
        const struct module *module = &process->modules[i];
        uint64_t address = frame->offset + module->bias;
        if (module->path == frame->module && address >= module->start && address <= module->end)
            return module;
    }
    return NULL;
}

static uint64_t mapping_id(struct pprof *state, const struct module *module)
{
    bool is_new;
    uint64_t id = row_id(state, &state->mappings, &module, sizeof(module), &is_new);
    if (is_new) {
        Perftools__Profiles__Mapping row = PERFTOOLS__PROFILES__MAPPING__INIT, *rows = &row;
        row.id = id;
        row.memory_start = module->start;
        row.memory_limit = module->end;
        row.filename = string_id(state, module->path);
        row.build_id = string_id(state, module->build_id);
        /* Symbols are in here: pprof need not look for them. */
        row.has_functions = row.has_filenames = row.has_line_numbers = row.has_inline_frames = 1;
        profile_message part = PERFTOOLS__PROFILES__PROFILE__INIT;
        part.n_mapping = 1;
        part.mapping = &rows;
        put_part(state, &part);
    }
    return id;
}

/* Writes the location of `count` frames: all but the last were inlined. */
static void put_location(struct pprof *state, const struct process *process, const struct frame *const *frames,
                         size_t count, uint64_t id)
{
    Perftools__Profiles__Location row = PERFTOOLS__PROFILES__LOCATION__INIT, *rows = &row;
    _cleanup_free_ Perftools__Profiles__Line *lines = calloc(count, sizeof(*lines));
    _cleanup_free_ Perftools__Profiles__Line **pointers = calloc(count, sizeof(*pointers));
    if (!lines || !pointers) {
        fail(state);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        perftools__profiles__line__init(&lines[i]);
        lines[i].function_id = function_id(state, frames[i]);
        lines[i].line = frames[i]->line;
        pointers[i] = &lines[i];
    }
    const struct module *module = module_of(process, frames[0]);
    row.id = id;
    row.mapping_id = module ? mapping_id(state, module) : 0;
    if (frames[0]->language == FRAME_NATIVE)
        row.address = frames[0]->offset + (module ? module->bias : 0);
    row.n_line = count;
    row.line = pointers;
    profile_message part = PERFTOOLS__PROFILES__PROFILE__INIT;
    part.n_location = 1;
    part.location = &rows;
    put_part(state, &part);
}

/* The location of the frames that begin at `frames`; *ret_count receives how many belong to it. */
static uint64_t location_id(struct pprof *state, const struct process *process, const struct frame *const *frames,
                            size_t size, size_t *ret_count)
{
    size_t count = 1;
    while (count < size && frames[count - 1]->inlined)
        count++;
    *ret_count = count;
    bool is_new;
    uint64_t id = row_id(state, &state->locations, &frames[0], sizeof(frames[0]), &is_new);
    if (is_new)
        put_location(state, process, frames, count, id);
    return id;
}

static int reserve_ids(struct pprof *state, size_t count)
{
    if (count <= state->ids_room)
        return 0;
    uint64_t *ids = reallocarray(state->ids, count, sizeof(*ids));
    if (!ids)
        return -ENOMEM;
    state->ids = ids;
    state->ids_room = count;
    return 0;
}

/* The locations of a stack, leaf first, into state->ids. Returns their number. */
static size_t locations_of(struct output_job *job, const struct leak *leak)
{
    struct pprof *state = job->state;
    const struct stack *stack = leak_stack(leak);
    size_t written = 0, count;
    for (size_t i = 0; i < stack->size; i += count) {
        if (output_frame_shown(job->options, stack->frames[i]))
            state->ids[written++] = location_id(state, leak->process, stack->frames + i, stack->size - i, &count);
        else
            count = 1;
    }
    return written;
}

/* Labels of a sample. Names that begin with "pprof::" are pprof's own. */
static size_t labels_of(struct pprof *state, const struct leak *leak, Perftools__Profiles__Label *labels)
{
    const struct {
        const char *key, *text;
    } texts[] = {{"kind", leak->known ? leak_kind_name(leak->kind) : "unknown"},
                 {"domain", leak->domain},
                 {"type", leak->type},
                 {"label", leak->label}};
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (!texts[i].text)
            continue;
        perftools__profiles__label__init(&labels[count]);
        labels[count].key = string_id(state, texts[i].key);
        labels[count++].str = string_id(state, texts[i].text);
    }
    perftools__profiles__label__init(&labels[count]);
    labels[count].key = string_id(state, "pid");
    labels[count++].num = leak->process->pid;
    return count;
}

static int64_t value_of(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int pprof_leak(struct output_job *job, const struct leak *leak)
{
    struct pprof *state = job->state;
    int r = reserve_ids(state, leak_stack(leak)->size + 1);
    if (r < 0)
        return r;
    Perftools__Profiles__Sample row = PERFTOOLS__PROFILES__SAMPLE__INIT, *rows = &row;
    Perftools__Profiles__Label labels[LABELS_MAX], *pointers[LABELS_MAX];
    int64_t values[] = {value_of(leak->blocks), value_of(leak->bytes)};
    for (size_t i = 0; i < LABELS_MAX; i++)
        pointers[i] = &labels[i];
    row.n_location_id = locations_of(job, leak);
    row.location_id = state->ids;
    row.n_value = ARRAY_SIZE(values);
    row.value = values;
    row.n_label = labels_of(state, leak, labels);
    row.label = pointers;
    profile_message part = PERFTOOLS__PROFILES__PROFILE__INIT;
    part.n_sample = 1;
    part.sample = &rows;
    put_part(state, &part);
    return state->r;
}

/* What the values are, and when the (first) process ran. */
static void put_head(struct pprof *state, const struct process *process)
{
    Perftools__Profiles__ValueType types[2], *pointers[] = {&types[0], &types[1]};
    perftools__profiles__value_type__init(&types[0]);
    perftools__profiles__value_type__init(&types[1]);
    types[0].type = string_id(state, "inuse_objects");
    types[0].unit = string_id(state, "count");
    types[1].type = string_id(state, "inuse_space");
    types[1].unit = string_id(state, "bytes");
    int64_t comment = string_id(state, "memshim " MEMSHIM_VERSION ": blocks still allocated");
    profile_message part = PERFTOOLS__PROFILES__PROFILE__INIT;
    part.n_sample_type = 2;
    part.sample_type = pointers;
    part.default_sample_type = types[1].type;
    part.n_comment = 1;
    part.comment = &comment;
    Perftools__Profiles__ValueType period = types[1];
    if (process && process->totals.sample > 0) {
        part.period_type = &period;
        part.period = value_of(process->totals.sample);
    }
    if (process) {
        timestamp_parse(process->started, &part.time_nanos);
        part.duration_nanos = (int64_t)timestamp_span(process->started, process->ended_at) * 1000;
    }
    put_part(state, &part);
}

static int pprof_begin(struct output_job *job)
{
    struct pprof *state = calloc(1, sizeof(*state));
    if (!state)
        return -ENOMEM;
    job->state = state;
    state->gzip = gzip_new(job->out);
    if (!state->gzip)
        return -ENOMEM;
    string_id(state, "");
    put_head(state, job->model->process_count > 0 ? job->model->processes[0] : NULL);
    return state->r;
}

static int pprof_end(struct output_job *job)
{
    struct pprof *state = job->state;
    gzip_finish(state->gzip);
    return state->r;
}

static void pprof_done(struct output_job *job)
{
    struct pprof *state = job->state;
    if (!state)
        return;
    gzip_free(state->gzip);
    intern_clear(&state->strings);
    intern_clear(&state->functions);
    intern_clear(&state->locations);
    intern_clear(&state->mappings);
    free(state->buffer);
    free(state->ids);
    free(state);
    job->state = NULL;
}

const struct output out_pprof = {
    .name = "pprof",
    .extension = ".pb.gz",
    .help = "profile for pprof, Pyroscope and Grafana",
    .top = 0,
    .begin = pprof_begin,
    .leak = pprof_leak,
    .end = pprof_end,
    .done = pprof_done,
};
