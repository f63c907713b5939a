/* SPDX-License-Identifier: MIT
 *
 * What a thread remembers of its last Python stack, and the comparison of that with memory. Part of pyframes.c, which says
 * how it is used; included by nothing else. */
#ifndef SHIM_PYPLACES_H
#define SHIM_PYPLACES_H

#include "pycompat.h"
#include "pyframes.h"
#include "stacks.h"

#define PLACES_MAX 2048u
#define PLACES_OPEN 1280u /* > twice the largest depth: every frame may have a C entry of its own */
#define DEPTH_MAX 512u
#define HINTS 256u
#define RECENT (1u << RECENT_SHIFT)
#define RECENT_SHIFT 10
#define NOWHERE UINT32_MAX
#define NO_POSITION UINT64_MAX /* of a place that has no node: no frame is there */
#define NO_STATE 1u            /* of a thread that has held none: no thread state is there */
#define NO_FRAME 1u            /* no frame is there */
#define NO_CODE 1u             /* of a place whose code is not known, and no address of any */

/* Compared with memory at each capture. Since 3.11 what a frame holds and what it is compared with lie alike: the caller's
 * address (place[-1].frame), then its position, then the byte that tells an entry. */
struct place {
    uint64_t position; /* position_of() */
    uint32_t node;     /* of the frame at its position */
    uint8_t entry;     /* SHAPE_311: the highest bit of its position */
    uint8_t close;     /* so many places below can be read whenever this one can (find_close) */
    uintptr_t code;    /* NO_CODE: it is not known */
    uintptr_t frame;
};

enum place_kind {
    PLACE_FRAME = 0, /* of the program */
    PLACE_ENTRY,     /* C entry of SHAPE_312 */
    PLACE_INTERNAL,  /* the interpreter's own code: CODES_INTERNAL */
};

struct known {
    uint32_t parent; /* of the node */
    uint32_t meta;   /* of the node, 0: it is not known, or the place has none of its own */
    uint32_t id;     /* LEDGER_CODES id of the place's code, if that is known */
    uint16_t level;  /* Python frames from the root to here */
    uint8_t kind;    /* enum place_kind */
};

/* A node that was made lately, found by what is in memory: a function that allocates in turn at a few places needs no look
 * at its code object, nor at the shared table of nodes. */
struct recent {
    uint64_t position; /* as in struct place */
    uintptr_t code;
    uint32_t parent, node;
    uint32_t id;   /* of the code */
    uint32_t kind; /* recent_kind() */
} __attribute__((aligned(32)));

_Static_assert(sizeof(struct recent) == 32, "never in two cache lines");

struct pyframes_thread {
    struct pyframes_head head;
    uintptr_t state;     /* last thread state that proved to be this thread's (since 3.12) */
    uintptr_t attached;  /* thread state that it held last, or NO_STATE */
    uint32_t generation; /* of codes_generation, for which ids of code are right */
    uint32_t stamp;      /* raised when `recent` becomes void: 31 bits, never 0 */
    uint32_t count;      /* places of the last stack */
    uint32_t high;       /* places ever used */
    uint32_t start;      /* first place that has a node */
    uint32_t cut;        /* frames below it */
    bool open;           /* place 0 is not the root: the rest is not known */
    bool whole;          /* neither open nor cut */
    uint32_t fresh_count;
    const struct place *tip; /* place of the innermost frame of the last stack, if that is whole; else `nowhere` */
    uint64_t tip_key;        /* what the place adds to the frame of a stack (place_key) */
    uint16_t hints[HINTS];   /* where a frame may be */
    struct recent *recent;   /* first_recent, or a mapping of many */
    unsigned recent_shift;   /* 32 - log2 of their number */
    uint32_t recent_learned;
    uint32_t recent_turn; /* of the places around one that is to be used anew */
    struct recent first_recent[RECENT] __attribute__((aligned(64)));
    uintptr_t fresh[PLACES_MAX]; /* frames found above the known ones, innermost first */
    struct place nowhere;        /* no frame is there */
    uint64_t offset
        __attribute__((aligned(32))); /* so that place[-1].frame and place[0].position lie at multiples of 32 */
    struct place below;               /* places[-1]: what is called by nobody. All 0 */
    struct place places[PLACES_MAX];
    struct known known[PLACES_MAX];
};

