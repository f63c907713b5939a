/* SPDX-License-Identifier: MIT
 *
 * Layout of a ledger: the shared mapping in which a traced process keeps what it knows, so that any death of the
 * process leaves the evidence behind. The shim writes it (shim/ledger.c); the analyzer and the report writer read
 * it (ledger_view.h), possibly while it changes and possibly after the writer was killed at any instruction.
 *
 * A ledger is a file of LEDGER_SEGMENT_SIZE pieces. Segment 0 holds struct ledger_header; every later segment holds
 * an array of one kind of entry, and header.directory[n] says of which. Entries are addressed by a 32-bit id that
 * counts through all the segments of their kind in directory order: id / per-segment is the n-th segment of that
 * kind, id % per-segment the place inside it. Id 0 of every kind is reserved to mean "none".
 *
 * Writers publish an entry with a release store of the word named in its comment, and a reader skips an entry whose
 * publishing word is 0. All integers are little-endian: host order on every supported machine. */
#ifndef MEMSHIM_LEDGER_FORMAT_H
#define MEMSHIM_LEDGER_FORMAT_H

#include <stdint.h>

#define LEDGER_MAGIC 0x4744454c4d48534dULL /* "MSHMLEDG" in memory */
#define LEDGER_VERSION 7
#ifndef LEDGER_SMALL /* only where ledgers are read for fuzzing: hundreds of times as many of small ones */
#define LEDGER_SEGMENT_SHIFT 18
#define LEDGER_SEGMENTS_MAX 98304u /* 24 GiB */
#define LEDGER_PATH_MAX 4096
#define LEDGER_OPTIONS_MAX 4096
#define LEDGER_ARGV_MAX 16384
#else
#define LEDGER_SEGMENT_SHIFT 12
#define LEDGER_SEGMENTS_MAX 256u
#define LEDGER_PATH_MAX 512
#define LEDGER_OPTIONS_MAX 512
#define LEDGER_ARGV_MAX 512
#endif
#define LEDGER_SEGMENT_SIZE (1u << LEDGER_SEGMENT_SHIFT)

enum ledger_kind {
    LEDGER_FREE = 0, /* part of the file, not handed out yet */
    LEDGER_HEADER,
    LEDGER_RECORDS,    /* struct ledger_record: live blocks */
    LEDGER_NODES,      /* struct ledger_node: frames of stacks, linked to their callers */
    LEDGER_TRACES,     /* struct ledger_trace: whole stacks (native + Python) with counters */
    LEDGER_CODES,      /* struct ledger_code: Python code objects */
    LEDGER_MODULES,    /* struct ledger_module: loaded ELF objects */
    LEDGER_THREADS,    /* struct ledger_thread: counters */
    LEDGER_ERRORS,     /* struct ledger_error */
    LEDGER_TEXT,       /* struct ledger_text, addressed in units of LEDGER_TEXT_UNIT bytes */
    LEDGER_TALLIES,    /* struct ledger_tally: what threads have counted lately */
    LEDGER_LINKS,      /* struct ledger_link: why blocks are still there */
    LEDGER_REFERENCES, /* struct ledger_reference: what the reference audit found */
    LEDGER_MARKS,      /* struct ledger_mark: moments at which live blocks were counted */
    LEDGER_GROWTH,     /* struct ledger_growth: what was counted then */
    LEDGER_ARENAS,     /* struct ledger_arena: where pymalloc keeps its blocks */
    LEDGER_KIND_COUNT
};

/* Where a block comes from, which is also who must free it. */
enum block_domain {
    DOMAIN_MALLOC = 0, /* malloc, calloc, realloc, memalign and friends */
    DOMAIN_RAW,        /* PyMem_RawMalloc */
    DOMAIN_MEM,        /* PyMem_Malloc */
    DOMAIN_OBJ,        /* PyObject_Malloc */
    DOMAIN_NEW,        /* operator new */
    DOMAIN_NEW_ARRAY,  /* operator new[] */
    DOMAIN_MMAP,
    DOMAIN_TRACKED, /* what the program itself says of its memory (memshim_track): no prefix; in a domain with a name */
    DOMAIN_HANDLE, /* from here on no blocks, their addresses tell nothing: objects of the client library (client_hooks.h) */
    DOMAIN_HANDLE_LOCK,
    DOMAIN_POOL,
    DOMAIN_ATTACHMENT,
    DOMAIN_BUFFER,
    DOMAIN_THREAD_STATE, /* was a block of DOMAIN_RAW; lost before the interpreter freed it at its end (shim/scan_states.c) */
    DOMAIN_COUNT,
    DOMAIN_BLOCK_COUNT = DOMAIN_HANDLE
};

