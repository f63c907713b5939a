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
 * node is found there. Most captures differ from the last one in the position of the innermost frame alone (capture_same), and
 * find its node among those that the thread made lately.
 *
 * Of a stack deeper than the limit, the frames below the kept ones are only counted (their links are compared, no more), and
 * of one with more than PLACES_MAX frames the innermost PLACES_OPEN are known. */
#include "pyframes.h"

#include "arena.h"
#include "codes.h"
#include "ledger.h"
#include "machine.h"
#include "pyapi.h"
#include "pycompat.h"
#include "pyplaces.h"
#include "stacks.h"

#include <errno.h>

#define THREAD_INTERPRETER 16u /* in a thread state, in all versions: its interpreter */

static struct pycompat compat;
static bool active;
static unsigned depth_limit;
static bool program_started;
static void *(*main_interpreter)(void); /* may be NULL */

/* ---- the thread's state ---- */

static inline uintptr_t holder_state(void)
{
    return (uintptr_t)__atomic_load_n((const uint64_t *)(compat.runtime + compat.runtime_thread), __ATOMIC_ACQUIRE);
}

static inline bool is_own_state(uintptr_t state)
{
    return pycompat_plausible(state) && pycompat_load(state, compat.thread_id) == machine_thread_self();
}

/* The thread state that the calling thread holds, or 0. Up to 3.11 there is one current state in the process, that of the
 * thread with the GIL, and it says whose it is. */
static inline uintptr_t current_state(struct pyframes_thread *thread)
{
    if (compat.runtime_thread) {
        uintptr_t state = holder_state();
        return state && is_own_state(state) ? state : 0;
    }
    uintptr_t state = (uintptr_t)compat.current_thread_state();
    if (state && state != thread->state) {
        if (!is_own_state(state))
            return 0;
        thread->state = state;
    }
    return state;
}

/* The state of a thread that has given up the GIL (inside a call of ctypes, or a long C function): nobody runs its frames
 * meanwhile, so they can be read. Not once finalization has begun, which frees the states of such threads. */
static uintptr_t detached_state(const struct pyframes_thread *thread)
{
    if (!thread->attached || !compat.own_thread_state || !compat.is_initialized())
        return 0;
    uintptr_t state = (uintptr_t)compat.own_thread_state();
    return state == thread->attached && is_own_state(state) ? state : 0;
}

static inline uintptr_t top_frame(struct pyframes_thread *thread)
{
    uintptr_t holder = current_state(thread);

    thread->held = holder != 0;
    if (likely(holder))
        thread->attached = holder;
    else
        holder = detached_state(thread);

    if (holder && compat.thread_cframe)
        holder = pycompat_load(holder, compat.thread_cframe);
    return holder ? pycompat_load(holder, compat.thread_frame) : 0;
}

bool pyframes_held(const struct pyframes_thread *thread)
{
    return thread->held;
}

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
    if (!compat.runtime_thread)
        return compat.current_thread_state() != NULL;
    uintptr_t state = holder_state();
    return state && (is_own_state(state) || is_of_subinterpreter(state));
}

/* ---- nodes ---- */

/* The id of the code that runs at place `i`; 0: none to be had. */
static inline uint32_t find_code(struct pyframes_thread *thread, uint32_t i)
{
    struct place *place = &thread->places[i];
    struct known *known = &thread->known[i];
    uintptr_t code = code_of(&compat, place->frame);

    if (code != place->code || !known->id) {
        known->id = codes_id(&compat, code);
        place->code = code;
    }
    return known->id;
}

static _always_inline_ enum place_kind find_kind(struct pyframes_thread *thread, uint32_t i, enum pycompat_shape shape)
{
    if (shape != SHAPE_312)
        return PLACE_FRAME;
    if (pycompat_load8(thread->places[i].frame, compat.frame_owner) >= compat.entry_owner)
        return PLACE_ENTRY;
    return unlikely(find_code(thread, i) == CODES_INTERNAL) ? PLACE_INTERNAL : PLACE_FRAME;
}