/* ---- frames in memory ---- */

static _always_inline_ uintptr_t back_of(uintptr_t frame, enum pycompat_shape shape)
{
    return pycompat_load(frame, pycompat_common[shape].frame_back);
}

static _always_inline_ uintptr_t code_of(const struct pycompat *compat, uintptr_t frame, enum pycompat_shape shape)
{
    uintptr_t tag_mask = shape == SHAPE_312 ? compat->tag_mask : 0;

    return pycompat_load(frame, pycompat_common[shape].frame_code) & ~tag_mask;
}

/* All that can change in a frame without its code changing. Since 3.11 it tells the code as well: a pointer to one of its
 * instructions. */
static _always_inline_ uint64_t position_of(const struct pycompat *compat, uintptr_t frame, enum pycompat_shape shape)
{
    const struct pycompat_common *common = &pycompat_common[shape];

    if (shape == SHAPE_OBJECTS)
        return pycompat_load32(frame, compat->frame_instr);
    uint64_t entry = shape == SHAPE_311 ? (uint64_t)pycompat_load8(frame, common->frame_entry) << 63 : 0;
    return pycompat_load(frame, common->frame_instr) | entry;
}

/* What NODE_PYTHON keys hold (pycompat->h). */
static inline uint32_t offset_of(const struct pycompat *compat, uint64_t position, uintptr_t code)
{
    if (compat->shape == SHAPE_OBJECTS)
        return (int32_t)position < 0 ? NODE_NOT_BEGUN : (uint32_t)position * compat->lasti_unit;
    int64_t offset = (int64_t)((position & INT64_MAX) - code - compat->code_bytes);
    return offset < 0 || offset > INT32_MAX ? NODE_NOT_BEGUN : (uint32_t)offset;
}

/* The same with other values of what has not begun, none of which is an offset in code. */
static _always_inline_ uint32_t raw_offset_of(const struct pycompat *compat, uint64_t position, uintptr_t code,
                                              enum pycompat_shape shape)
{
    if (shape == SHAPE_OBJECTS)
        return (uint32_t)position * compat->lasti_unit;
    return (uint32_t)(position - code - PYCOMPAT_FIELD(compat, shape, code_bytes));
}

/* ---- what a place stands for ---- */

static _always_inline_ bool is_entry(const struct pyframes_thread *thread, uint32_t i, uint64_t position,
                                     enum pycompat_shape shape)
{
    if (shape == SHAPE_312)
        return i == 0 || thread->known[i - 1].kind == PLACE_ENTRY;
    return shape == SHAPE_OBJECTS || position >> 63;
}

static _always_inline_ uint32_t meta_of(const struct pyframes_thread *thread, uint32_t i, uint64_t position,
                                        enum pycompat_shape shape)
{
    return NODE_PYTHON | (is_entry(thread, i, position, shape) ? NODE_ENTRY : 0u);
}

_Static_assert(PYTHON_STACK_ENTRY == 1ULL << 63, "as in a position of SHAPE_311");

/* What place `i` adds to the frame of a stack whose innermost frame is there, and what its position adds. */
static _always_inline_ uint64_t place_key(const struct pyframes_thread *thread, uint32_t i, enum pycompat_shape shape)
{
    bool entry = shape != SHAPE_311 && is_entry(thread, i, 0, shape);

    return (uint64_t)thread->known[i].id << 32 | (entry ? PYTHON_STACK_ENTRY : 0);
}

static _always_inline_ uint64_t position_key(const struct pycompat *compat, const struct place *place,
                                             uint64_t position, enum pycompat_shape shape)
{
    uint64_t entry = shape == SHAPE_311 ? position & PYTHON_STACK_ENTRY : 0;

    return raw_offset_of(compat, position, place->code, shape) | entry;
}

/* The stack whose innermost frame is at place `i`, with its position, when all places below have their nodes. */
static _always_inline_ struct python_stack stack_at(const struct pycompat *compat, const struct pyframes_thread *thread,
                                                    uint32_t i, uint32_t parent, uint64_t position,
                                                    enum pycompat_shape shape)
{
    return (struct python_stack){
        place_key(thread, i, shape) | position_key(compat, &thread->places[i], position, shape), parent};
}

