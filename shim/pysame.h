/* SPDX-License-Identifier: MIT
 *
 * The usual case of pyframes_capture, in line with it or with a hook. Part of pyframes.c, whose head says how stacks are kept. */
#ifndef SHIM_PYSAME_H
#define SHIM_PYSAME_H

#include "codes.h"
#include "pyplaces.h"
#include "pystate.h"

/* The interpreter whose frames are read. */
extern _hidden_ struct pycompat pyframes_compat;

/* True: pyframes_capture is pysame_capture(thread, SHAPE_311, pysame_otherwise_wide), and the processor has AVX2. */
extern _hidden_ bool pysame_wide;

struct python_stack pysame_otherwise_wide(struct pyframes_thread *thread, uintptr_t top);

/* Most stacks differ from the last one in the position of the innermost frame at most. All that is not usual is left to
 * `otherwise`, so that there are hardly any registers to save. */
static _always_inline_ struct python_stack pysame_capture(struct pyframes_thread *thread, enum pycompat_shape shape,
                                                          struct python_stack (*otherwise)(struct pyframes_thread *,
                                                                                           uintptr_t))
{
    uintptr_t state;

    if (unlikely(!state_as_before(&pyframes_compat, thread, &state, shape)))
        return otherwise(thread, 0);
    thread->head.held = true;
    const struct place *tip = thread->tip;
    uintptr_t top = frame_of(&pyframes_compat, state, shape);
    if (unlikely(top != tip->frame) ||
        unlikely(thread->generation != __atomic_load_n(&codes_generation, __ATOMIC_RELAXED)) ||
        unlikely(!is_same_below(&pyframes_compat, thread->places, true, tip, shape)) ||
        unlikely(code_of(&pyframes_compat, top, shape) != tip->code))
        return otherwise(thread, top);
    uint64_t position = position_of(&pyframes_compat, top, shape);
    return (struct python_stack){thread->tip_key | position_key(&pyframes_compat, tip, position, shape), tip[-1].node};
}

#endif
