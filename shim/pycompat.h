/* SPDX-License-Identifier: MIT
 *
 * What the shim knows of CPython's private structures, per version: 3.8 to 3.15, 64 bits, builds with a GIL. The only
 * place that does. Offsets are bytes; release and debug builds agree in all that is used here.
 *
 * pycompat_find checks the table against what the interpreter says of itself (sizes in its type objects; since 3.13 the
 * offsets that it publishes for debuggers) and refuses when they differ. The rest reads memory and nothing else.
 *
 * The position of a frame, in the low half of a NODE_PYTHON key, is the byte offset of its current instruction in the code:
 *   up to 3.9   f_lasti
 *   3.10        f_lasti * 2
 *   3.11, 3.12  prev_instr - first instruction
 *   since 3.13  instr_ptr - first instruction
 * which is what the line table of the version counts in, inline caches included; NODE_NOT_BEGUN in a frame that has not
 * begun its first instruction (its line is the code's first line). */
#ifndef SHIM_PYCOMPAT_H
#define SHIM_PYCOMPAT_H

#include "compiler.h"
#include "ledger_format.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pyapi;

/* How frames are kept. */
enum pycompat_shape {
    SHAPE_OBJECTS, /* up to 3.10: frame objects, one run of the C evaluation function each */
    SHAPE_311,     /* 3.11: internal frames, those at which C was entered are flagged */
    SHAPE_312,     /* since 3.12: C entries are frames of their own, on the C stack */
};

struct pycompat {
    /* Not in the table: the interpreter in this process. */
    const uint8_t *runtime;
    void *(*current_thread_state)(void);
    void *(*own_thread_state)(void); /* may be NULL */
    int (*is_initialized)(void);
    uintptr_t code_type, unicode_type, bytes_type;

    uint8_t minor;
    uint8_t shape;               /* enum pycompat_shape */
    uint8_t table_kind;          /* enum code_table */
    uint8_t tag_mask;            /* bits of a frame's code reference that are not address */
    uint8_t lasti_unit;          /* SHAPE_OBJECTS: bytes per unit of f_lasti */
    uint8_t entry_owner;         /* SHAPE_312: frames with this or a higher owner are no Python frames */
    uint16_t runtime_finalizing; /* thread state that finalizes the interpreter, in _PyRuntime */
    uint16_t runtime_thread; /* current thread state of the GIL's holder in _PyRuntime; 0 = ask current_thread_state */
    uint16_t thread_id;      /* in the thread state: pthread_self of its thread */
    uint16_t thread_frame;   /* innermost frame, or where thread_cframe says */
    uint16_t thread_cframe;  /* != 0: pointer to the structure that holds thread_frame */
    uint16_t frame_back, frame_code, frame_instr;
    uint16_t frame_owner; /* SHAPE_312 */
    uint16_t frame_entry; /* SHAPE_311: bool */
    uint16_t code_first_line, code_file, code_name, code_qualname, code_table;
    uint16_t code_bytes; /* first instruction, since 3.11 */
    uint16_t text_ascii, text_other;
    /* tp_basicsize that the types must have; 0 = not checked */
    uint16_t code_size, frame_size, text_size;
};

/* What all versions of one shape have in common: constants where the shape is one. PYCOMPAT_VARIES: they have not. */
struct pycompat_common {
    uint16_t thread_id, thread_cframe, thread_frame;
    uint16_t frame_back, frame_code, frame_instr, frame_entry;
    uint16_t code_bytes;
};

#define PYCOMPAT_VARIES UINT16_MAX

static const struct pycompat_common pycompat_common[] = {
    [SHAPE_OBJECTS] =
        {.thread_id = 176, .thread_frame = 24, .frame_back = 24, .frame_code = 32, .frame_instr = PYCOMPAT_VARIES},
    [SHAPE_311] = {.thread_id = 152,
                   .thread_cframe = 56,
                   .thread_frame = 8,
                   .frame_back = 48,
                   .frame_code = 32,
                   .frame_instr = 56,
                   .frame_entry = 68,
                   .code_bytes = 184},
    [SHAPE_312] = {.thread_id = PYCOMPAT_VARIES,
                   .thread_cframe = PYCOMPAT_VARIES,
                   .thread_frame = PYCOMPAT_VARIES,
                   .frame_back = 8,
                   .frame_code = 0,
                   .frame_instr = 56,
                   .code_bytes = PYCOMPAT_VARIES},
};