enum block_kind { /* leak kinds, Valgrind's meaning; UNKNOWN until a scan has run */
                  BLOCK_UNKNOWN = 0,
                  BLOCK_DEFINITE,
                  BLOCK_INDIRECT,
                  BLOCK_POSSIBLE,
                  BLOCK_REACHABLE,
                  BLOCK_KIND_COUNT
};

enum record_flags {
    RECORD_STARTUP = 1u << 0, /* allocated before the program's own code ran */
    RECORD_KIND_SHIFT = 1,    /* enum block_kind, 3 bits */
    RECORD_KIND_MASK = 7u << 1,
    RECORD_CODE = 1u << 4,        /* the block holds a code object that LEDGER_CODES describes */
    RECORD_INTERPRETER = 1u << 5, /* kept by the interpreter itself beyond its end: no leak of the program */
    RECORD_FREED = 1u << 6,   /* freed, and its pages are kept inaccessible (guard_pages): `type` = trace of the free */
    RECORD_DAMAGED = 1u << 7, /* its guard bytes are not intact, which has been reported */
};

/* One live block. Published by `owner`: address << 16 | domain << 8 | flags, 0 while the record is free. A
 * lone free one is linked through `trace` (shim/records.c). */
struct ledger_record {
    uint64_t owner;
    uint64_t size;   /* bytes the program asked for */
    uint32_t trace;  /* LEDGER_TRACES id of the allocation (of the last realloc), 0 = not recorded */
    uint32_t thread; /* LEDGER_THREADS id */
    uint32_t
        type; /* LEDGER_TEXT ref, 0 = not known: of DOMAIN_OBJ and of objects the name of the type, of other blocks that of the
                        domain to which the program says that they belong */
    uint32_t mark; /* interval (shim/scope.c) in which it was allocated: means something to its own process only */
};

enum node_meta {
    NODE_NATIVE = 1u << 0, /* key: return address, or the exact pc where NODE_EXACT is set */
    NODE_PYTHON = 1u << 1, /* key: LEDGER_CODES id << 32 | byte offset of the instruction in the code */
    NODE_EXACT = 1u << 2,  /* native: pc is the instruction itself (frame interrupted by a signal): do not subtract 1 */
    NODE_ENTRY =
        1u << 3,        /* Python: the frame at which a C evaluation function was entered (the outermost of its run) */
    NODE_CUT = 1u << 4, /* the stack went on towards its root, but stack_depth cut it here; key = frames cut or 0 */
    NODE_LABEL =
        1u << 5, /* no frame: what the thread says of the work in which the stack was taken. The innermost node of
                             the Python part; key: LEDGER_TEXT ref of the label (0 = none) | LABEL_IGNORED; alone */
    NODE_EPOCH_SHIFT = 8, /* native: module epoch (24 bits) in which the address was valid */
};

/* One frame of a stack and the id of its caller: parents always have lower depth, the root's parent is 0.
 * Published by `meta`. The 16 bytes are also the key under which shim/stacks.c interns the node. */
struct ledger_node {
    uint64_t key;
    uint32_t parent; /* LEDGER_NODES id */
    uint32_t meta;   /* enum node_meta */
};

#define NODE_NOT_BEGUN UINT32_MAX  /* offset in the key of a Python frame that has not begun its first instruction */
#define LABEL_IGNORED (1ULL << 32) /* blocks that were made in it are no leaks */

/* A whole stack: its native and its Python leaf (innermost frame), either may be 0. Published by `used`. */
struct ledger_trace {
    uint32_t native; /* LEDGER_NODES id */
    uint32_t python; /* LEDGER_NODES id */
    uint32_t used;   /* 1 */
    uint32_t reserved;
    uint64_t allocations; /* ever made from here; what threads counted last is in their tallies */
    uint64_t bytes;
};

