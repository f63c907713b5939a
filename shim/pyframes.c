/* SPDX-License-Identifier: MIT
 *
 * Each thread keeps the stack of its last capture, root first: for every frame its address, its position, and its node. A
 * new capture walks from the innermost frame until it meets a frame of that stack, and then compares, one by one, what lies
 * below with what memory holds now: links, code and positions. Only frames from the lowest difference on get new nodes.
 * The comparison follows links that it has just read, never a pointer that is merely remembered, so it cannot meet freed
 * frames; and it looks at everything that a node is made of, so frames that were freed and made again at the same address
 * cannot be mistaken. A code object that is freed makes all threads forget (codes_generation).
 *
 * What is left of earlier, deeper stacks above the current one stays in the arrays: when the same frame is pushed again, its
 * node is found there, or else among those that the thread made lately. Most captures differ from the last one in the position of
 * the innermost frame alone (capture_same): it gets no node here, the caller knows the whole stack by that frame and the node
 * below it (struct python_stack).
 *
 * Of a stack deeper than the limit, the frames below the kept ones are only counted (their links are compared, no more), and
 * of one with more than PLACES_MAX frames the innermost PLACES_OPEN are known. */
#ifdef __GNUC__
#pragma GCC optimize("omit-frame-pointer") /* no stack is walked from here, and the hot path needs the register */
#endif

#include "pyframes.h"

#include "arena.h"
#include "codes.h"
#include "ledger.h"
#include "pyapi.h"
#include "pycompat.h"
#include "pyrecent.h"
#include "pysame.h"
#include "stacks.h"

#include <errno.h>

#define THREAD_INTERPRETER 16u /* in a thread state, in all versions: its interpreter */

_hot_data_ struct pycompat pyframes_compat;
static bool active;
static unsigned depth_limit;
static bool program_started;
static void *(*main_interpreter)(void); /* may be NULL */

/* ---- the thread's state ---- */

/* A state of a subinterpreter may have been made by another thread than the one that uses it. */
static bool is_of_subinterpreter(uintptr_t state)
{
    return main_interpreter && pycompat_plausible(state) &&
           pycompat_load(state, THREAD_INTERPRETER) != (uintptr_t)main_interpreter();
}

/* Since 3.12 the current state is the calling thread's own by where it is kept. */
bool pyframes_attached(void)
{
    if (!active)
        return false;
    if (!pyframes_compat.runtime_thread)
        return pyframes_compat.current_thread_state() != NULL;
    uintptr_t state = holder_state(&pyframes_compat);
    return state && (is_own_state(&pyframes_compat, state) || is_of_subinterpreter(state));
}

/* ---- nodes ---- */

/* The id of the code that runs at place `i`; 0: none to be had. */
static inline uint32_t find_code(struct pyframes_thread *thread, uint32_t i)
{
    struct place *place = &thread->places[i];
    uint32_t *id = &thread->known[i].id;
    uintptr_t code = code_of(&pyframes_compat, place->frame, pyframes_compat.shape);

    if (code == place->code)
        return *id;
    *id = codes_id(&pyframes_compat, code);
    place->code = *id && *id != CODES_INTERNAL ? code : NO_CODE;
    return *id;
}

static _always_inline_ enum place_kind find_kind(struct pyframes_thread *thread, uint32_t i, enum pycompat_shape shape)
{
    if (shape != SHAPE_312)
        return PLACE_FRAME;
    if (pycompat_load8(thread->places[i].frame, pyframes_compat.frame_owner) >= pyframes_compat.entry_owner)
        return PLACE_ENTRY;
    return unlikely(find_code(thread, i) == CODES_INTERNAL) ? PLACE_INTERNAL : PLACE_FRAME;
}

static _always_inline_ void append_fresh(struct pyframes_thread *thread, uint32_t kept, enum pycompat_shape shape)
{
    uint32_t i = kept, level = kept ? thread->known[kept - 1].level : 0;

    for (; thread->high < i + thread->fresh_count; thread->high++)
        thread->places[thread->high].code = NO_CODE;
    for (uint32_t left = thread->fresh_count; left-- > 0; i++) {
        thread->places[i].frame = thread->fresh[left];
        thread->places[i].close = find_close(&thread->places[i], shape);
        *hint_of(thread, thread->fresh[left]) = (uint16_t)i;
        thread->known[i].kind = find_kind(thread, i, shape);
        if (shape == SHAPE_312 && thread->known[i].kind != PLACE_FRAME)
            thread->places[i].code = NO_CODE;
        level += thread->known[i].kind == PLACE_FRAME;
        thread->known[i].level = (uint16_t)level;
    }
    thread->count = i;
}

