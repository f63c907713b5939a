/* SPDX-License-Identifier: MIT */
#include "pycompat.h"

#include "pyapi.h"

#include <errno.h>

#define TP_BASICSIZE 32
#define TP_FLAGS 168
#define TP_FLAG_UNICODE (1u << 28)

#define TEXT_LENGTH 16
#define TEXT_STATE 32
#define TEXT_COMPACT 32u
#define TEXT_ASCII 64u

#define BYTES_BASICSIZE 33

static const struct pycompat versions[] = {
    {
        .minor = 8,
        .runtime_finalizing = 16,
        .shape = SHAPE_OBJECTS,
        .table_kind = CODE_LNOTAB,
        .lasti_unit = 1,
        .runtime_thread = 1368,
        .thread_id = 176,
        .thread_frame = 24,
        .frame_back = 24,
        .frame_code = 32,
        .frame_instr = 104,
        .code_first_line = 40,
        .code_file = 104,
        .code_name = 112,
        .code_table = 120,
        .text_ascii = 48,
        .text_other = 72,
        .code_size = 176,
        .frame_size = 368,
        .text_size = 80,
    },
    {
        .minor = 9,
        .runtime_finalizing = 16,
        .shape = SHAPE_OBJECTS,
        .table_kind = CODE_LNOTAB,
        .lasti_unit = 1,
        .runtime_thread = 568,
        .thread_id = 176,
        .thread_frame = 24,
        .frame_back = 24,
        .frame_code = 32,
        .frame_instr = 104,
        .code_first_line = 40,
        .code_file = 104,
        .code_name = 112,
        .code_table = 120,
        .text_ascii = 48,
        .text_other = 72,
        .code_size = 176,
        .frame_size = 368,
        .text_size = 80,
    },
    {
        .minor = 10,
        .runtime_finalizing = 16,
        .shape = SHAPE_OBJECTS,
        .table_kind = CODE_LINETABLE_310,
        .lasti_unit = 2,
        .runtime_thread = 568,
        .thread_id = 176,
        .thread_frame = 24,
        .frame_back = 24,
        .frame_code = 32,
        .frame_instr = 96,
        .code_first_line = 40,
        .code_file = 104,
        .code_name = 112,
        .code_table = 120,
        .text_ascii = 48,
        .text_other = 72,
        .code_size = 176,
        .frame_size = 360,
        .text_size = 80,
    },
    {
        .minor = 11,
        .runtime_finalizing = 24,
        .shape = SHAPE_311,
        .table_kind = CODE_LOCATIONS_311,
        .runtime_thread = 576,
        .thread_id = 152,
        .thread_cframe = 56,
        .thread_frame = 8,
        .frame_back = 48,
        .frame_code = 32,
        .frame_instr = 56,
        .frame_entry = 68,
        .code_first_line = 72,
        .code_file = 112,
        .code_name = 120,
        .code_qualname = 128,
        .code_table = 136,
        .code_bytes = 184,
        .text_ascii = 48,
        .text_other = 72,
        .code_size = 184,
        .frame_size = 120,
        .text_size = 80,
    },
    {
        .minor = 12,
        .runtime_finalizing = 24,
        .shape = SHAPE_312,
        .table_kind = CODE_LOCATIONS_311,
        .entry_owner = 3,
        .thread_id = 136,
        .thread_cframe = 56,
        .thread_frame = 0,
        .frame_back = 8,
        .frame_code = 0,
        .frame_instr = 56,
        .frame_owner = 70,
        .code_first_line = 68,
        .code_file = 112,
        .code_name = 120,
        .code_qualname = 128,
        .code_table = 136,
        .code_bytes = 192,
        .text_ascii = 40,
        .text_other = 56,
        .code_size = 192,
        .frame_size = 120,
        .text_size = 64,
    },
    {
        .minor = 13,
        .runtime_finalizing = 608,
        .shape = SHAPE_312,
        .table_kind = CODE_LOCATIONS_311,
        .entry_owner = 3,
        .thread_id = 152,
        .thread_frame = 72,
        .frame_back = 8,
        .frame_code = 0,
        .frame_instr = 56,
        .frame_owner = 70,
        .code_first_line = 68,
        .code_file = 112,
        .code_name = 120,
        .code_qualname = 128,
        .code_table = 136,
        .code_bytes = 200,
        .text_ascii = 40,
        .text_other = 56,
        .code_size = 200,
        .frame_size = 136,
        .text_size = 64,
    },
    {
        .minor = 14,
        .runtime_finalizing = 784,
        .shape = SHAPE_312,
        .table_kind = CODE_LOCATIONS_311,
        .tag_mask = 3,
        .entry_owner = 3,
        .thread_id = 152,
        .thread_frame = 72,
        .frame_back = 8,
        .frame_code = 0,
        .frame_instr = 56,
        .frame_owner = 74,
        .code_first_line = 68,
        .code_file = 112,
        .code_name = 120,
        .code_qualname = 128,
        .code_table = 136,
        .code_bytes = 208,
        .text_ascii = 40,
        .text_other = 56,
        .code_size = 208,
        .text_size = 64,
    },
    {
        .minor = 15,
        .runtime_finalizing = 912,
        .shape = SHAPE_312,
        .table_kind = CODE_LOCATIONS_311,
        .tag_mask = 3,
        .entry_owner = 3,
        .thread_id = 176,
        .thread_frame = 72,
        .frame_back = 8,
        .frame_code = 0,
        .frame_instr = 56,
        .frame_owner = 74,
        .code_first_line = 68,
        .code_file = 112,
        .code_name = 120,
        .code_qualname = 128,
        .code_table = 136,
        .code_bytes = 208,
        .text_ascii = 40,
        .text_other = 56,
        .code_size = 208,
        .text_size = 64,
    },
};

