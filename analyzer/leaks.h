/* SPDX-License-Identifier: MIT
 *
 * From the groups of a model to leaks as people read them: stacks merged (each C evaluation frame replaced by the Python
 * frames that it ran), symbols resolved, equal ones joined by fingerprint, sorted by bytes. */
#ifndef ANALYZER_LEAKS_H
#define ANALYZER_LEAKS_H

#include "model.h"
#include "symbols.h"

#define FINGERPRINT_SIZE 33 /* 32 hex digits (XXH3-128) and NUL */

/* One frame of a merged stack. It lives, with its texts, as long as the model and the symbols. */
struct frame {
    enum frame_language language; /* FRAME_CUT: `offset` frames are missing here (0 = unknown number) */
    const char *function;         /* never NULL: "??" if not known */
    const char *mangled;          /* native: as the linker calls it, or NULL: the same */
    const char *file;             /* source file or NULL */
    int line;                     /* 0 = not known */
    const char *module;           /* native: path of the ELF file, or NULL */
    uint64_t offset;              /* native: ELF address */
    bool inlined;                 /* native: inlined into the next frame */
    bool runtime; /* part of an interpreter, the C library or the shim: folded in text, not part of the fingerprint */
};

/* Stacks share their frames. */
struct stack {
    const struct frame **frames; /* innermost first */
    size_t size;
};

struct frame_table;
struct merge;

/* Where the stacks of the leaks of one process come from. They are made of the traces when they are asked for: a million stacks
 * of 60 frames would take 480 MB. */
struct stack_source {
    struct frame_table *table; /* NULL: `stack` is the stack of all its leaks */
    struct merge *merge;       /* of all sources of the same leaks: the stack asked for last */
    struct stack stack;
    struct stack_source *next;
};

enum stack_languages { STACK_ALL, STACK_PYTHON, STACK_NATIVE };

struct chunks;
struct suppression;

/* What the reference audit says of the objects of a leak. */
struct leak_references {
    uint64_t objects, surplus, least, most; /* as in struct reference */
    uint64_t cycles;                        /* objects in cycles that the collector does not free.. */
    const char *unseen;                     /* ..because it does not see what one of this type holds */
    enum confidence confidence;             /* the highest of those that say something */
};

/* Where a leak stands to a baseline that was read (suppress.h). */
enum baseline_state { BASELINE_NONE, BASELINE_NEW, BASELINE_UNCHANGED, BASELINE_UPDATED };

struct leak {
    const struct process *process;
    const char *domain, *type; /* type may be NULL */
    const char *label;         /* what the thread said of its work; may be NULL */
    uint64_t blocks, bytes;
    double variance;                      /* of `bytes`, with sampling */
    struct leak_references *references;   /* NULL: the audit says nothing, as of most leaks */
    const struct suppression *suppressed; /* by which rule (suppress.h), or NULL */
    struct stack_source *source;          /* of its stack (leak_stack()); NULL: it has none */
    uint32_t trace;                       /* there */
    uint32_t processes;                   /* that have it, `process` being one of them; 0 and 1: no other (joined.h) */
    enum leak_kind kind;
    bool known, startup, interpreter;
    bool ignored;     /* by the program itself: always suppressed */
    uint8_t baseline; /* enum baseline_state */
    char fingerprint[FINGERPRINT_SIZE];
};

struct leaks {
    struct leak *items; /* by leak_rank, then most bytes first, then blocks, then fingerprint */
    size_t count;
    struct chunks *memory; /* of the sources, and of what the audit says; or NULL */
    struct stack_source *sources;
    struct merge *merge; /* of all sources */
    bool borrowed;       /* the items belong to other leaks (joined.h) */
};

/* Builds the merged stack of trace `trace` of `process`. *ret is given to stack_clear. Returns 0 or -ENOMEM. */
int stack_build(const struct process *process, uint32_t trace, struct symbols *symbols, struct stack *ret);
void stack_clear(struct stack *stack);

/* Builds all leaks of the model. *ret is given to leaks_clear. Returns 0 or -ENOMEM. */
int leaks_build(const struct model *model, struct symbols *symbols, struct leaks *ret);
void leaks_clear(struct leaks *leaks);

/* The stack of a leak, good until that of another leak of the same struct leaks is asked for. Takes no memory. */
const struct stack *leak_stack(const struct leak *leak);

/* Whether it is no matter of the program's (startup, interpreter) or accepted (suppressed). Counted, and shown only when asked
 * for. */
static inline bool leak_is_background(const struct leak *leak)
{
    return leak->startup || leak->interpreter || leak->suppressed;
}

/* Whether a reference was most likely lost, whoever still points at the objects. */
static inline bool leak_is_over_referenced(const struct leak *leak)
{
    return leak->references && leak->references->confidence >= CONFIDENCE_IS_MEDIUM;
}

/* Adds what is said of the same leak elsewhere (NULL: nothing) to leak->references, which is made anew in `memory`. Returns 0
 * or -ENOMEM. */
int leak_references_add(struct leak *leak, const struct leak_references *other, struct chunks *memory);

/* Place in the order of lists: what is lost for certain first; guesses stand with the reachable ones. */
static inline enum leak_kind leak_rank(const struct leak *leak)
{
    return leak->known ? leak->kind : LEAK_REACHABLE;
}

/* Standard error of leak->bytes in bytes, 0 without sampling. */
uint64_t leak_error_bytes(const struct leak *leak);

/* "definite", .. */
const char *leak_kind_name(enum leak_kind kind);

#endif
