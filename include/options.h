/* SPDX-License-Identifier: MIT
 *
 * The options of the shim: one table from which come the parser of MEMSHIM_OPTIONS, the command line of
 * `memshim run` and its --help. Linked into the shim and into the analyzer.
 *
 * No function here allocates, uses stdio or keeps state, so all may be called from the shim's constructor. */
#ifndef MEMSHIM_OPTIONS_H
#define MEMSHIM_OPTIONS_H

#include "compiler.h"

#include <stdbool.h>

enum option_type {
    OPTION_PATH,    /* text, OPTION_TEXT_MAX - 1 bytes at most */
    OPTION_BOOL,    /* 0|1|no|yes|false|true|off|on */
    OPTION_NUMBER,  /* decimal */
    OPTION_SIZE,    /* decimal bytes with an optional k, M or G (times 1024) */
    OPTION_DOMAINS, /* names of enum block_domain joined by ',', or 'all' or 'none': bit mask of 1 << domain */
    OPTION_SECONDS, /* decimal with up to 3 digits after the point; kept in milliseconds */
    OPTION_SIGNAL,  /* name or number of a signal, 0 = none */
};

#define OPTION_TEXT_MAX 3072
#define OPTION_DEPTH_MAX 512

/* name, type, default, smallest, largest, argument in --help, help */
#define OPTION_TABLE(X) \
    X(output, OPTION_PATH, "", 0, 0, "PATH", "report file; %p is the process id, %n the program's name, %% a percent") \
    X(domains, OPTION_DOMAINS, "malloc,raw,mem,obj", 0, 0, "LIST", "what to record: any of malloc,raw,mem,obj,mmap") \
    X(native, OPTION_BOOL, "1", 0, 1, "0|1", "record native (C, C++) stacks") \
    X(python, OPTION_BOOL, "1", 0, 1, "0|1", "record Python stacks") \
    X(stack_depth, OPTION_NUMBER, "64", 1, OPTION_DEPTH_MAX, "N", "frames kept of a stack, innermost first") \
    X(sample, OPTION_SIZE, "0", 0, UINT64_MAX, "BYTES", "mean bytes between sampled blocks, 0 = record every block") \
    X(guard, OPTION_BOOL, "0", 0, 1, "0|1", "surround and fill blocks with guard bytes and check them") \
    X(fill, OPTION_BOOL, "1", 0, 1, "0|1", "fill new and freed blocks with guard=1, not only surround them") \
    X(guard_pages, OPTION_NUMBER, "0", 0, INT32_MAX, "N", \
      "put one in N blocks against an inaccessible page, to find bad reads, 0 = none") \
    X(quarantine, OPTION_SIZE, "16M", 0, UINT64_MAX, "BYTES", "freed bytes kept back for checking with guard=1") \
    X(leak_check, OPTION_BOOL, "1", 0, 1, "0|1", "report blocks that are still allocated at the end") \
    X(children, OPTION_BOOL, "1", 0, 1, "0|1", "trace forked, spawned and executed children too") \
    X(fail_every, OPTION_NUMBER, "0", 0, UINT64_MAX, "N", \
      "let every Nth request for memory fail, to test what the program does then, 0 = none") \
    X(fail_above, OPTION_SIZE, "0", 0, UINT64_MAX, "BYTES", "let requests for more bytes than this fail, 0 = none") \
    X(limit, OPTION_SIZE, "0", 0, UINT64_MAX, "BYTES", \
      "let requests fail by which the program would have more bytes than this, 0 = no limit") \
    X(limit_malloc, OPTION_SIZE, "0", 0, UINT64_MAX, "BYTES", \
      "the same for what the program has from malloc and operator new alone") \
    X(limit_raw, OPTION_SIZE, "0", 0, UINT64_MAX, "BYTES", "the same for PyMem_RawMalloc alone") \
    X(limit_mem, OPTION_SIZE, "0", 0, UINT64_MAX, "BYTES", "the same for PyMem_Malloc alone") \
    X(limit_obj, OPTION_SIZE, "0", 0, UINT64_MAX, "BYTES", "the same for PyObject_Malloc alone: Python's objects") \
    X(abort_on_error, OPTION_BOOL, "0", 0, 1, "0|1", "stop the program with SIGABRT at the first memory error") \
    X(error_limit, OPTION_NUMBER, "1000", 1, 1000000, "N", "distinct memory errors kept in the report") \
    X(self_check, OPTION_NUMBER, "0", 0, UINT32_MAX, "N", "compare every Nth stack with a full unwind, 0 = never") \
    X(snapshot_signal, OPTION_SIGNAL, "0", 0, 0, "SIGNAL", "signal that asks for a snapshot, such as USR2, 0 = none") \
    X(snapshot_collect, OPTION_BOOL, "0", 0, 1, "0|1", "let Python collect garbage before a snapshot") \
    X(growth, OPTION_SECONDS, "0", 0, 86400000, "SECONDS", "look every so often which stacks' blocks grow, 0 = never") \
    X(record_argv, OPTION_BOOL, "0", 0, 1, "0|1", "keep the whole command line in the report, not only the program") \
    X(verbosity, OPTION_NUMBER, "0", 0, 2, "0..2", "messages of the shim on stderr: 0 problems only, 2 everything")