/* ---- checks against what the interpreter says of itself ---- */

static bool has_basicsize(const uint8_t *type, uint64_t size)
{
    return size == 0 || (type && pycompat_load((uintptr_t)type, TP_BASICSIZE) == size);
}

/* The type objects are static data: they can be asked before the interpreter is initialised. */
static bool agrees_with_types(const struct pycompat *compat, const struct pyapi *api)
{
    if (!api->type_type || !api->code_type || !api->unicode_type || !api->bytes_type)
        return false;
    if (pycompat_load((uintptr_t)api->code_type, PYCOMPAT_OB_TYPE) != (uintptr_t)api->type_type)
        return false;
    return has_basicsize(api->code_type, compat->code_size) && has_basicsize(api->frame_type, compat->frame_size) &&
           has_basicsize(api->unicode_type, compat->text_size) && has_basicsize(api->bytes_type, BYTES_BASICSIZE);
}

/* _Py_DebugOffsets, at the start of _PyRuntime since 3.13: "xdebugpy", the version, whether free-threaded, then groups of
 * offsets. The groups grow and move with every minor version while the entries of one keep their order, so the groups are
 * found by what stands in them: what the table says must stand there in a row. */
#define PUBLISHED_COOKIE 0x7970677562656478ULL /* "xdebugpy" */
#define PUBLISHED_WORDS 73u                    /* in 3.13; later versions have more, within _PyRuntime */
#define ANY UINT64_MAX

static bool publishes(const uint64_t *words, const uint64_t *row, unsigned length)
{
    for (unsigned i = 3; i + length <= PUBLISHED_WORDS; i++) {
        unsigned same = 0;
        while (same < length && (row[same] == ANY || words[i + same] == row[same]))
            same++;
        if (same == length)
            return true;
    }
    return false;
}