/* Chooses the places that get nodes. Returns the first of them whose node must be made. */
static uint32_t choose_start(struct pyframes_thread *thread, uint32_t kept, uint32_t changed)
{
    const struct known *known = thread->known;
    uint32_t total = known[thread->count - 1].level;
    uint32_t cut = total > depth_limit ? total - depth_limit : 0, start = 0;

    if (likely(cut == thread->cut && (kept > thread->start || (!cut && !thread->start))))
        return MAX(changed, thread->start);
    if (cut) /* the first place above so many frames */
        for (start = thread->count - 1; known[start].level > cut + 1 || known[start].kind != PLACE_FRAME;)
            start--;
    thread->cut = cut;
    thread->start = start;
    return start;
}

/* Makes a node of place `i` recent, and returns it, or NULL. */
static struct recent *learn_node(struct pyframes_thread *thread, uint32_t i, uint32_t parent, uint32_t meta)
{
    const struct place *place = &thread->places[i];
    uintptr_t code =
        pyframes_compat.shape == SHAPE_OBJECTS ? code_of(&pyframes_compat, place->frame, SHAPE_OBJECTS) : 0;
    struct recent *near = recent_find_near(thread, place->position, parent, meta, code);

    if (near)
        return near;
    uint32_t id = find_code(thread, i);

    if (!id || id == CODES_INTERNAL)
        return NULL;
    uint64_t key = (uint64_t)id << 32 | offset_of(&pyframes_compat, place->position, place->code);
    uint32_t node = stacks_node(parent, key, meta);
    if (!node)
        return NULL;
    return recent_learn(thread,
                        &(struct recent){place->position, place->code, parent, node, id, recent_kind(thread, meta)});
}

/* Gives place `i` the node of a frame called from the node `parent`. False: there is none to be had. */
static _always_inline_ bool find_node(struct pyframes_thread *thread, uint32_t i, uint32_t parent, uint64_t position,
                                      enum pycompat_shape shape)
{
    struct place *place = &thread->places[i];
    struct known *known = &thread->known[i];
    uintptr_t code = shape == SHAPE_OBJECTS ? code_of(&pyframes_compat, place->frame, shape) : place->code;
    uint32_t meta = meta_of(thread, i, position, shape);

    if (place->position == position && place->code == code && known->parent == parent && known->meta == meta)
        return true; /* left over from an earlier stack, whose nodes were the same up to here */
    place->position = position;
    place->entry = position >> 63;
    struct recent *recent = recent_of(thread, position, parent);
    if (unlikely(!is_recent(thread, recent, position, parent, meta) ||
                 (shape == SHAPE_OBJECTS && recent->code != code)) &&
        !(recent = learn_node(thread, i, parent, meta))) {
        known->meta = 0;
        return false;
    }
    place->code = recent->code;
    place->node = recent->node;
    known->id = recent->id;
    known->parent = parent;
    known->meta = meta;
    return true;
}

/* The same for any place, which may be of a kind that has no node. */
static _always_inline_ bool make_node(struct pyframes_thread *thread, uint32_t i, uint32_t parent,
                                      enum pycompat_shape shape)
{
    struct place *place = &thread->places[i];
    struct known *known = &thread->known[i];
    uint64_t position = position_of(&pyframes_compat, place->frame, shape);

    if (shape != SHAPE_312 || known->kind == PLACE_FRAME)
        return find_node(thread, i, parent, position, shape);
    place->position = position;
    place->node = parent;
    known->meta = 0;
    return known->kind == PLACE_ENTRY || find_code(thread, i) == CODES_INTERNAL;
}

/* Looks whether a new root is the program's own code. */
static _cold_ void notice_start(struct pyframes_thread *thread)
{
    uint32_t i = 0;

    while (i < thread->count && thread->known[i].kind != PLACE_FRAME)
        i++;
    if (thread->open || i == thread->count)
        return;
    uint32_t id = find_code(thread, i);
    if (id && codes_begins_program(id))
        __atomic_store_n(&program_started, true, __ATOMIC_RELAXED);
}

static inline uint32_t cut_node(const struct pyframes_thread *thread)
{
    return thread->cut ? stacks_node(0, thread->open ? 0 : thread->cut, NODE_CUT) : 0;
}

static _cold_ void forget_stack(struct pyframes_thread *thread)
{
    for (uint32_t i = 0; i < thread->high; i++) {
        thread->places[i].code = NO_CODE;
        thread->known[i].meta = 0;
    }
    recent_forget(thread);
    thread->count = thread->start = thread->cut = 0;
    thread->open = thread->whole = false;
    thread->tip = &thread->nowhere;
    thread->generation = __atomic_load_n(&codes_generation, __ATOMIC_RELAXED);
}

/* make_node for the innermost place, which needs no node if its stack can be told otherwise. */
static _always_inline_ bool make_tip(struct pyframes_thread *thread, uint32_t i, uint32_t parent,
                                     struct python_stack *ret, enum pycompat_shape shape)
{
    struct place *place = &thread->places[i];
    struct known *known = &thread->known[i];
    uint64_t position = position_of(&pyframes_compat, place->frame, shape);

