/* SPDX-License-Identifier: MIT
 *
 * Which frames belong to an interpreter, the C library or the shim is decided here too, by the names of files. */
#include "frames.h"

#include "chunks.h"
#include "compiler.h"
#include "fingerprint.h"
#include "pylines.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum module_flags { MODULE_RUNTIME = 1u << 0, MODULE_INTERPRETER = 1u << 1, MODULE_SHIM = 1u << 2 };

/* Patterns of base names, or of whole paths where they have a '/'. */
static const struct {
    const char *pattern;
    unsigned int flags;
} module_patterns[] = {
    {"libmemshim.so*", MODULE_SHIM | MODULE_RUNTIME},
    {"libpython*.so*", MODULE_INTERPRETER | MODULE_RUNTIME},
    {"python", MODULE_INTERPRETER | MODULE_RUNTIME},
    {"python[0-9]*", MODULE_INTERPRETER | MODULE_RUNTIME},
    {"pypy*", MODULE_INTERPRETER | MODULE_RUNTIME},
    {"*/lib-dynload/*", MODULE_RUNTIME}, /* extension modules of the standard library */
    {"ld-*.so*", MODULE_RUNTIME},
    {"ld.so*", MODULE_RUNTIME},
    {"libc.so*", MODULE_RUNTIME},
    {"libc-[0-9]*.so", MODULE_RUNTIME},
    {"libpthread[.-]*so*", MODULE_RUNTIME},
    {"libdl[.-]*so*", MODULE_RUNTIME},
    {"librt[.-]*so*", MODULE_RUNTIME},
    {"libm.so*", MODULE_RUNTIME},
    {"libm-[0-9]*.so", MODULE_RUNTIME},
    {"libgcc_s.so*", MODULE_RUNTIME},
    {"libgcc_s-*.so*", MODULE_RUNTIME},
    {"libstdc++.so*", MODULE_RUNTIME},
    {"libstdc++-*.so*", MODULE_RUNTIME},
    {"libc++.so*", MODULE_RUNTIME},
    {"libc++abi.so*", MODULE_RUNTIME},
    {"libasan.so*", MODULE_RUNTIME},
    {"libubsan.so*", MODULE_RUNTIME},
    {"linux-vdso.so*", MODULE_RUNTIME},
    {"[[]vdso]", MODULE_RUNTIME},
};

/* Python files whose frames are part of starting and importing, not of the program. */
static const char *const runtime_files[] = {
    "<frozen importlib*",
    "<frozen zipimport>",
    "<frozen runpy>",
    "*/importlib/_bootstrap.py",
    "*/importlib/_bootstrap_external.py",
};

#define CUT_LISTS 64u
#define DEPTH_DEFAULT 64u /* of the option stack_depth */

/* The mark for a number of frames that are left out. */
struct cut {
    struct resolved resolved;
    struct cut *next;
};

struct frame_table {
    const struct process *process;
    struct symbols *symbols;
    struct resolved *resolved;   /* by frame id */
    uint8_t *modules;            /* enum module_flags by module id */
    uint8_t *chosen;             /* by node id, or NULL.. */
    bool none_chosen;            /* ..where none is, or if this is false all are */
    struct cut *cuts[CUT_LISTS]; /* by number of frames */
    size_t depth;
    struct chunks memory;
    struct frame_table *next;
};

static unsigned int module_flags(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path;

    for (size_t i = 0; path && i < ARRAY_SIZE(module_patterns); i++) {
        const char *pattern = module_patterns[i].pattern;

        if (fnmatch(pattern, strchr(pattern, '/') ? path : name, 0) == 0)
            return module_patterns[i].flags;
    }
    return 0;
}

static bool is_runtime_file(const char *file)
{
    for (size_t i = 0; i < ARRAY_SIZE(runtime_files); i++)
        if (fnmatch(runtime_files[i], file, 0) == 0)
            return true;
    return false;
}

static void tables_free(void *data)
{
    struct frame_table *table = data;

    while (table) {
        struct frame_table *next = table->next;

        chunks_clear(&table->memory);
        free(table->resolved);
        free(table->modules);
        free(table->chosen);
        free(table);
        table = next;
    }
}

static struct frame_table *table_new(struct symbols *symbols, const struct process *process)
{
    struct frame_table *table = calloc(1, sizeof(*table));

