/* SPDX-License-Identifier: MIT
 *
 * Hooks of dlopen and dlclose: the modules in the ledger follow what is loaded, a libpython that comes late is found, and
 * stacks forget code that is gone. */
#include "loader.h"

#include "compiler.h"
#include "modules.h"
#include "pymem.h"
#include "real.h"
#include "thread.h"
#include "unwind.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

_exported_ void *dlopen(const char *name, int flags);
_exported_ int dlclose(void *handle);

static _cold_ void note_changes(void *handle)
{
    struct thread *thread = thread_enter();
    uint32_t epoch = modules_epoch;

    if (!thread)
        return;
    thread_local_state.busy = BUSY_NESTED;
    modules_update();
    if (modules_epoch != epoch)
        unwind_flush();
    if (handle)
        pymem_start(handle);
    else
        pymem_module_gone();
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

void *dlopen(const char *name, int flags)
{
    if (unlikely(!real_ready))
        real_init();
    if (!real.dlopen)
        return NULL;
    if (depends_on_caller(name, __builtin_return_address(0))) {
        thread_local_state.after |= AFTER_LOAD;
        return real.dlopen(name, flags); /* a jump, not a call: the loader sees the caller's address */
    }
    void *handle = real.dlopen(name, flags);
    if (handle)
        note_changes(handle);
    return handle;
}

int dlclose(void *handle)
{
    if (unlikely(!real_ready))
        real_init();
    if (!real.dlclose)
        return -1;
    int result = real.dlclose(handle);
    if (result == 0)
        note_changes(NULL);
    return result;
}
