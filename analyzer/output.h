/* SPDX-License-Identifier: MIT
 *
 * Output formats. Each format is one file with one `const struct output`, listed in the registry of output.c; output.c
 * walks over the leaks and errors once, chooses what is shown, and calls the format's operations, which write to a stream.
 * Also the only place that opens output files. Formats never print errors: they return -errno. */
#ifndef ANALYZER_OUTPUT_H
#define ANALYZER_OUTPUT_H

#include "diff.h"
#include "gate.h"
#include "growth.h"
#include "leaks.h"
#include "model.h"
#include "symbols.h"
#include "table.h"

#include <stdio.h>

enum output_show {                             /* what is left out unless asked for: bits of output_options.show */
                   SHOW_STARTUP = 1u << 0,     /* blocks from before the program's own code ran */
                   SHOW_RUNTIME = 1u << 1,     /* frames of the interpreter, the C library and the shim */
                   SHOW_INTERPRETER = 1u << 2, /* blocks that the interpreter itself keeps beyond its end */
                   SHOW_REACHABLE = 1u << 3,   /* blocks that a scan found reachable, in formats for people */
                   SHOW_SUPPRESSED = 1u << 4,  /* what a rule suppresses (suppress.h) */
};

struct suppressions;

#define OUTPUT_TOP_DEFAULT SIZE_MAX /* output_options.top: as many as the format writes by default */

struct output_options {
    enum stack_languages frames;
    unsigned int show;  /* enum output_show */
    size_t top;         /* leaks, and errors, written at most; 0 = all; OUTPUT_TOP_DEFAULT */
    uint64_t min_bytes; /* leaks with fewer bytes are counted only */
    unsigned int kinds; /* bits 1 << enum leak_kind of the leaks written, 0 = all */
    bool filtered;      /* only a part of the leaks is there (--filter) */
    bool brief;         /* no word about the processes: a verdict stands above */
    bool color;
    const struct suppressions *rules; /* that were applied to the leaks, or NULL */
    const char *source_root; /* folder that paths for other tools are relative to; NULL: source_root_find decides */
};

/* A sum over leaks. */
struct output_sum {
    uint64_t leaks, blocks, bytes;
};

/* One run of the formatter. Filled by output_report; formats read it. */
struct output_job {
    FILE *out;
    const struct output_options *options;
    const struct model *model;
    size_t top;                               /* the number that holds, SIZE_MAX = all */
    struct output_sum kinds[LEAK_KIND_COUNT]; /* without startup and interpreter ones, shown or not */
    struct output_sum all;                    /* the sum of kinds[] */
    struct output_sum startup;                /* startup leaks */
    struct output_sum interpreter;            /* what the interpreter keeps, startup ones not counted again */
    struct output_sum suppressed;             /* by rules */
    struct output_sum reachable;              /* found reachable, and left out for that (not in kinds[] and all) */
    struct output_sum hidden;                 /* left out by top, min_bytes or kinds */
    uint64_t matching, listed;                /* leaks that pass the options, and those of them within top */
    uint64_t errors, errors_hidden;
    uint64_t growing, growing_written;      /* stacks that grow */
    uint64_t errors_written, leaks_written; /* so far, the one being written included: its number */
    bool quiet_reachable;                   /* the format leaves out what was found reachable */
    bool marks_suppressed;                  /* the format writes suppressed leaks, too */
    unsigned int show;                      /* what is shown: asked for, or what the format always shows */
    bool known;                             /* a scan ran: some kind is not a guess */
    bool guessed;                           /* some kind in kinds[] is a guess */
    struct symbols *symbols;                /* for stacks that a format builds itself; NULL except in output_report */
    char folder[4096];                      /* current folder, to shorten paths; may be "" */
    char root[4096];                        /* of the source tree, for tools that want paths below it; may be "" */
    void *state;                            /* the format's own: made by begin, released by done */
};

/* The stacks of one memory error. */
struct error_stacks {
    struct stack found, allocated, freed;
};

struct output {
    const char *name;      /* --format */
    const char *extension; /* ".json": of an output file that stands for it; the longest one counts; or NULL */
    const char *help;
    size_t top;  /* default of output_options.top */
    bool joined; /* a leak that several processes have is written once (joined.h) */
    bool
        reachable_on_request; /* what a scan found reachable is only counted, unless SHOW_REACHABLE or kinds ask for it */
    bool marks_suppressed;    /* suppressed leaks are always written, and say so */
    unsigned int show;        /* shown without being asked for: enum output_show */
    bool absent;              /* this build has only its name; `help` tells why */
    bool evidence;            /* below the verdict of a gate that failed a report can follow */

    /* A report: begin, the errors, the leaks (in the order of struct leaks), end. All return 0 or -errno. NULL for error or
     * leak: the format has none. After them, also when one of them failed, done (or NULL). */
    int (*begin)(struct output_job *job);
    int (*error)(struct output_job *job, const struct process *process, const struct memory_error *error,
                 const struct error_stacks *stacks);
    int (*leak)(struct output_job *job, const struct leak *leak);
    int (*growth)(struct output_job *job, const struct growth *growth); /* after the leaks */
    int (*end)(struct output_job *job);
    void (*done)(struct output_job *job);

    /* Other documents; NULL where the format has none. */
    int (*diff)(struct output_job *job, const struct diff *diff);
    int (*gate)(struct output_job *job, const struct gate_limits *limits, const struct gate_verdict *verdict);
    int (*info)(struct output_job *job);
    int (*table)(struct output_job *job, const struct table *table);
};

/* The formats, in the order of help; *ret_count receives their number. */
const struct output *const *output_formats(size_t *ret_count);

/* The format called `name`; if that is NULL, the one that `path`'s extension stands for; else text. NULL: no such name. */
const struct output *output_find(const char *name, const char *path);

/* Prepares `job`: counts, limits, folder. `leaks` may be NULL. */
void output_job_init(struct output_job *job, const struct output *output, const struct output_options *options,
                     const struct model *model, const struct leaks *leaks, FILE *out);

/* Writes a whole report to job->out. Returns 0 or -errno. */
int output_report(struct output_job *job, const struct output *output, const struct leaks *leaks,
                  struct symbols *symbols);

/* Whether this leak is one of those that the options show, whatever `top` says. */
bool output_leak_shown(const struct output_job *job, const struct leak *leak);

/* Whether this frame passes options->frames. */
bool output_frame_shown(const struct output_options *options, const struct frame *frame);

/* A file that appears under its name only when it is whole; or stdout. */
struct output_file {
    FILE *out;
    FILE *inner;      /* of a compressed file: what `out` writes to; else NULL */
    const char *path; /* NULL: stdout */
    char *temporary, *resolved;
};

/* `path` NULL or "-": stdout. A name that ends in .zst: compressed (-ENOSYS where that was not built in). Anything that is not a regular file (a FIFO, /dev/null) is written directly. Returns 0 or
 * -errno. On success *file must be given to output_file_close. */
int output_file_open(struct output_file *file, const char *path);

/* With `keep`: flushes and puts the file in its place. Without, or when that fails, removes what was written. Returns 0 or
 * -errno. */
int output_file_close(struct output_file *file, bool keep);

#endif