    if (!table)
        return NULL;
    table->process = process;
    table->symbols = symbols;
    table->resolved = calloc(process->frame_count + 1, sizeof(*table->resolved));
    table->modules = calloc(process->module_count + 1, sizeof(*table->modules));
    if (!table->resolved || !table->modules) {
        tables_free(table);
        return NULL;
    }
    for (size_t i = 0; i < process->module_count; i++)
        table->modules[i] = (uint8_t)module_flags(process->modules[i].path);
    return table;
}

/* The ledger keeps more frames than asked for where that lets stacks share them (shim/unwind.h). */
static size_t depth_of(const struct process *process)
{
    static const char name[] = "stack_depth=";
    const char *at = process->options ? process->options : "";

    for (; *at; at += strcspn(at, ":"), at += *at == ':')
        if (strncmp(at, name, sizeof(name) - 1) == 0)
            break;
    unsigned long depth = *at ? strtoul(at + sizeof(name) - 1, NULL, 10) : 0;
    return depth ? depth : DEPTH_DEFAULT;
}

struct frame_table *frame_table_of(struct symbols *symbols, const struct process *process)
{
    struct frame_table **first = (struct frame_table **)symbols_attachment(symbols, tables_free);
    struct frame_table *table;

    for (table = *first; table; table = table->next)
        if (table->process == process)
            return table;
    table = table_new(symbols, process);
    if (!table)
        return NULL;
    table->depth = depth_of(process);
    table->next = *first;
    *first = table;
    return table;
}

const struct process *frame_table_process(const struct frame_table *table)
{
    return table->process;
}

/* Functions of CPython that tell how the two stacks belong together. Those named _TAIL_CALL_ are the opcodes of builds in
 * which opcodes call each other. */
static const struct {
    const char *pattern;
    unsigned int flags;
} function_patterns[] = {
    {"_PyEval_EvalFrameDefault", RESOLVED_EVALUATION}, {"_TAIL_CALL_*", RESOLVED_EVALUATION | RESOLVED_TAIL_CALL},
    {"clear_thread_frame", RESOLVED_LEAVING},          {"clear_gen_frame", RESOLVED_LEAVING},
    {"_PyEvalFrameClearAndPop", RESOLVED_LEAVING},     {"_PyEval_FrameClearAndPop", RESOLVED_LEAVING},
    {"_PyFrame_ClearExceptCode", RESOLVED_LEAVING},
};

static unsigned int function_flags(const char *function)
{
    for (size_t i = 0; i < ARRAY_SIZE(function_patterns); i++)
        if (fnmatch(function_patterns[i].pattern, function, 0) == 0)
            return function_patterns[i].flags;
    return 0;
}

static struct known_frame *take_frames(struct frame_table *table, struct resolved *ret, size_t count)
{
    struct known_frame *frames = chunks_take(&table->memory, count * sizeof(*frames));

    if (!frames)
        return NULL;
    memset(frames, 0, count * sizeof(*frames));
    ret->frames = frames;
    ret->count = (uint16_t)count;
    return frames;
}

static int resolve_native(struct frame_table *table, const struct raw_frame *raw, struct resolved *ret)
{
    const struct module *module = &table->process->modules[raw->index];
    unsigned int module_is = table->modules[raw->index];
    const struct symbol *symbols = NULL;
    struct known_frame *frames;
    size_t found = 0, count;

    found = process_symbols(table->process, (size_t)(raw - table->process->frames), &symbols);
    if (!found && module->path)
        found = symbols_find(table->symbols, module, raw_frame_address(raw), &symbols);
    if (!found && symbols_failed(table->symbols))
        return -1;
    count = found ? found : 1;
    frames = take_frames(table, ret, count);
    if (!frames)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct frame *frame = &frames[i].frame;

        frame->language = FRAME_NATIVE;
        frame->function = found && symbols[i].function ? symbols[i].function : "??";
        frame->mangled = found ? symbols[i].mangled : NULL;
        frame->file = found ? symbols[i].file : NULL;
        frame->line = found ? symbols[i].line : 0;
        frame->module = module->path;
        frame->offset = raw->offset;
        frame->inlined = i + 1 < count;
        frame->runtime = module_is & MODULE_RUNTIME;
        frames[i].identity = fingerprint_frame(frame);
        ret->flags |= (uint16_t)function_flags(frame->function);
    }
    ret->flags |= module_is & MODULE_INTERPRETER ? RESOLVED_INTERPRETER : 0;
    ret->flags |= module_is & MODULE_SHIM ? RESOLVED_SHIM : 0;
    return 0;
}

