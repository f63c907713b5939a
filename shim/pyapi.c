/* SPDX-License-Identifier: MIT */
#include "pyapi.h"

#include "compiler.h"

#include <dlfcn.h>
#include <string.h>

/* Functions and data come out of dlsym alike; data symbols give the address of the data. */
static void *look_up(void *handle, const char *name)
{
    return dlsym(handle, name);
}

static const char *parse_number(const char *text, uint32_t *ret_number)
{
    uint32_t number = 0;

    while (*text >= '0' && *text <= '9' && number < 1000)
        number = number * 10 + (uint32_t)(*text++ - '0');
    *ret_number = number;
    return text;
}

/* PY_VERSION_HEX of "3.8.18", "3.15.0a2+", "3.9.0rc1"; 0 when it is none of the kind. */
static uint32_t parse_version(const char *text)
{
    uint32_t parts[3] = {0, 0, 0}, level = 0xf, serial = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        const char *end = parse_number(text, &parts[i]);
        if (end == text || parts[i] > 0xff)
            return 0;
        text = end;
        if (*text == '.')
            text++;
        else
            break;
    }
    if (*text == 'a' || *text == 'b')
        level = (uint32_t)(*text++ - 'a') + 0xa;
    else if (text[0] == 'r' && text[1] == 'c') {
        level = 0xc;
        text += 2;
    }
    if (level != 0xf)
        parse_number(text, &serial);
    return parts[0] << 24 | parts[1] << 16 | parts[2] << 8 | level << 4 | (serial & 0xf);
}

/* Py_GetVersion formats into a buffer of its own and needs no initialised interpreter. */
static bool find_version(void *handle, struct pyapi *api)
{
    const char *(*get_version)(void) = (const char *(*)(void))look_up(handle, "Py_GetVersion");
    const unsigned long *number = look_up(handle, "Py_Version"); /* since 3.11 */
    const char *text = get_version ? get_version() : NULL;

    if (!text)
        return false;
    size_t length = MIN(strcspn(text, " "), sizeof(api->version) - 1);
    memcpy(api->version, text, length);
    api->version[length] = '\0';
    api->hex = number ? (uint32_t)*number : parse_version(api->version);
    return api->hex >= 0x03060000;
}

bool pyapi_find(void *handle, struct pyapi *api)
{
    struct pyapi found;

    memset(&found, 0, sizeof(found));
    found.get_allocator = (void (*)(int, struct py_allocator *))look_up(handle, "PyMem_GetAllocator");
    if (!found.get_allocator)
        return false;
    found.set_allocator = (void (*)(int, struct py_allocator *))look_up(handle, "PyMem_SetAllocator");
    found.get_arena_allocator = (void (*)(struct py_arena_allocator *))look_up(handle, "PyObject_GetArenaAllocator");
    found.set_arena_allocator = (void (*)(struct py_arena_allocator *))look_up(handle, "PyObject_SetArenaAllocator");
    found.is_initialized = (int (*)(void))look_up(handle, "Py_IsInitialized");
    found.current_thread_state = (void *(*)(void))look_up(handle, "PyThreadState_GetUnchecked"); /* since 3.13 */
    if (!found.current_thread_state)
        found.current_thread_state = (void *(*)(void))look_up(handle, "_PyThreadState_UncheckedGet");
    found.own_thread_state = (void *(*)(void))look_up(handle, "PyGILState_GetThisThreadState");
    if (!found.set_allocator || !found.is_initialized || !found.current_thread_state || !find_version(handle, &found))
        return false;
    found.main_interpreter = (void *(*)(void))look_up(handle, "PyInterpreterState_Main");
    found.first_thread_state = (void *(*)(void *))look_up(handle, "PyInterpreterState_ThreadHead");
    found.holds_lock = (int (*)(void))look_up(handle, "PyGILState_Check");
    found.collect = (long (*)(void))look_up(handle, "PyGC_Collect");
    found.add_pending_call = (int (*)(int (*)(void *), void *))look_up(handle, "Py_AddPendingCall");
    found.runtime = look_up(handle, "_PyRuntime");
    found.type_type = look_up(handle, "PyType_Type");
    found.code_type = look_up(handle, "PyCode_Type");
    found.frame_type = look_up(handle, "PyFrame_Type");
    found.unicode_type = look_up(handle, "PyUnicode_Type");
    found.bytes_type = look_up(handle, "PyBytes_Type");
    found.module_type = look_up(handle, "PyModule_Type");
    found.weakref_types[0] = look_up(handle, "_PyWeakref_RefType");
    found.weakref_types[1] = look_up(handle, "_PyWeakref_ProxyType");
    found.weakref_types[2] = look_up(handle, "_PyWeakref_CallableProxyType");
    *api = found;
    return true;
}