enum code_table { CODE_LNOTAB = 1, CODE_LINETABLE_310, CODE_LOCATIONS_311 };

/* A Python code object as it was at first sight. Published by `used`. Texts are LEDGER_TEXT refs, 0 = not known. */
struct ledger_code {
    uint64_t address;
    uint32_t used;
    int32_t first_line;
    uint32_t file;
    uint32_t name;
    uint32_t qualname;
    uint32_t table;      /* raw bytes of the line table */
    uint32_t table_kind; /* enum code_table */
    uint32_t reserved[3];
};

/* A loaded ELF object. Published by `end`. */
struct ledger_module {
    uint64_t start, end;  /* address range of its segments */
    uint64_t bias;        /* run-time address minus ELF address */
    uint32_t path;        /* LEDGER_TEXT ref */
    uint32_t first_epoch; /* valid for nodes whose epoch lies in [first_epoch, last_epoch] */
    uint32_t last_epoch;  /* UINT32_MAX while loaded */
    uint8_t build_id_size;
    uint8_t build_id[20];
    uint8_t reserved[3];
};

/* Counters of one thread, written by that thread only and added up by readers. Slots are reused by later threads and
 * go on counting. Published by `used`. */
struct ledger_thread {
    uint64_t used;
    uint64_t allocations;
    uint64_t frees;
    uint64_t allocated_bytes;
    uint64_t freed_bytes;
    uint64_t dropped; /* events that could not be recorded */
    int64_t balance;  /* bytes since the last flush to header.live_bytes */
    int64_t high;     /* highest balance since then */
    uint32_t tid;
    uint32_t reserved_tid;
    uint64_t reserved[7];
};

/* What one thread has counted for a trace and not added to its counters yet. A thread has one or more rows of
 * LEDGER_TALLIES_ROW, with places that depend on the first three fields (shim/tally.h). Published by `trace`. */
struct ledger_tally {
    uint64_t frame;  /* struct python_stack in shim/stacks.h */
    uint32_t native; /* LEDGER_NODES id */
    uint32_t parent;
    uint32_t trace; /* LEDGER_TRACES id */
    uint32_t allocations;
    uint64_t bytes;
};

#define LEDGER_TALLIES_SHIFT 10
#define LEDGER_TALLIES_ROW (1u << LEDGER_TALLIES_SHIFT)

enum error_kind { /* the names of DESIGN's `errors[].kind`, in ledger order */
                  ERROR_NONE = 0,
                  ERROR_OVERFLOW,
                  ERROR_UNDERFLOW,
                  ERROR_USE_AFTER_FREE,
                  ERROR_DOUBLE_FREE,
                  ERROR_INVALID_FREE,
                  ERROR_DOMAIN_MISMATCH,
                  ERROR_MISMATCHED_FREE,
                  ERROR_GIL_NOT_HELD,
                  ERROR_OVERFLOW_READ, /* these three with guard_pages=N */
                  ERROR_UNDERFLOW_READ,
                  ERROR_USE_AFTER_FREE_READ,
                  ERROR_INVALID_ARGUMENT, /* these four of handles and pools */
                  ERROR_INVALID_HANDLE,
                  ERROR_HANDLE_LOCKED,
                  ERROR_UNBALANCED_UNLOCK,
                  ERROR_KIND_COUNT
};

/* One kind of misuse seen from one stack. Published by `kind`. */
struct ledger_error {
    uint32_t kind; /* enum error_kind */
    uint32_t domain;
    uint64_t address;
    uint64_t size;
    uint64_t count;
    uint32_t trace;       /* of the finding */
    uint32_t alloc_trace; /* 0 = not known */
    uint32_t free_trace;
    uint32_t detail; /* LEDGER_TEXT ref */
    uint64_t reserved;
};

enum reference_confidence {
    CONFIDENCE_NONE = 0,
    CONFIDENCE_LOW,    /* made while a module was imported, which may keep it on purpose; or not all memory was seen */
    CONFIDENCE_MEDIUM, /* the interpreter was running */
    CONFIDENCE_HIGH,
    CONFIDENCE_COUNT
};