static int resolve_python(struct frame_table *table, const struct raw_frame *raw, struct resolved *ret)
{
    const struct code *code = &table->process->codes[raw->index];
    struct known_frame *frames = take_frames(table, ret, 1);
    struct frame *frame;

    if (!frames)
        return -1;
    frame = &frames->frame;
    frame->language = FRAME_PYTHON;
    frame->function = code->qualname ? code->qualname : code->name;
    if (!frame->function) /* a gap in the table */
        frame->function = "??";
    frame->file = code->file;
    frame->line = pylines_find(code->table_kind, code->table, code->table_size, code->first_line, raw->offset);
    frame->runtime = code->file && is_runtime_file(code->file);
    frames->identity = fingerprint_frame(frame);
    ret->flags |= raw->entry ? RESOLVED_ENTRY : 0;
    return 0;
}

static int resolve_cut(struct frame_table *table, const struct raw_frame *raw, struct resolved *ret)
{
    struct known_frame *frames = take_frames(table, ret, 1);

    if (!frames)
        return -1;
    frames->frame.language = FRAME_CUT;
    frames->frame.function = "??";
    frames->frame.offset = raw->offset;
    ret->flags |= RESOLVED_CUT;
    return 0;
}

size_t frame_table_depth(const struct frame_table *table)
{
    return table->depth;
}

const struct resolved *frame_table_cut(struct frame_table *table, uint64_t frames)
{
    struct cut **list = &table->cuts[frames % CUT_LISTS];
    const struct raw_frame raw = {.language = FRAME_CUT, .offset = frames};

    for (struct cut *cut = *list; cut; cut = cut->next)
        if (cut->resolved.frames->frame.offset == frames)
            return &cut->resolved;
    struct cut *new = chunks_take(&table->memory, sizeof(*new));
    if (!new)
        return NULL;
    *new = (struct cut){.next = *list};
    if (resolve_cut(table, &raw, &new->resolved) < 0)
        return NULL;
    *list = new;
    return &new->resolved;
}

const struct resolved *frame_table_resolve(struct frame_table *table, uint32_t id)
{
    static int (*const resolvers[])(struct frame_table * table, const struct raw_frame *raw, struct resolved *ret) = {
        [FRAME_NATIVE] = resolve_native,
        [FRAME_PYTHON] = resolve_python,
        [FRAME_CUT] = resolve_cut,
    };
    struct resolved *resolved = &table->resolved[id];
    const struct raw_frame *raw = &table->process->frames[id];

    if (!resolved->frames && resolvers[raw->language](table, raw, resolved) < 0)
        return NULL;
    return resolved;
}

const struct resolved *frame_table_known(const struct frame_table *table)
{
    return table->resolved;
}

/* Whether `wanted` says yes to one of the frames that `resolved` stands for. */
static int any_wanted(const struct resolved *resolved, frame_wanted wanted, void *context)
{
    int r = 0;

    for (size_t i = 0; r == 0 && resolved->frames && i < resolved->count; i++)
        r = wanted(&resolved->frames[i].frame, context);
    return r;
}

int frame_table_choose(struct frame_table *table, frame_wanted wanted, void *context)
{
    const struct process *process = table->process;
    _cleanup_free_ uint8_t *frames = calloc(process->frame_count + 1, 1);
    uint8_t *nodes = NULL;
    bool any = false;

    if (!frames)
        return -ENOMEM;
    for (size_t i = 0; i < process->frame_count; i++) {
        int r = any_wanted(&table->resolved[i], wanted, context);
        if (r < 0)
            return r;
        frames[i] = r > 0;
        any = any || r > 0;
    }
    if (any && !(nodes = calloc(process->node_count + 1, 1)))
        return -ENOMEM;
    /* Parents stand before their children, and node 0, which has no frame, before all. */
    for (size_t i = 1; any && i < process->node_count; i++)
        nodes[i] = nodes[process->nodes[i].parent] | frames[process->nodes[i].frame];
    free(table->chosen);
    table->chosen = nodes;
    table->none_chosen = !any;
    return 0;
}

bool frame_table_is_chosen(const struct frame_table *table, uint32_t trace)
{
    const struct trace *of = &table->process->traces[trace];

    if (!table->chosen)
        return !table->none_chosen;
    return table->chosen[of->native] || table->chosen[of->python];
}