/* ---- finding what is left of the last stack ---- */

static inline uint16_t *hint_of(struct pyframes_thread *thread, uintptr_t frame)
{
    return &thread->hints[(frame >> 3 ^ frame >> 11) % HINTS];
}

/* The place below `limit` that is known to be this frame, or NOWHERE (also where a hint was lost: only slower). */
static inline uint32_t find_place(struct pyframes_thread *thread, uintptr_t frame, uint32_t limit)
{
    if (likely(limit && thread->places[limit - 1].frame == frame))
        return limit - 1;
    uint32_t hint = *hint_of(thread, frame);
    return hint < limit && thread->places[hint].frame == frame ? hint : NOWHERE;
}

static inline bool push_fresh(struct pyframes_thread *thread, uintptr_t frame)
{
    if (unlikely(thread->fresh_count == PLACES_MAX || !pycompat_plausible(frame)))
        return false;
    thread->fresh[thread->fresh_count++] = frame;
    return true;
}

/* Where in `recent` a node with this caller may be. Callers whose nodes were made one after another are often met in this order
 * again: what they called from one position lies side by side. */
static _always_inline_ struct recent *recent_of(struct pyframes_thread *thread, uint64_t position, uint32_t parent)
{
    unsigned shift = thread->recent_shift;

    return &thread->recent[(((uint32_t)position * 0x9e3779b1u >> shift) + parent) & UINT32_MAX >> shift];
}

/* The stamp for which it is right, and what varies of `meta`. */
static _always_inline_ uint32_t recent_kind(const struct pyframes_thread *thread, uint32_t meta)
{
    return thread->stamp << 1 | ((meta & NODE_ENTRY) != 0);
}

static _always_inline_ bool is_recent(const struct pyframes_thread *thread, const struct recent *recent,
                                      uint64_t position, uint32_t parent, uint32_t meta)
{
    return recent->position == position && recent->parent == parent && recent->kind == recent_kind(thread, meta);
}

/* Whether the frame at this place is where it was. */
static _always_inline_ bool is_current(const struct pycompat *compat, const struct place *place,
                                       enum pycompat_shape shape)
{
    return position_of(compat, place->frame, shape) == place->position &&
           (shape != SHAPE_OBJECTS || code_of(compat, place->frame, shape) == place->code);
}

/* Compares places from `at` down to the root with memory, `at` itself being in the chain. Returns the place whose caller is
 * another now, or NOWHERE if the chain is the same; *ret_changed receives the lowest place that has moved on. */
static _always_inline_ uint32_t compare_places(const struct pycompat *compat, const struct pyframes_thread *thread,
                                               uint32_t at, uint32_t *ret_changed, enum pycompat_shape shape)
{
    const struct place *const root = thread->places, *const start = root + thread->start;
    const struct place *place = root + at, *changed = root + *ret_changed;

    for (; place > start; place--) {
        if (!is_current(compat, place, shape))
            changed = place;
        if (back_of(place->frame, shape) != place[-1].frame)
            return (uint32_t)(place - root);
    }
    if (place == start && !is_current(compat, place, shape))
        changed = place;
    *ret_changed = (uint32_t)(changed - root);
    for (; place > root; place--)
        if (back_of(place->frame, shape) != place[-1].frame)
            return (uint32_t)(place - root);
    return thread->open || !back_of(root->frame, shape) ? NOWHERE : 0;
}

/* ---- several places at one stroke ---- */

#define STROKE 4u

/* What a frame of SHAPE_311 holds from the caller's address on, and the same of a place from place[-1].frame on: caller,
 * position, (in its fifth byte) whether it is an entry, and what is of no account. */
typedef uint64_t words __attribute__((vector_size(32), aligned(8), may_alias));

_Static_assert(sizeof(struct place) == 32 && offsetof(struct place, frame) == 24 &&
                   offsetof(struct place, position) == 0 && offsetof(struct place, entry) == 12,
               "as in a frame");

/* place->close: how many places below can be read whenever this one can, because they lie on one page. Since 3.11 most
 * frames do. */