/* Python objects of one type and stack whose counts are higher than the references to them; or, with `unseen`, that lie in a
 * cycle which the collector does not free. Published by `used`. */
struct ledger_reference {
    uint32_t used;        /* 1 */
    uint32_t trace;       /* LEDGER_TRACES id of the allocations */
    uint32_t type;        /* LEDGER_TEXT ref of the type's name, 0 = not known */
    uint32_t kind;        /* enum block_kind of the objects */
    uint32_t confidence;  /* enum reference_confidence */
    uint32_t flags;       /* RECORD_STARTUP, RECORD_INTERPRETER */
    uint32_t least, most; /* surplus of one object */
    uint64_t objects, bytes;
    uint64_t surplus; /* counts without a reference, of all objects together */
    uint32_t unseen;  /* LEDGER_TEXT ref: the type whose references the collector does not see; 0 = over-referenced */
    uint32_t reserved;
};

enum link_role {
    LINK_NONE = 0,
    LINK_BLOCK,    /* what is explained */
    LINK_HOLDER,   /* points to the block or holder before it */
    LINK_ROOT,     /* memory of the program outside of blocks that points to the one before it */
    LINK_REFERRER, /* a lost block that points to what is explained */
    LINK_ROLE_COUNT
};

enum link_root { LINK_ROOT_MEMORY = 0, LINK_ROOT_DATA, LINK_ROOT_STACK, LINK_ROOT_COUNT };

/* A part of the explanation of one block, which stands for those of its stack, type and kind: the block, then the chain of
 * those that hold it, from the nearest on, in the order of ids. Published by `role`. */
struct ledger_link {
    uint32_t role;        /* enum link_role */
    uint32_t subject;     /* number of the explanation, from 1 */
    uint32_t trace;       /* LEDGER_TRACES id of the block of this link */
    uint32_t type;        /* LEDGER_TEXT ref of the Python type's name */
    uint32_t name;        /* LEDGER_TEXT ref: the key or place under which it is held; 0 = not known */
    uint8_t kind, domain; /* enum block_kind, enum block_domain of the block */
    uint8_t root;         /* enum link_root */
    uint8_t reserved;
    uint64_t size;   /* bytes of the block */
    uint64_t offset; /* of the pointer in the block of this link, UINT64_MAX = not known; of a root: its address */
};

/* A moment at which the live blocks of each stack were counted, the id being its number. Published by `time`. */
struct ledger_mark {
    int64_t time;  /* nanoseconds since the epoch */
    uint32_t name; /* LEDGER_TEXT ref, 0 = none: the clock has set it */
    uint32_t rows; /* LEDGER_GROWTH ids below this one were there at its end */
    uint64_t live_blocks, live_bytes;
};

/* Live blocks of one stack at a mark. Marks at which a stack's numbers are as they were have no row for it. In the order of the
 * marks. Published by `mark`. */
#define LEDGER_GROWTH_GARBAGE \
    UINT32_MAX /* mark: what only garbage holds at the last look; with trace 0: there was one */
struct ledger_growth {
    uint32_t mark;  /* LEDGER_MARKS id, or LEDGER_GROWTH_GARBAGE */
    uint32_t trace; /* LEDGER_TRACES id */
    uint64_t blocks, bytes;
};

/* A piece of memory that the interpreter has taken for small blocks. An entry is used again when its arena was given back. Published
 * by `size`. */
struct ledger_arena {
    uint64_t start;
    uint64_t size; /* bytes, 0 while the entry is not used */
};

/* A byte string. A ref counts units of LEDGER_TEXT_UNIT bytes through all text segments; a string too long for one
 * segment goes on at `next`. Published by `length` + 1 (so that an empty string is not 0). */
#define LEDGER_TEXT_UNIT 8u
struct ledger_text {
    uint32_t length_plus_1; /* bytes in this piece, plus 1 */
    uint32_t next;          /* ref of the next piece, 0 = last */
    char bytes[];
};

