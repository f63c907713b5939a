/* SPDX-License-Identifier: MIT
 *
 * What the analyzer knows after reading reports: plain data in memory, read-only once load.h has filled it. Layer: above
 * load, below leaks, diff, gate and output. Not thread-safe. Every id of the file is an index into a table of its process,
 * checked while loading, so that no reader has to check again; parents have lower indexes than their children. Entry 0 of
 * modules, codes, frames, nodes and traces is the empty one and is counted; groups and errors are plain lists. */
#ifndef ANALYZER_MODEL_H
#define ANALYZER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_language { FRAME_NATIVE, FRAME_PYTHON, FRAME_CUT };
enum leak_kind { LEAK_DEFINITE, LEAK_INDIRECT, LEAK_POSSIBLE, LEAK_REACHABLE, LEAK_KIND_COUNT };

/* Texts live as long as the model; equal texts within one process share one pointer. */
struct module {
    const char *path;
    const char *build_id; /* hex, or NULL */
    uint64_t start, end, bias;
};

struct code {
    const char *file, *name, *qualname; /* qualname: NULL if the version has none */
    int first_line;
    int table_kind; /* enum code_table of ledger_format.h, 0 = no table */
    const uint8_t *table;
    size_t table_size;
};

struct raw_frame {
    enum frame_language language;
    uint32_t index;  /* native: module; Python: code; both into the tables of the process */
    uint64_t offset; /* native: ELF address (absolute with module 0); Python: byte offset; cut: frames */
    bool exact;      /* native: the instruction itself, not a return address */
    bool entry;      /* Python: outermost frame of one run of a C evaluation function */
};

/* One source position of a native frame. */
struct symbol {
    const char *function; /* demangled; NULL if not known */
    const char *mangled;  /* as the linker calls it, or NULL: the same */
    const char *file;     /* NULL if not known */
    int line;             /* 0 if not known */
};

/* Those that a report brought along for a frame, innermost first. */
struct symbol_list {
    const struct symbol *items;
    size_t count;
};

struct node {
    uint32_t parent, frame;
};

struct trace {
    uint32_t native, python; /* nodes */
    uint64_t allocations, bytes;
    const char *label; /* what the thread said of its work; may be NULL */
    bool ignored;      /* and that blocks that were made in it are no leaks */
};

struct group {
    uint32_t trace;
    enum leak_kind kind;
    bool known;       /* false: no scan ran, the kind is a guess: say "still allocated" */
    bool startup;     /* allocated before the program's own code ran */
    bool interpreter; /* kept by the interpreter itself beyond its end: no leak of the program's */
    const char *domain;
    const char *type; /* of a Python object, or NULL */
    uint64_t blocks, bytes;
    uint64_t error_bytes; /* standard error of `bytes`, 0 without sampling */
};

struct memory_error {
    const char *kind, *domain, *detail;
    uint64_t address, size, count;
    uint32_t trace, alloc_trace, free_trace;
};

/* How sure the audit is of what it found. */
enum confidence { CONFIDENCE_UNKNOWN, CONFIDENCE_IS_LOW, CONFIDENCE_IS_MEDIUM, CONFIDENCE_IS_HIGH, CONFIDENCE_NAMES };

/* Python objects, all of them among those of a group, whose counts are higher than the references to them; or, with
 * `unseen`, that lie in cycles which the collector does not free. */
struct reference {
    uint32_t trace;
    enum leak_kind kind;
    bool startup, interpreter;
    enum confidence confidence;
    const char *type;   /* may be NULL */
    const char *unseen; /* the type whose references the collector does not see, or NULL */
    uint64_t objects, bytes;
    uint64_t surplus, least, most; /* counts without a reference: of all objects, and of one at least and at most */
};

enum way_role { WAY_BLOCK, WAY_HOLDER, WAY_ROOT, WAY_REFERRER, WAY_ROLES };
enum way_root { WAY_FROM_MEMORY, WAY_FROM_DATA, WAY_FROM_STACK, WAY_ROOTS };