    if (unlikely(known->kind != PLACE_FRAME || code_of(&pyframes_compat, place->frame, shape) != place->code)) {
        if (!make_node(thread, i, parent, shape))
            return false;
        *ret = known->kind == PLACE_FRAME ? stack_at(&pyframes_compat, thread, i, parent, position, shape)
                                          : (struct python_stack){0, place->node};
        return true;
    }
    if (place->position != position || known->parent != parent || known->meta != meta_of(thread, i, position, shape))
        place->position = NO_POSITION;
    *ret = stack_at(&pyframes_compat, thread, i, parent, position, shape);
    return true;
}

static _always_inline_ struct python_stack make_nodes(struct pyframes_thread *thread, uint32_t kept, uint32_t changed,
                                                      enum pycompat_shape shape)
{
    struct python_stack stack = {0, 0};

    append_fresh(thread, kept, shape);
    if (unlikely(!program_started) && kept < 2) /* a place 0 may be a C entry */
        notice_start(thread);
    uint32_t last = thread->count - 1, from = choose_start(thread, kept, changed);
    from = MIN(from, last);
    thread->whole = !thread->cut && !thread->open;
    thread->tip = thread->whole ? &thread->places[last] : &thread->nowhere;
    uint32_t parent = from > thread->start ? thread->places[from - 1].node : cut_node(thread);

    if (unlikely(!parent && thread->cut)) { /* no room for it: without it the stack would seem whole */
        forget_stack(thread);
        return stack;
    }
    for (uint32_t i = from; i < last; i++) {
        if (unlikely(!make_node(thread, i, parent, shape))) {
            forget_stack(thread);
            return stack;
        }
        parent = thread->places[i].node;
    }
    if (unlikely(!make_tip(thread, last, parent, &stack, shape)))
        forget_stack(thread);
    thread->tip_key = place_key(thread, last, shape);
    return stack;
}

/* The same for the first `kept` places, of which at most the innermost has moved on, when the last stack was whole. */
static _always_inline_ struct python_stack make_shorter(struct pyframes_thread *thread, uint32_t kept,
                                                        enum pycompat_shape shape)
{
    struct python_stack stack = {0, 0};
    const struct place *tip = &thread->places[kept - 1];

    thread->count = kept;
    thread->tip = tip;
    if (unlikely(!make_tip(thread, kept - 1, tip[-1].node, &stack, shape)))
        forget_stack(thread);
    thread->tip_key = place_key(thread, kept - 1, shape);
    return stack;
}

static inline bool is_empty(struct python_stack stack)
{
    return !stack.frame && !stack.parent;
}

/* ---- captures ---- */

static _cold_ struct python_stack capture_anew(struct pyframes_thread *thread, uintptr_t top, enum pycompat_shape shape)
{
    uint32_t kept, changed;

    forget_stack(thread);
    if (!walk(&pyframes_compat, thread, top, &kept, &changed, shape)) {
        if (thread->fresh_count < PLACES_MAX || !walk_open(thread, top, shape))
            return (struct python_stack){0, 0};
        thread->open = true;
    }
    return make_nodes(thread, 0, 0, shape);
}

static _always_inline_ struct python_stack capture_changed(struct pyframes_thread *thread, uintptr_t top,
                                                           enum pycompat_shape shape)
{
    uint32_t kept, changed;

    if (unlikely(!walk(&pyframes_compat, thread, top, &kept, &changed, shape) ||
                 kept + thread->fresh_count > PLACES_MAX))
        return capture_anew(thread, top, shape);
    if (unlikely(thread->open) && kept + thread->fresh_count <= 2 * depth_limit)
        return capture_anew(thread, top, shape);
    struct python_stack stack = {0, 0};
    if (!thread->fresh_count && changed + 1 >= kept && thread->whole && thread->known[kept - 1].kind == PLACE_FRAME)
        stack = make_shorter(thread, kept, shape);
    else
        stack = make_nodes(thread, kept, changed, shape);
    return likely(!is_empty(stack)) ? stack : capture_anew(thread, top, shape);
}

/* The stack with the innermost frame `top`, if that is the last one's, of which only the inner part is known, and that is as it
 * was. Else it is empty. */
static _always_inline_ struct python_stack capture_part(struct pyframes_thread *thread, uintptr_t top,
                                                        enum pycompat_shape shape)
{
    struct python_stack stack = {0, 0};
    const struct place *start = &thread->places[thread->start], *tip = &thread->places[thread->count - 1];