enum ledger_end {
    END_NONE = 0, /* still running, or killed: the reader has to ask who knows */
    END_EXIT,     /* exit() or _exit(): header.status */
    END_EXEC,     /* replaced by another program */
};

enum ledger_lack {                             /* what the report has to say it lacks: header.lacks */
                   LACK_LEDGER_FULL = 1u << 0, /* no more memory or disk for records: later blocks are not recorded */
                   LACK_UNWINDER = 1u << 1,    /* libunwind could not be loaded: only simple native stacks */
                   LACK_PYTHON_UNKNOWN = 1u << 2, /* interpreter version not known: no Python frames */
                   LACK_FREE_THREADED = 1u
                                        << 3,  /* free-threaded interpreter: no MEM and OBJ blocks, no Python frames */
                   LACK_OPTION = 1u << 4,      /* an option asked for something this build cannot do */
                   LACK_STACKS_FULL = 1u << 5, /* no more room for stacks: some blocks have none */
                   LACK_PYTHON_RESTARTS =
                       1u << 6, /* the interpreter replaced its allocators too often: no more MEM and OBJ blocks */
                   LACK_SCAN = 1u << 7,      /* memory could not be scanned: the kinds of live blocks are not known */
                   LACK_SCAN_PART = 1u << 8, /* some of the memory could not be scanned */
                   LACK_REGISTERS = 1u << 9, /* a snapshot without the registers of threads that were running */
                   LACK_MARKS = 1u << 10,    /* at some marks not all blocks could be counted */
                   LACK_COLLECTION =
                       1u << 11, /* a snapshot for which no garbage was collected, though it was asked for */
};

/* Segment 0. Written at start, except for the counters and the end. */
struct ledger_header {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size; /* sizeof(struct ledger_header) */
    uint32_t segments;    /* segments in the file, this one included; release-stored after the directory entry */
    uint32_t ended;       /* enum ledger_end; release-stored after status and ended_at */
    int32_t status;
    uint32_t lacks; /* enum ledger_lack */
    int32_t pid;
    int32_t ppid;
    uint32_t sequence;      /* n-th image of this pid (exec) */
    uint32_t python_hex;    /* PY_VERSION_HEX, 0 = no interpreter seen */
    uint64_t process_start; /* field 22 of /proc/PID/stat: tells a reused pid */
    int64_t started_at;     /* nanoseconds since the epoch */
    int64_t ended_at;
    int64_t live_bytes; /* flushed balances of all threads */
    int64_t peak_bytes;
    uint64_t inherited_frees; /* blocks of the parent process freed in this one */
    uint64_t dropped;         /* events for which the ledger had not even room for a thread's counters */
    uint64_t refused;         /* requests that an option (fail_every, fail_above, limit) let fail */
    uint64_t self_checks;     /* stacks compared with a full unwind (option self_check) */
    uint64_t self_check_differences;
    uint32_t program_started; /* 1 once the program's own code ran */
    uint32_t epoch;           /* module epoch: raised by every dlclose that unloads */
    uint32_t reserved;        /* 0 */
    uint32_t forked;          /* 1: this process began as a fork of a traced one */
    uint64_t sample;          /* mean bytes between recorded blocks, 0 = all are (sampling.h) */
    uint32_t leak_check;      /* 0: live blocks are only counted, no groups are written */
    uint32_t snapshots;       /* taken so far, failed ones included */
    uint32_t snapshot;        /* this is the copy that the n-th of them was made from; 0 = the ledger itself */
    uint32_t snapshot_signal; /* asks for one, 0 = none does */
    /* Written by others: how many snapshots were asked for. The process looks now and then, and at each signal. */
    uint32_t requested;
    uint32_t answered;    /* requests served; release-stored after the two below */
    uint32_t answer;      /* number of the snapshot that the last one got */
    int32_t answer_error; /* 0 or -errno */
    uint32_t argc;
    uint32_t argv_size;
    uint64_t arena_bytes_peak;              /* most that arenas had at one time */
    char program[256];                      /* name of the program, without folder */
    char python[64];                        /* sys.version's first word, "" = none */
    char output[LEDGER_PATH_MAX];           /* absolute path of the report */
    char options[LEDGER_OPTIONS_MAX];       /* effective MEMSHIM_OPTIONS */
    char argv[LEDGER_ARGV_MAX];             /* argc NUL-terminated strings (only the first without record_argv) */
    uint8_t directory[LEDGER_SEGMENTS_MAX]; /* enum ledger_kind of each segment */
};

