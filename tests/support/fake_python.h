/* SPDX-License-Identifier: MIT
 *
 * An interpreter made of plain memory, laid out as any supported version has it: for unit tests of what reads interpreters.
 * Sizes and published offsets stand here once more, as the versions' own headers have them. */
#ifndef TEST_FAKE_PYTHON_H
#define TEST_FAKE_PYTHON_H

#include "pyapi.h"
#include "pycompat.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_MINORS 8, 9, 10, 11, 12, 13, 14, 15
#define FAKE_OBJECT 512u

struct fake_sizes {
    uint16_t code, frame, text;
};

/* Index of the first word of groups of _Py_DebugOffsets. */
struct fake_groups {
    unsigned thread, frame, code, object;
};

static struct {
    struct pyapi api;
    struct pycompat compat;
    unsigned minor;
    _Alignas(16) uint8_t runtime[4096];
    _Alignas(16) uint8_t types[6][FAKE_OBJECT]; /* type, code, frame, str, bytes, subclass of str */
    _Alignas(16) uint8_t state[FAKE_OBJECT];
    _Alignas(16) uint8_t cframe[FAKE_OBJECT];
    void *current;
    unsigned deallocated;
} fake;

enum { FAKE_TYPE, FAKE_CODE, FAKE_FRAME, FAKE_STR, FAKE_BYTES, FAKE_SUBCLASS };

static inline void fake_put(void *object, size_t offset, uint64_t value)
{
    memcpy((uint8_t *)object + offset, &value, sizeof(value));
}

static inline void fake_put32(void *object, size_t offset, uint32_t value)
{
    memcpy((uint8_t *)object + offset, &value, sizeof(value));
}

static inline void *fake_type(unsigned type)
{
    return fake.types[type];
}

static inline void *fake_current(void)
{
    return fake.current;
}

static inline void fake_dealloc(void *object)
{
    (void)object;
    fake.deallocated++;
}

static inline void fake_publish(uint32_t hex)
{
    static const struct fake_groups groups[] = {{19, 28, 34, 44}, {22, 31, 39, 50}, {22, 39, 47, 58}};
    static const uint64_t threads[] = {0, 8, 16, 72};
    static const uint64_t frames[] = {8, 0, 56, 80, 74};
    static const uint64_t codes[] = {112, 120, 128, 136, 68, 52, 96, 104, 208};
    static const uint64_t objects[] = {16, 8};
    struct fake_groups group = groups[fake.minor - 13];
    uint64_t *words = (uint64_t *)fake.runtime;

    memcpy(words, "xdebugpy", 8);
    words[1] = hex;
    memcpy(words + group.thread + 1, threads, sizeof(threads));
    memcpy(words + group.frame + 1, frames, sizeof(frames));
    memcpy(words + group.code + 1, codes, sizeof(codes));
    memcpy(words + group.object, objects, sizeof(objects));
    if (fake.minor == 13) {
        words[group.frame + 5] = 70;
        words[group.code + 9] = 200;
    }
}

/* Builds the interpreter; fake.api can still be changed before fake_find. */
static inline void fake_build(unsigned minor)
{
    static const struct fake_sizes sizes[] = {{176, 368, 80}, {176, 368, 80}, {176, 360, 80}, {184, 120, 80},
                                              {192, 120, 64}, {200, 136, 64}, {208, 144, 64}, {208, 144, 64}};
    struct fake_sizes size = sizes[minor - 8];

    memset(&fake, 0, sizeof(fake));
    fake.minor = minor;
    for (unsigned i = 0; i < sizeof(fake.types) / sizeof(fake.types[0]); i++) {
        fake_put(fake_type(i), 8, (uintptr_t)fake_type(FAKE_TYPE));
        fake_put(fake_type(i), 48, (uintptr_t)fake_dealloc);
    }
    fake_put(fake_type(FAKE_CODE), 32, size.code);
    fake_put(fake_type(FAKE_FRAME), 32, size.frame);
    fake_put(fake_type(FAKE_STR), 32, size.text);
    fake_put(fake_type(FAKE_BYTES), 32, 33);
    fake_put(fake_type(FAKE_SUBCLASS), 168, 1u << 28);
    fake.current = fake.state;
    fake.api = (struct pyapi){
        .current_thread_state = fake_current,
        .runtime = fake.runtime,
        .type_type = fake_type(FAKE_TYPE),
        .code_type = fake_type(FAKE_CODE),
        .frame_type = fake_type(FAKE_FRAME),
        .unicode_type = fake_type(FAKE_STR),
        .bytes_type = fake_type(FAKE_BYTES),
        .hex = 0x030000f0 | minor << 16,
    };
    if (minor >= 13)
        fake_publish(fake.api.hex);
}

static inline int fake_find(enum ledger_lack *ret_lack)
{
    return pycompat_find(&fake.api, &fake.compat, ret_lack);
}