    if (!thread->cut || thread->open || tip->frame != top || tip == start ||
        !is_same_below(&pyframes_compat, start, false, tip, shape) ||
        thread->known[tip - thread->places].kind != PLACE_FRAME)
        return stack;
    if (unlikely(!make_tip(thread, thread->count - 1, tip[-1].node, &stack, shape)))
        forget_stack(thread);
    return stack;
}

/* The stack with the innermost frame `top` (0: it is not known yet), whatever has become of the last one. */
static _always_inline_ struct python_stack capture(struct pyframes_thread *thread, uintptr_t top,
                                                   enum pycompat_shape shape)
{
    if (!top && !(top = top_frame(&pyframes_compat, thread, shape)))
        return (struct python_stack){0, 0};
    if (unlikely(thread->generation != __atomic_load_n(&codes_generation, __ATOMIC_RELAXED)))
        forget_stack(thread);
    struct python_stack stack = {0, 0};
    if (!thread->whole && thread->count)
        stack = capture_part(thread, top, shape);
    return is_empty(stack) ? capture_changed(thread, top, shape) : stack;
}

static _noinline_ struct python_stack capture_objects(struct pyframes_thread *thread, uintptr_t top)
{
    return capture(thread, top, SHAPE_OBJECTS);
}

static _noinline_ struct python_stack capture_311(struct pyframes_thread *thread, uintptr_t top)
{
    return capture(thread, top, SHAPE_311);
}

static _noinline_ struct python_stack capture_312(struct pyframes_thread *thread, uintptr_t top)
{
    return capture(thread, top, SHAPE_312);
}

static struct python_stack capture_same_objects(struct pyframes_thread *thread)
{
    return pysame_capture(thread, SHAPE_OBJECTS, capture_objects);
}

static struct python_stack capture_same_311(struct pyframes_thread *thread)
{
    return pysame_capture(thread, SHAPE_311, capture_311);
}

/* The same for processors with registers in which `words` has room. */
#ifdef __x86_64__
#define WIDE __attribute__((target("avx2")))
#else
#define WIDE
#endif

WIDE _noinline_ struct python_stack pysame_otherwise_wide(struct pyframes_thread *thread, uintptr_t top)
{
    return capture(thread, top, SHAPE_311);
}

WIDE static struct python_stack capture_same_311_wide(struct pyframes_thread *thread)
{
    return pysame_capture(thread, SHAPE_311, pysame_otherwise_wide);
}

static struct python_stack capture_same_312(struct pyframes_thread *thread)
{
    return pysame_capture(thread, SHAPE_312, capture_312);
}

static struct python_stack capture_nothing(struct pyframes_thread *thread)
{
    thread->head.held = false;
    return (struct python_stack){0, 0};
}

_hot_data_ struct python_stack (*pyframes_capture)(struct pyframes_thread *thread) = capture_nothing;

_hot_data_ bool pysame_wide;

static bool is_wide(enum pycompat_shape shape)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    return shape == SHAPE_311 && __builtin_cpu_supports("avx2");
#else
    return (void)shape, false;
#endif
}

static struct python_stack (*choose_way(enum pycompat_shape shape))(struct pyframes_thread *thread)
{
    if (is_wide(shape))
        return capture_same_311_wide;
    return shape == SHAPE_OBJECTS ? capture_same_objects : shape == SHAPE_311 ? capture_same_311 : capture_same_312;
}

/* ---- the rest ---- */

int pyframes_init(const struct pyapi *api, unsigned depth)
{
    enum ledger_lack lack;

    active = false;
    pysame_wide = false;
    pyframes_capture = capture_nothing;
    __atomic_fetch_add(&codes_generation, 1, __ATOMIC_RELAXED); /* stacks of another interpreter */
    int r = pycompat_find(api, &pyframes_compat, &lack);
    if (r == 0 && codes_watch(&pyframes_compat) < 0)
        r = -ENOTSUP;
    if (r < 0) {
        ledger_lacks(lack);
        return r;
    }
    depth_limit = MAX(MIN(depth, DEPTH_MAX), 1u);
    main_interpreter = api->main_interpreter;
    pyframes_capture = choose_way(pyframes_compat.shape);
    pysame_wide = is_wide(pyframes_compat.shape);
    active = true;
    return 0;
}

struct pyframes_thread *pyframes_thread_new(void)
{
    struct pyframes_thread *thread = arena_alloc(sizeof(*thread));

    if (thread) {
        recent_begin(thread);
        thread->nowhere.frame = NO_FRAME;
        pyframes_thread_reset(thread);
    }
    return thread;
}

void pyframes_thread_reset(struct pyframes_thread *thread)
{
    forget_stack(thread);
    thread->state = 0;
    thread->attached = NO_STATE;
}

bool pyframes_program_started(void)
{
    return __atomic_load_n(&program_started, __ATOMIC_RELAXED);
}

void pyframes_reset(void)
{
    codes_reset();
}