_Static_assert(sizeof(struct ledger_header) <= LEDGER_SEGMENT_SIZE, "the header is one segment");
_Static_assert(sizeof(struct ledger_record) == 32, "a budget: DESIGN, memory per live block");
_Static_assert(sizeof(struct ledger_node) == 16, "the interning key of stacks.c");
_Static_assert(sizeof(struct ledger_trace) == 32, "a power of two");
_Static_assert(sizeof(struct ledger_code) == 48 || sizeof(struct ledger_code) == 56, "fixed width");
_Static_assert(sizeof(struct ledger_thread) == 128, "two cache lines");
_Static_assert(sizeof(struct ledger_tally) == 32, "half a cache line");
_Static_assert(sizeof(struct ledger_module) == 64, "a power of two");
_Static_assert(sizeof(struct ledger_error) == 56, "fixed width");
_Static_assert(sizeof(struct ledger_reference) == 64, "fixed width");
_Static_assert(sizeof(struct ledger_link) == 40, "fixed width");
_Static_assert(sizeof(struct ledger_mark) == 32 && sizeof(struct ledger_growth) == 24, "fixed width");
_Static_assert(sizeof(struct ledger_arena) == 16, "fixed width");

/* False for a record that stands for no memory of the process's own allocators. */
static inline int ledger_is_block(enum block_domain domain)
{
    return domain < DOMAIN_BLOCK_COUNT;
}

/* False for a record whose memory was not made by a hook: there is no prefix before it and there are no guard bytes. */
static inline int ledger_has_prefix(enum block_domain domain)
{
    return domain < DOMAIN_TRACKED;
}

/* Whether record.type is the name of a domain. */
#define LEDGER_STATE_TYPE "PyThreadState" /* ... but for this type of a block of DOMAIN_RAW */
static inline int ledger_names_domain(enum block_domain domain)
{
    return ledger_is_block(domain) && domain != DOMAIN_OBJ;
}

/* Bytes of one entry of each kind; text counts in units. */
static inline uint32_t ledger_entry_size(enum ledger_kind kind)
{
    static const uint8_t sizes[LEDGER_KIND_COUNT] = {
        [LEDGER_RECORDS] = sizeof(struct ledger_record), [LEDGER_NODES] = sizeof(struct ledger_node),
        [LEDGER_TRACES] = sizeof(struct ledger_trace),   [LEDGER_CODES] = sizeof(struct ledger_code),
        [LEDGER_MODULES] = sizeof(struct ledger_module), [LEDGER_THREADS] = sizeof(struct ledger_thread),
        [LEDGER_ERRORS] = sizeof(struct ledger_error),   [LEDGER_TEXT] = LEDGER_TEXT_UNIT,
        [LEDGER_TALLIES] = sizeof(struct ledger_tally),  [LEDGER_REFERENCES] = sizeof(struct ledger_reference),
        [LEDGER_LINKS] = sizeof(struct ledger_link),     [LEDGER_MARKS] = sizeof(struct ledger_mark),
        [LEDGER_GROWTH] = sizeof(struct ledger_growth),  [LEDGER_ARENAS] = sizeof(struct ledger_arena),
    };
    return sizes[kind];
}

static inline uint32_t ledger_per_segment(enum ledger_kind kind)
{
    return LEDGER_SEGMENT_SIZE / ledger_entry_size(kind);
}

static inline uint64_t ledger_owner(uint64_t address, enum block_domain domain, uint32_t flags)
{
    return address << 16 | (uint64_t)domain << 8 | flags;
}

static inline uint64_t ledger_owner_address(uint64_t owner)
{
    return owner >> 16;
}

static inline enum block_domain ledger_owner_domain(uint64_t owner)
{
    return (enum block_domain)(owner >> 8 & 0xff);
}

static inline uint32_t ledger_owner_flags(uint64_t owner)
{
    return (uint32_t)(owner & 0xff);
}

#endif