static _always_inline_ uint8_t find_close(const struct place *place, enum pycompat_shape shape)
{
    uintptr_t lower = place[-1].frame;

    if (shape == SHAPE_OBJECTS || lower >> 12 != place->frame >> 12 || lower + PYCOMPAT_FRAME_SIZE > place->frame)
        return 0;
    return (uint8_t)MIN(place[-1].close + 1u, UINT8_MAX);
}

static _always_inline_ void add_311(words *all, const struct place *place)
{
    const words *frame = (const words *)(place->frame + pycompat_common[SHAPE_311].frame_back);

    *all |= *frame ^ *(const words *)&place[-1].frame;
}

static _always_inline_ void add_312(uint64_t *all, const struct place *place)
{
    *all |= back_of(place->frame, SHAPE_312) ^ place[-1].frame;
    *all |= pycompat_load(place->frame, pycompat_common[SHAPE_312].frame_instr) ^ place->position;
}

/* Compares the places below `*place` with memory as long as they can be read, STROKE at a time, and moves it there. Without
 * a look at each: they nearly always are as they were. Not below `end`. */
static _always_inline_ bool same_strokes(const struct place **place, const struct place *end, enum pycompat_shape shape)
{
    const struct place *at = *place;
    words all = {0, 0, 0, 0};
    uint64_t all_312 = 0;

    for (; at->close >= STROKE && (!end || at >= end + STROKE); at -= STROKE)
        for (unsigned i = 1; i <= STROKE; i++)
            if (shape == SHAPE_311)
                add_311(&all, at - i);
            else
                add_312(&all_312, at - i);
    *place = at;
    if (shape != SHAPE_311)
        return !all_312;
    all &= (words){UINT64_MAX, INT64_MAX, 0xff00000000, 0};
    return !(all[0] | all[1] | all[2]);
}

/* Whether all places below `place` are as they were, and it is called from there. Where frames are cut off (not
 * `whole`), no look is taken at these: of a deep recursion their number may be that of an earlier stack with the same innermost frames. */
static _always_inline_ bool is_same_below(const struct pycompat *compat, const struct place *start, bool whole,
                                          const struct place *place, enum pycompat_shape shape)
{
    if (unlikely(back_of(place->frame, shape) != place[-1].frame))
        return false;
    for (;;) {
        if (shape != SHAPE_OBJECTS && place->close >= STROKE &&
            unlikely(!same_strokes(&place, whole ? NULL : start, shape)))
            return false;
        if (place == start)
            return true;
        place--;
        if (unlikely(!is_current(compat, place, shape)) || unlikely(back_of(place->frame, shape) != place[-1].frame))
            return false;
    }
}

/* ---- walking ---- */

/* Walks the chain from `top`. On return `fresh` holds the frames above the *ret_kept places that are still right, and
 * *ret_changed the lowest place whose node is not. False: too long, or not as expected. */
static _always_inline_ bool walk(const struct pycompat *compat, struct pyframes_thread *thread, uintptr_t top,
                                 uint32_t *ret_kept, uint32_t *ret_changed, enum pycompat_shape shape)
{
    uint32_t limit = thread->count;
    uintptr_t frame = top;

    thread->fresh_count = 0;
    while (frame) {
        uint32_t at = find_place(thread, frame, limit);
        if (at == NOWHERE) {
            if (!push_fresh(thread, frame))
                return false;
            frame = back_of(frame, shape);
            continue;
        }
        uint32_t changed = at + 1, broken = compare_places(compat, thread, at, &changed, shape);
        if (likely(broken == NOWHERE)) {
            *ret_kept = at + 1;
            *ret_changed = changed;
            return true;
        }
        for (uint32_t i = at + 1; i-- > broken;)
            if (!push_fresh(thread, thread->places[i].frame))
                return false;
        limit = broken;
        frame = back_of(thread->places[broken].frame, shape);
    }
    *ret_kept = *ret_changed = 0;
    return true;
}

/* The innermost frames of a chain that is too long to be known as a whole. */
static _always_inline_ bool walk_open(struct pyframes_thread *thread, uintptr_t top, enum pycompat_shape shape)
{
    thread->fresh_count = 0;
    for (uintptr_t frame = top; frame && thread->fresh_count < PLACES_OPEN; frame = back_of(frame, shape))
        if (!push_fresh(thread, frame))
            return false;
    return true;
}

#endif