static _always_inline_ void append_fresh(struct pyframes_thread *thread, uint32_t kept, enum pycompat_shape shape)
{
    uint32_t i = kept, level = kept ? thread->known[kept - 1].level : 0;

    for (uint32_t left = thread->fresh_count; left-- > 0; i++) {
        thread->places[i].frame = thread->fresh[left];
        *hint_of(thread, thread->fresh[left]) = (uint16_t)i;
        thread->known[i].kind = find_kind(thread, i, shape);
        level += thread->known[i].kind == PLACE_FRAME;
        thread->known[i].level = level;
    }
    thread->count = i;
    if (i > thread->high)
        thread->high = i;
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

static _always_inline_ bool is_entry(const struct pyframes_thread *thread, uint32_t i, uint64_t position,
                                     enum pycompat_shape shape)
{
    if (shape == SHAPE_312)
        return i == 0 || thread->known[i - 1].kind == PLACE_ENTRY;
    return shape == SHAPE_OBJECTS || position >> 63;
}

/* More room for what is recent, if there is memory. */
static _cold_ void grow_recent(struct pyframes_thread *thread)
{
    struct recent *recent = arena_map(sizeof(*recent) << RECENT_MANY_SHIFT);

    if (!recent)
        return;
    thread->recent = recent;
    thread->recent_shift = 32 - RECENT_MANY_SHIFT;
}

/* Makes `recent` the node of place `i`, or returns false. */
static bool learn_node(struct pyframes_thread *thread, uint32_t i, uint32_t parent, uint32_t meta,
                       struct recent *recent)
{
    const struct place *place = &thread->places[i];
    uint32_t id = find_code(thread, i);

    if (!id || id == CODES_INTERNAL)
        return false;
    uint64_t key = (uint64_t)id << 32 | offset_of(&compat, place->position, place->code);
    uint32_t node = stacks_node(parent, key, meta);
    if (!node)
        return false;
    *recent = (struct recent){place->position, place->code, parent, meta, node, id, thread->stamp};
    if (unlikely(++thread->recent_learned == RECENT_MANY_AFTER))
        grow_recent(thread);
    return true;
}

/* Gives place `i` the node of a frame called from the node `parent`. False: there is none to be had. */
static _always_inline_ bool find_node(struct pyframes_thread *thread, uint32_t i, uint32_t parent, uint64_t position,
                                      enum pycompat_shape shape)
{
    struct place *place = &thread->places[i];
    struct known *known = &thread->known[i];
    uintptr_t code = shape == SHAPE_OBJECTS ? code_of(&compat, place->frame) : place->code;
    uint32_t meta = NODE_PYTHON | (is_entry(thread, i, position, shape) ? NODE_ENTRY : 0u);

    if (place->position == position && place->code == code && known->parent == parent && known->meta == meta)
        return true; /* left over from an earlier stack, whose nodes were the same up to here */
    place->position = position;
    struct recent *recent = recent_of(thread, position, parent);
    if (unlikely(!is_recent(thread, recent, position, parent, meta) ||
                 (shape == SHAPE_OBJECTS && recent->code != code)) &&
        !learn_node(thread, i, parent, meta, recent)) {
        known->meta = 0;
        return false;
    }
    place->code = recent->code;
    known->node = recent->node;
    known->parent = parent;
    known->meta = meta;
    known->id = recent->id;
    return true;
}

/* The same for any place, which may be of a kind that has no node. */
static _always_inline_ bool make_node(struct pyframes_thread *thread, uint32_t i, uint32_t parent,
                                      enum pycompat_shape shape)
{
    struct place *place = &thread->places[i];
    struct known *known = &thread->known[i];
    uint64_t position = position_of(&compat, place->frame, shape);

    if (shape != SHAPE_312 || known->kind == PLACE_FRAME)
        return find_node(thread, i, parent, position, shape);
    place->position = position;
    known->node = parent;
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
        thread->places[i].code = 0;
        thread->known[i].meta = 0;
    }
    if (!++thread->stamp) { /* all numbers have been used */
        memset(thread->recent, 0, sizeof(*thread->recent) << (32 - thread->recent_shift));
        thread->stamp = 1;
    }
    thread->count = thread->start = thread->cut = 0;
    thread->open = false;
    thread->generation = __atomic_load_n(&codes_generation, __ATOMIC_RELAXED);
}

static _always_inline_ uint32_t make_nodes(struct pyframes_thread *thread, uint32_t kept, uint32_t changed,
                                           enum pycompat_shape shape)
{
    append_fresh(thread, kept, shape);
    if (unlikely(!program_started) && kept < 2) /* a place 0 may be a C entry */
        notice_start(thread);
    uint32_t from = choose_start(thread, kept, changed);
    uint32_t parent = from > thread->start ? thread->known[from - 1].node : cut_node(thread);

    if (unlikely(!parent && thread->cut)) { /* no room for it: without it the stack would seem whole */
        forget_stack(thread);
        return 0;
    }
    for (uint32_t i = from; i < thread->count; i++) {
        if (unlikely(!make_node(thread, i, parent, shape))) {
            forget_stack(thread);
            return 0;
        }
        parent = thread->known[i].node;
    }
    return parent;
}

