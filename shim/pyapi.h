/* SPDX-License-Identifier: MIT
 *
 * The few names of the CPython C API that the shim uses, looked up at run time (no build against Python, one shim for all
 * versions): in the executable, in a linked libpython, or in one that was loaded late. */
#ifndef SHIM_PYAPI_H
#define SHIM_PYAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Layout of PyMemAllocatorEx, a stable part of the C API since 3.5. */
struct py_allocator {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *block, size_t size);
    void (*free)(void *context, void *block);
};

/* PyObjectArenaAllocator */
struct py_arena_allocator {
    void *context;
    void *(*alloc)(void *context, size_t size);
    void (*free)(void *context, void *arena, size_t size);
};

enum py_domain { PY_RAW = 0, PY_MEM, PY_OBJ, PY_DOMAIN_COUNT };

struct pyapi {
    void (*get_allocator)(int domain, struct py_allocator *allocator);
    void (*set_allocator)(int domain, struct py_allocator *allocator);
    void (*get_arena_allocator)(struct py_arena_allocator *allocator); /* NULL: none to be had */
    void (*set_arena_allocator)(struct py_arena_allocator *allocator);
    int (*is_initialized)(void);
    void *(*current_thread_state)(void); /* PyThreadState_GetUnchecked or _PyThreadState_UncheckedGet */
    void *(*own_thread_state)(void); /* PyGILState_GetThisThreadState: also of a thread without the GIL; may be NULL */
    void *(*main_interpreter)(void); /* PyInterpreterState_Main; since 3.7, may be NULL */
    void *(*first_thread_state)(void *interpreter); /* PyInterpreterState_ThreadHead */
    /* For a snapshot that garbage is to be collected for; may be NULL. */
    int (*holds_lock)(void);                                     /* PyGILState_Check */
    long (*collect)(void);                                       /* PyGC_Collect */
    int (*add_pending_call)(int (*call)(void *), void *context); /* Py_AddPendingCall */
    const uint8_t *runtime;                                      /* _PyRuntime, NULL if the build does not export it */
    const uint8_t *type_type; /* PyType_Type and other type objects; NULL if not exported */
    const uint8_t *code_type;
    const uint8_t *frame_type;
    const uint8_t *unicode_type;
    const uint8_t *bytes_type;
    const uint8_t *module_type;
    const uint8_t *weakref_types[3]; /* reference, proxy, callable proxy */
    uint32_t hex;                    /* PY_VERSION_HEX */
    char version[64];                /* "3.11.2" */
};

/* Looks the names up with dlsym(handle, ..) (RTLD_DEFAULT for an interpreter that is linked in). Returns true and fills
 * *api when there is an interpreter with allocator hooks, 3.6 or later. Allocates nothing itself; dlsym may. */
bool pyapi_find(void *handle, struct pyapi *api);

#endif