/* Makes the calling thread's state the current one, with `frame` as its innermost. */
static inline void fake_enter(const void *frame)
{
    const struct pycompat *compat = &fake.compat;
    void *holder = compat->thread_cframe ? (void *)fake.cframe : fake.state;

    fake_put(fake.state, compat->thread_id, (uint64_t)pthread_self());
    if (compat->thread_cframe)
        fake_put(fake.state, compat->thread_cframe, (uintptr_t)fake.cframe);
    if (compat->runtime_thread)
        fake_put(fake.runtime, compat->runtime_thread, (uintptr_t)fake.state);
    fake_put(holder, compat->thread_frame, (uintptr_t)frame);
}

/* A version in which everything is found. */
static inline void fake_open(unsigned minor)
{
    enum ledger_lack lack;

    fake_build(minor);
    cr_assert_eq(fake_find(&lack), 0, "3.%u", minor);
    fake_enter(NULL);
}

static inline void *fake_object(unsigned type, size_t size)
{
    void *object = aligned_alloc(16, (size + 63) / 16 * 16);
    memset(object, 0, (size + 63) / 16 * 16);
    fake_put(object, 8, (uintptr_t)fake_type(type));
    return object;
}

/* A compact str of `length` characters that are `width` bytes wide. */
static inline void *fake_wide(const void *characters, size_t length, unsigned width, bool ascii)
{
    uint8_t *string = fake_object(FAKE_STR, 80 + length * width);
    fake_put(string, 16, length);
    fake_put32(string, 32, 1u | width << 2 | 32u | (ascii ? 64u : 0));
    memcpy(string + (ascii ? fake.compat.text_ascii : fake.compat.text_other), characters, length * width);
    return string;
}

static inline void *fake_text(const char *text)
{
    return fake_wide(text, strlen(text), 1, true);
}

static inline void *fake_bytes(const void *data, size_t size)
{
    uint8_t *bytes = fake_object(FAKE_BYTES, 40 + size);
    fake_put(bytes, 16, size);
    memcpy(bytes + 32, data, size);
    return bytes;
}

static inline void fake_fill_code(void *code, void *file, const char *name, int line, const char *table)
{
    const struct pycompat *compat = &fake.compat;

    memset(code, 0, FAKE_OBJECT);
    fake_put(code, 8, (uintptr_t)fake_type(FAKE_CODE));
    fake_put(code, compat->code_file, (uintptr_t)file);
    fake_put(code, compat->code_name, (uintptr_t)fake_text(name));
    if (compat->code_qualname) {
        char qualname[256];
        snprintf(qualname, sizeof(qualname), "Class.%s", name);
        fake_put(code, compat->code_qualname, (uintptr_t)fake_text(qualname));
    }
    fake_put32(code, compat->code_first_line, (uint32_t)line);
    fake_put(code, compat->code_table, (uintptr_t)fake_bytes(table, strlen(table)));
}

static inline void *fake_code(const char *file, const char *name, int line, const char *table)
{
    void *code = fake_object(FAKE_CODE, FAKE_OBJECT);
    fake_fill_code(code, fake_text(file), name, line, table);
    return code;
}

/* Puts the frame at byte `offset` of its code. */
static inline void fake_move(void *frame, uint32_t offset)
{
    const struct pycompat *compat = &fake.compat;

    if (compat->shape == SHAPE_OBJECTS)
        fake_put32(frame, compat->frame_instr, offset == NODE_NOT_BEGUN ? offset : offset / compat->lasti_unit);
    else
        fake_put(frame, compat->frame_instr,
                 (pycompat_load((uintptr_t)frame, compat->frame_code) & ~(uintptr_t)compat->tag_mask) +
                     compat->code_bytes + (uint64_t)(int32_t)offset);
}

static inline void fake_fill_frame(void *frame, void *back, void *code, uint32_t offset)
{
    const struct pycompat *compat = &fake.compat;

    memset(frame, 0, FAKE_OBJECT);
    fake_put(frame, compat->frame_back, (uintptr_t)back);
    fake_put(frame, compat->frame_code, (uintptr_t)code | (compat->tag_mask ? 1 : 0));
    fake_move(frame, offset);
}

/* A frame in `code`, called from the Python frame `back`. */
static inline void *fake_frame(void *back, void *code, uint32_t offset)
{
    void *frame = fake_object(FAKE_FRAME, FAKE_OBJECT);
    fake_fill_frame(frame, back, code, offset);
    return frame;
}

/* Begins a run of a C evaluation function: what the first frame of it has as its caller. */
static inline void *fake_entry(void *back)
{
    const struct pycompat *compat = &fake.compat;

    if (compat->shape != SHAPE_312)
        return back;
    uint8_t *frame = fake_frame(back, NULL, 0);
    frame[compat->frame_owner] = compat->entry_owner;
    return frame;
}

/* The first frame of a run of a C evaluation function. */
static inline void *fake_entered(void *back, void *code, uint32_t offset)
{
    uint8_t *frame = fake_frame(fake_entry(back), code, offset);
    if (fake.compat.shape == SHAPE_311)
        frame[fake.compat.frame_entry] = 1;
    return frame;
}

#endif