struct options {
#define OPTION_FIELD_OPTION_PATH(name) char name[OPTION_TEXT_MAX];
#define OPTION_FIELD_OPTION_BOOL(name) uint64_t name;
#define OPTION_FIELD_OPTION_NUMBER(name) uint64_t name;
#define OPTION_FIELD_OPTION_SIZE(name) uint64_t name;
#define OPTION_FIELD_OPTION_DOMAINS(name) uint64_t name;
#define OPTION_FIELD_OPTION_SECONDS(name) uint64_t name;
#define OPTION_FIELD_OPTION_SIGNAL(name) uint64_t name;
#define OPTION_FIELD(name, type, value, low, high, argument, help) OPTION_FIELD_##type(name)
    OPTION_TABLE(OPTION_FIELD)
#undef OPTION_FIELD
};

/* One row of the table. */
struct option_row {
    const char *name;
    enum option_type type;
    const char *value; /* default, in the grammar of the type */
    uint64_t low, high;
    const char *argument;
    const char *help;
    size_t offset; /* of the field in struct options */
};

/* The rows in the table's order; *count receives their number (not NULL). Static storage. */
const struct option_row *options_rows(size_t *count);

/* Sets every field to its default. */
void options_defaults(struct options *options);

/* Sets one field from `value` (`length` bytes, not terminated). Returns NULL, or a static text saying what is wrong,
 * in which case the field keeps its value. */
const char *option_set(struct options *options, const struct option_row *row, const char *value, size_t length);

/* Writes what a value of `row` has to be ("a number from 1 to 512") for messages and help; as snprintf. */
int option_expected(const struct option_row *row, char *buffer, size_t size);

/* The value that the field has, as text that option_set reads; as snprintf. */
int option_format(const struct options *options, const struct option_row *row, char *buffer, size_t size);

/* The row called `name` (`length` bytes; '-' counts as '_'), or NULL. */
const struct option_row *option_find(const char *name, size_t length);

/* The row whose name is nearest to `name`, for a hint; NULL when none is near. */
const struct option_row *option_nearest(const char *name, size_t length);

/* Receives one line about a problem, without a newline. */
typedef void (*option_warning)(void *context, const char *message);

/* Parses key=value pairs joined by ':', as the sanitizers have it, on top of what `options` holds. A value may be quoted
 * with ' or ", without escapes; quoted pieces may follow each other ('it'"'"'s'). A bad pair is reported to `warn` (may
 * be NULL) and skipped. `text` NULL is an empty string. */
void options_parse(struct options *options, const char *text, option_warning warn, void *context);

/* Writes `options` as a string that options_parse reads back, leaving out defaults. Returns its length; a result >= `size`
 * was cut, as with snprintf. */
size_t options_format(const struct options *options, char *buffer, size_t size);

#endif