/* A field of `compat`, whose shape is `shape_`. */
#define PYCOMPAT_FIELD(compat, shape_, field) \
    (pycompat_common[shape_].field != PYCOMPAT_VARIES ? pycompat_common[shape_].field : (compat)->field)

/* Bytes of a frame since 3.11 that every frame has. */
#define PYCOMPAT_FRAME_SIZE 80

/* The interpreter of a thread state, since 3.12: PyThreadState.interp. */
#define PYCOMPAT_THREAD_INTERPRETER 16

#define PYCOMPAT_OB_TYPE 8
#define PYCOMPAT_OB_SIZE 16
#define PYCOMPAT_TP_DEALLOC 48
#define PYCOMPAT_BYTES_DATA 32

/* The layout of the interpreter in `api`. Returns 0, or -ENOTSUP with *ret_lack = LACK_PYTHON_UNKNOWN or
 * LACK_FREE_THREADED. */
int pycompat_find(const struct pyapi *api, struct pycompat *ret, enum ledger_lack *ret_lack);

/* The word in which the interpreter has the thread state that takes it down, 0 = none does; NULL: it is not known where. */
const uintptr_t *pycompat_finalizing(const struct pyapi *api);

/* Memory of the interpreter. */
static inline uint64_t pycompat_load(uintptr_t object, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const void *)(object + offset), sizeof(value));
    return value;
}

static inline uint32_t pycompat_load32(uintptr_t object, size_t offset)
{
    uint32_t value;
    memcpy(&value, (const void *)(object + offset), sizeof(value));
    return value;
}

static inline uint8_t pycompat_load8(uintptr_t object, size_t offset)
{
    return *(const uint8_t *)(object + offset);
}

/* False for what cannot be the address of an object: NULL, misaligned, not canonical (freed memory of debug builds). */
static inline bool pycompat_plausible(uintptr_t object)
{
    return object >= 4096 && !(object & 7) && object < (uintptr_t)1 << 48;
}

/* The parts of a code object. */
struct pycompat_code {
    uintptr_t file, name, qualname; /* str objects; qualname 0 up to 3.10 */
    uintptr_t table;                /* bytes object */
    int32_t first_line;
};

/* Reads a code object. False: it is none. */
static inline bool pycompat_code_read(const struct pycompat *compat, uintptr_t code, struct pycompat_code *ret)
{
    if (!pycompat_plausible(code) || pycompat_load(code, PYCOMPAT_OB_TYPE) != compat->code_type)
        return false;
    ret->file = pycompat_load(code, compat->code_file);
    ret->name = pycompat_load(code, compat->code_name);
    ret->qualname = compat->code_qualname ? pycompat_load(code, compat->code_qualname) : 0;
    ret->table = pycompat_load(code, compat->code_table);
    ret->first_line = (int32_t)pycompat_load32(code, compat->code_first_line);
    return true;
}

/* True for the code of frames that the interpreter puts between a class and its __init__ since 3.12, which are no frames
 * of the program: file and name are one object. */
bool pycompat_code_internal(const struct pycompat *compat, const struct pycompat_code *code);

/* Writes a str object as UTF-8 (lone surrogates as \udcxx; not terminated), cut between characters when `size` bytes are
 * too few. Returns the length, or -1 when it is not a string that can be read. */
ssize_t pycompat_text(const struct pycompat *compat, uintptr_t string, char *buffer, size_t size);

/* The contents of a bytes object, in place; NULL when it is none or has more than `max` bytes. */
const void *pycompat_bytes(const struct pycompat *compat, uintptr_t bytes, size_t max, size_t *ret_size);

#endif