/* A part of the explanation `of` of a block (why.h). */
struct link {
    uint32_t of;
    enum way_role role;
    enum way_root root; /* of a root; the rest is of blocks, if not said otherwise */
    uint32_t trace;
    uint32_t module; /* of a root in data */
    enum leak_kind kind;
    bool placed; /* `offset` is known */
    const char *domain;
    const char *type;      /* may be NULL */
    const char *name;      /* under which it holds the one before it; may be NULL */
    uint64_t size, offset; /* of a root in data: in its module */
    uint64_t address;      /* of a root */
};

struct totals {
    uint64_t allocations, frees, live_blocks, live_bytes, peak_bytes, dropped;
    uint64_t startup_blocks, startup_bytes, inherited_frees, refused, threads, self_checks, self_check_differences;
    uint64_t sample; /* mean bytes between recorded blocks; then all numbers are estimates. 0 = all were recorded */
    uint64_t error_bytes; /* standard error of live_bytes */
};

/* A moment at which live blocks were counted by stack. */
struct mark {
    double seconds; /* since the epoch */
    uint64_t live_blocks, live_bytes;
};

/* Live blocks of one stack at each mark. */
struct series {
    uint32_t trace;
    const uint64_t *blocks, *bytes; /* as many as there are marks */
    bool garbage_known;
    uint64_t garbage_blocks, garbage_bytes; /* what of the last of them only garbage held */
};

/* How well pymalloc's arenas are used. */
struct arenas {
    bool known;
    bool blocks_known; /* what follows peak_bytes */
    uint64_t count, bytes, peak_bytes, live_blocks, live_bytes, used_bytes;
    uint64_t sparse; /* of which less than a tenth is used */
};

/* A stack whose blocks keep such arenas. */
struct pin {
    uint32_t trace;
    uint64_t arenas, blocks, bytes;
};

/* One report: one image of one process. */
struct process {
    const char *path; /* of the report or ledger it came from */
    int pid, ppid, sequence, status;
    unsigned int run; /* of a command that was run several times (runs.h), from 0 */
    int snapshot;     /* the n-th of a process that ran on, 0 = the report of its end */
    const char *program, *python, *started, *ended, *ended_at, *options, *version; /* python, ended_at: may be NULL */
    const char **argv;
    size_t argc;
    const char **lacks; /* what the report does not have, a sentence each */
    size_t lacks_count;
    bool forked;
    bool truncated; /* read up to the cut */
    struct totals totals;
    struct arenas arenas;

    struct module *modules;
    struct code *codes;
    struct raw_frame *frames;
    struct node *nodes;
    struct trace *traces;
    struct group *groups;
    struct memory_error *errors;
    struct reference *references;
    struct link *links;
    struct mark *marks;
    struct series *series;
    struct pin *pins;
    size_t mark_count, series_count, pin_count;
    size_t module_count, code_count, frame_count, node_count, trace_count, group_count, error_count, reference_count,
        link_count;

    size_t suppressed_errors;    /* that were among them (suppress.h) */
    struct symbol_list *symbols; /* by frame, for symbol_count of them; NULL in a report without symbols */
    size_t symbol_count;

    struct text_pool *texts; /* owns the strings (load.c) */
};

struct model {
    struct process **processes; /* in order of start, then pid, then sequence */
    size_t process_count;
    struct tee *tee; /* the lines that are read go there, too (load.h); or NULL */
};

/* The symbols that the report has for frame `id`: their number, 0 = none. */
size_t process_symbols(const struct process *process, size_t id, const struct symbol **ret);

/* Where to look up a native frame: a return address is behind the call, which may be the last instruction of a function. */
static inline uint64_t raw_frame_address(const struct raw_frame *raw)
{
    return raw->exact || raw->offset == 0 ? raw->offset : raw->offset - 1;
}

/* Frees everything; harmless on a zeroed model. */
void model_clear(struct model *model);

/* Frees one process that is in no model; NULL is fine. */
void process_free(struct process *process);

#endif