#define PUBLISHES(words, ...) \
    publishes(words, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static bool agrees_with_published(const struct pycompat *compat, const uint64_t *words)
{
    return PUBLISHES(words, 0, 8, 16, compat->thread_frame) && /* prev, next, interp, current_frame */
           PUBLISHES(words, compat->frame_back, compat->frame_code, compat->frame_instr, ANY, compat->frame_owner) &&
           PUBLISHES(words, compat->code_file, compat->code_name, compat->code_qualname, compat->code_table,
                     compat->code_first_line, ANY, ANY, ANY, compat->code_bytes) &&
           PUBLISHES(words, 16, PYCOMPAT_OB_TYPE);
}

static int check_published(const struct pycompat *compat, const struct pyapi *api, enum ledger_lack *ret_lack)
{
    uint64_t words[PUBLISHED_WORDS];

    if (!api->runtime)
        return -ENOTSUP;
    memcpy(words, api->runtime, sizeof(words));
    if (words[0] != PUBLISHED_COOKIE || words[1] != api->hex)
        return -ENOTSUP;
    if (words[2]) {
        *ret_lack = LACK_FREE_THREADED;
        return -ENOTSUP;
    }
    return agrees_with_published(compat, words) ? 0 : -ENOTSUP;
}

static const struct pycompat *find_version(uint32_t hex)
{
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
        if (hex >> 16 == (0x300u | versions[i].minor))
            return &versions[i];
    return NULL;
}

#define IS_COMMON(compat, field) (PYCOMPAT_FIELD(compat, (compat)->shape, field) == (compat)->field)

static bool agrees_with_common(const struct pycompat *compat)
{
    return IS_COMMON(compat, thread_id) && IS_COMMON(compat, thread_cframe) && IS_COMMON(compat, thread_frame) &&
           IS_COMMON(compat, frame_back) && IS_COMMON(compat, frame_code) && IS_COMMON(compat, frame_instr) &&
           IS_COMMON(compat, frame_entry) && IS_COMMON(compat, code_bytes);
}

int pycompat_find(const struct pyapi *api, struct pycompat *ret, enum ledger_lack *ret_lack)
{
    const struct pycompat *compat = sizeof(void *) == 8 ? find_version(api->hex) : NULL;

    *ret_lack = LACK_PYTHON_UNKNOWN;
    if (api->hex >> 16 >= 0x30d) {
        /* A version to come may be free-threaded too, which matters for more than stacks. */
        static const struct pycompat none;
        int r = check_published(compat ? compat : &none, api, ret_lack);
        if (r < 0)
            return r;
    }
    if (!compat || (compat->runtime_thread ? !api->runtime : !api->current_thread_state))
        return -ENOTSUP;
    if (!agrees_with_common(compat) || !agrees_with_types(compat, api))
        return -ENOTSUP;
    *ret = *compat;
    ret->runtime = api->runtime;
    ret->current_thread_state = api->current_thread_state;
    ret->own_thread_state = api->own_thread_state;
    ret->is_initialized = api->is_initialized;
    ret->code_type = (uintptr_t)api->code_type;
    ret->unicode_type = (uintptr_t)api->unicode_type;
    ret->bytes_type = (uintptr_t)api->bytes_type;
    return 0;
}

/* ---- strings and bytes ---- */

static bool is_string(const struct pycompat *compat, uintptr_t object)
{
    if (!pycompat_plausible(object))
        return false;
    uintptr_t type = pycompat_load(object, PYCOMPAT_OB_TYPE);
    return type == compat->unicode_type ||
           (pycompat_plausible(type) && (pycompat_load(type, TP_FLAGS) & TP_FLAG_UNICODE));
}

static size_t put_character(char *to, uint32_t c)
{
    static const char digits[] = "0123456789abcdef";

    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c >= 0xd800 && c < 0xe000) {
        memcpy(to, "\\u", 2);
        for (unsigned i = 0; i < 4; i++)
            to[2 + i] = digits[c >> (12 - 4 * i) & 15];
        return 6;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | (c >> 18 & 7));
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static uint32_t character_at(uintptr_t data, unsigned width, size_t i)
{
    uint16_t two;

    switch (width) {
    case 1:
        return pycompat_load8(data, i);
    case 2:
        memcpy(&two, (const void *)(data + i * 2), sizeof(two));
        return two;
    default:
        return pycompat_load32(data, i * 4);
    }
}

ssize_t pycompat_text(const struct pycompat *compat, uintptr_t string, char *buffer, size_t size)
{
    if (!is_string(compat, string))
        return -1;
    uint64_t length = pycompat_load(string, TEXT_LENGTH);
    uint32_t state = pycompat_load32(string, TEXT_STATE);
    unsigned width = state >> 2 & 7;
    uintptr_t data = string + (state & TEXT_ASCII ? compat->text_ascii : compat->text_other);

    if (length > (uint64_t)1 << 40 || (width != 1 && width != 2 && width != 4))
        return -1;
    if (!(state & TEXT_COMPACT)) { /* a subclass of str: the characters are elsewhere */
        data = pycompat_load(string, compat->text_other);
        if (data < 4096)
            return -1;
    }
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        char bytes[8];
        size_t count = put_character(bytes, character_at(data, width, i));
        if (count > size - used)
            break;
        memcpy(buffer + used, bytes, count);
        used += count;
    }
    return (ssize_t)used;
}

const void *pycompat_bytes(const struct pycompat *compat, uintptr_t bytes, size_t max, size_t *ret_size)
{
    if (!pycompat_plausible(bytes) || pycompat_load(bytes, PYCOMPAT_OB_TYPE) != compat->bytes_type)
        return NULL;
    uint64_t size = pycompat_load(bytes, PYCOMPAT_OB_SIZE);
    if (size > max)
        return NULL;
    *ret_size = size;
    return (const void *)(bytes + PYCOMPAT_BYTES_DATA);
}

bool pycompat_code_internal(const struct pycompat *compat, const struct pycompat_code *code)
{
    char name[16];

    return compat->shape == SHAPE_312 && code->file == code->name &&
           pycompat_text(compat, code->name, name, sizeof(name)) == 8 && memcmp(name, "__init__", 8) == 0;
}

const uintptr_t *pycompat_finalizing(const struct pyapi *api)
{
    struct pycompat compat;
    enum ledger_lack lack;

    if (!api->runtime || pycompat_find(api, &compat, &lack) < 0)
        return NULL;
    return (const uintptr_t *)(const void *)(api->runtime + compat.runtime_finalizing);
}
