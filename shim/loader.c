/* SPDX-License-Identifier: MIT
 *
 * Hooks of dlopen, dlsym and dlclose: the modules in the ledger follow what is loaded, a libpython that comes late is found,
 * stacks forget code that is gone, and nobody comes to libc's allocator past the hooks. */
#include "loader.h"

#include "compiler.h"
#include "imports.h"
#include "log.h"
#include "modules.h"
#include "pymem.h"
#include "real.h"
#include "start.h"
#include "thread.h"
#include "unwind_slow.h"

#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>

_exported_ void *dlopen(const char *name, int flags);
_exported_ void *dlsym(void *handle, const char *name);
_exported_ int dlclose(void *handle);
_exported_ int dl_iterate_phdr(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data);

static _cold_ void note_changes(void *handle)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return;
    thread_local_state.busy = BUSY_NESTED;
    modules_update();
    if (handle) {
        pymem_start(handle);
        imports_redirect(handle);
    } else {
        pymem_module_gone();
    }
    thread_leave();
}

/* While the loader works its map is not consistent, and the thread that works calls malloc. */
bool loader_look_again(void)
{
    if (_r_debug.r_state != RT_CONSISTENT)
        return false;
    modules_update();
    for (const struct link_map *map = _r_debug.r_map; map && !pymem_present; map = map->l_next) {
        void *handle = strstr(map->l_name, "libpython") ? real.dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
        if (handle) {
            pymem_start(handle);
            real.dlclose(handle);
        }
    }
    return true;
}

/* The loader takes the search path of whoever calls dlopen. That matters only for a plain name and a caller with a search path
 * of its own. */
static bool depends_on_caller(const char *name, const void *caller)
{
    Dl_info info;
    struct link_map *map;

    if (!name || (strchr(name, '/') && !strchr(name, '$')))
        return false;
    if (!dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) || !map->l_ld)
        return true;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_RPATH || entry->d_tag == DT_RUNPATH)
            return true;
    return false;
}

/* With RTLD_DEEPBIND a library would find libc's free before ours, and give it blocks with a prefix. */
void *dlopen(const char *name, int flags)
{
    if (unlikely(!real_ready))
        real_init();
    if (!real.dlopen)
        return NULL;
    if (flags & RTLD_DEEPBIND) {
        log_line(1, "RTLD_DEEPBIND is left out for '%s'", name ? name : "");
        flags &= ~RTLD_DEEPBIND;
    }
    if (depends_on_caller(name, __builtin_return_address(0))) {
        thread_local_state.after |= AFTER_LOAD;
        return real.dlopen(name, flags); /* a jump, not a call: the loader sees the caller's address */
    }
    void *handle = real.dlopen(name, flags);
    if (handle)
        note_changes(handle);
    return handle;
}

/* Functions of the allocator that were looked up in libc itself (ctypes.CDLL("libc.so.6").free, for one): they must be the
 * hooks, since the blocks that they get are those of the hooks. */
static void *hook_of(const char *name, void *function)
{
    static const struct {
        const char *name;
        void *hook;
    } hooks[] = {
        {"malloc", (void *)malloc},
        {"calloc", (void *)calloc},
        {"realloc", (void *)realloc},
        {"reallocarray", (void *)reallocarray},
        {"free", (void *)free},
        {"posix_memalign", (void *)posix_memalign},
        {"aligned_alloc", (void *)aligned_alloc},
        {"memalign", (void *)memalign},
        {"valloc", (void *)valloc},
        {"pvalloc", (void *)pvalloc},
        {"malloc_usable_size", (void *)malloc_usable_size},
    };
    Dl_info found, allocator;

    for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
        if (strcmp(name, hooks[i].name) == 0 && dladdr(function, &found) &&
            dladdr((void *)(uintptr_t)real.free, &allocator) && found.dli_fbase == allocator.dli_fbase)
            return hooks[i].hook;
    return function;
}

void *dlsym(void *handle, const char *name)
{
    if (unlikely(!real_ready))
        real_init();
    if (!real.dlsym)
        return NULL;
    if (handle == RTLD_NEXT || handle == RTLD_DEFAULT)
        return real.dlsym(handle, name); /* a jump: these look from the caller's place */
    void *function = real.dlsym(handle, name);
    return function ? hook_of(name, function) : NULL;
}

/* ---- who comes first ----
 *
 * AddressSanitizer's library ends a program in which it is not the first one: as the allocator behind the shim it serves as well. It
 * asks by dl_iterate_phdr, and is told of the shim at last. */

struct last {
    int (*callback)(struct dl_phdr_info *, size_t, void *);
    void *data;
    struct dl_phdr_info shim;
};

static int pass_others(struct dl_phdr_info *info, size_t size, void *data)
{
    struct last *last = data;
    Dl_info own;

    if (info->dlpi_name && *info->dlpi_name && dladdr(&real, &own) && (uintptr_t)own.dli_fbase == info->dlpi_addr) {
        memcpy(&last->shim, info, MIN(size, sizeof(last->shim)));
        return 0;
    }
    return last->callback(info, size, last->data);
}

static bool is_sanitizer(const void *caller)
{
    Dl_info info;
    return dladdr(caller, &info) && strstr(info.dli_fname, "asan");
}

static _cold_ int iterate_shim_last(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
    struct last last = {.callback = callback, .data = data};
    int result = real.dl_iterate_phdr(pass_others, &last);

    return result || !last.shim.dlpi_name ? result : callback(&last.shim, sizeof(last.shim), data);
}

/* libunwind looks for the module of an address this way. It must not take the loader's lock: in a forked child that may be
 * held for ever by a thread that is no more, and glibc does not free it. */
int dl_iterate_phdr(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
    if (unlikely(slow_address))
        return slow_iterate(callback, data);
    if (unlikely(!real_ready))
        real_init();
    if (unlikely(start_phase) && real.dl_iterate_phdr && is_sanitizer(__builtin_return_address(0)))
        return iterate_shim_last(callback, data);
    return real.dl_iterate_phdr ? real.dl_iterate_phdr(callback, data)
                                : 0; /* a jump: it looks at its caller's namespace */
}

int dlclose(void *handle)
{
    if (unlikely(!real_ready))
        real_init();
    if (!real.dlclose)
        return -1;
    bool suspended = pymem_suspend();
    int result = real.dlclose(handle);
    if (result == 0)
        note_changes(NULL);
    if (suspended)
        pymem_resume();
    return result;
}