/* ---- captures ---- */

static _cold_ uint32_t capture_anew(struct pyframes_thread *thread, uintptr_t top, enum pycompat_shape shape)
{
    uint32_t kept, changed;

    forget_stack(thread);
    if (!walk(&compat, thread, top, &kept, &changed, shape)) {
        if (thread->fresh_count < PLACES_MAX || !walk_open(&compat, thread, top))
            return 0;
        thread->open = true;
    }
    return make_nodes(thread, 0, 0, shape);
}

/* The node of a stack that differs from the last one in the position of its innermost frame at most, which may be any of
 * the last one's frames; 0: it is another. */
static _always_inline_ uint32_t capture_same(struct pyframes_thread *thread, uintptr_t top, enum pycompat_shape shape)
{
    uint32_t at = find_place(thread, top, thread->count);

    if (unlikely(at == NOWHERE || at < thread->start || thread->open || (thread->cut && at != thread->count - 1)))
        return 0;
    if (unlikely(!is_same_below(&compat, thread, at, shape)))
        return 0;
    uint64_t position = position_of(&compat, top, shape);
    const struct place *place = &thread->places[at];
    if (position != place->position || (shape == SHAPE_OBJECTS && code_of(&compat, top) != place->code)) {
        if (unlikely(at == thread->start || thread->known[at].kind != PLACE_FRAME))
            return 0;
        if (unlikely(!find_node(thread, at, thread->known[at - 1].node, position, shape))) {
            forget_stack(thread);
            return 0;
        }
    }
    thread->count = at + 1;
    return thread->known[at].node;
}

static _always_inline_ uint32_t capture_changed(struct pyframes_thread *thread, uintptr_t top,
                                                enum pycompat_shape shape)
{
    uint32_t kept, changed;

    if (unlikely(!walk(&compat, thread, top, &kept, &changed, shape) || kept + thread->fresh_count > PLACES_MAX))
        return capture_anew(thread, top, shape);
    if (unlikely(thread->open) && kept + thread->fresh_count <= 2 * depth_limit)
        return capture_anew(thread, top, shape);
    if (likely(!thread->fresh_count && kept == thread->count && changed == kept))
        return thread->known[kept - 1].node;
    uint32_t node = make_nodes(thread, kept, changed, shape);
    return likely(node) ? node : capture_anew(thread, top, shape);
}

static _always_inline_ uint32_t capture(struct pyframes_thread *thread, uintptr_t top, enum pycompat_shape shape)
{
    uint32_t node = capture_same(thread, top, shape);

    return likely(node) ? node : capture_changed(thread, top, shape);
}

uint32_t pyframes_capture(struct pyframes_thread *thread)
{
    if (unlikely(!active)) {
        thread->held = false;
        return 0;
    }
    uintptr_t top = top_frame(thread);
    if (!top)
        return 0;
    if (unlikely(thread->generation != __atomic_load_n(&codes_generation, __ATOMIC_RELAXED)))
        forget_stack(thread);
    switch (compat.shape) {
    case SHAPE_OBJECTS:
        return capture(thread, top, SHAPE_OBJECTS);
    case SHAPE_311:
        return capture(thread, top, SHAPE_311);
    default:
        return capture(thread, top, SHAPE_312);
    }
}

/* ---- the rest ---- */

int pyframes_init(const struct pyapi *api, unsigned depth)
{
    enum ledger_lack lack;

    active = false;
    __atomic_fetch_add(&codes_generation, 1, __ATOMIC_RELAXED); /* stacks of another interpreter */
    int r = pycompat_find(api, &compat, &lack);
    if (r == 0 && codes_watch(&compat) < 0)
        r = -ENOTSUP;
    if (r < 0) {
        ledger_lacks(lack);
        return r;
    }
    depth_limit = MAX(MIN(depth, DEPTH_MAX), 1u);
    main_interpreter = api->main_interpreter;
    active = true;
    return 0;
}

struct pyframes_thread *pyframes_thread_new(void)
{
    struct pyframes_thread *thread = arena_alloc(sizeof(*thread));

    if (thread) {
        thread->recent = thread->first_recent;
        thread->recent_shift = 32 - RECENT_SHIFT;
    }
    return thread;
}

void pyframes_thread_reset(struct pyframes_thread *thread)
{
    forget_stack(thread);
    thread->state = 0;
    thread->attached = 0;
}

bool pyframes_program_started(void)
{
    return __atomic_load_n(&program_started, __ATOMIC_RELAXED);
}

void pyframes_reset(void)
{
    codes_reset();
}
