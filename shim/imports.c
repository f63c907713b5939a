/* SPDX-License-Identifier: MIT */
#include "imports.h"

#include "client_hooks.h"
#include "compiler.h"
#include "lock.h"
#include "real.h"
#include "thread.h"
#include "tracked.h"
#include "unwind.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#define RELOCATION_SLOT R_X86_64_JUMP_SLOT
#define RELOCATION_DATA R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define RELOCATION_SLOT R_AARCH64_JUMP_SLOT
#define RELOCATION_DATA R_AARCH64_GLOB_DAT
#else
#define RELOCATION_SLOT UINT32_MAX /* modules stay as they are */
#define RELOCATION_DATA UINT32_MAX
#endif

#define TRACEMALLOC_OFF (-2) /* what CPython says when it does not trace itself */

typedef int (*track_function)(unsigned domain, uintptr_t p, size_t size);
typedef int (*untrack_function)(unsigned domain, uintptr_t p);

static track_function real_track;
static untrack_function real_untrack;

/* ---- the hooks ---- */

/* Names that an executable may have, too: by them the shim itself would come to that one's functions. */
#define EXPORT_AS(name, hook, ...) _exported_ int name(__VA_ARGS__) __attribute__((alias(#hook)))

static int track(unsigned domain, uintptr_t p, size_t size)
{
    int result = real_track ? real_track(domain, p, size) : TRACEMALLOC_OFF;

    tracked_track(domain, p, size, UNWIND_HERE);
    return result;
}

static int untrack(unsigned domain, uintptr_t p)
{
    tracked_untrack(domain, p);
    return real_untrack ? real_untrack(domain, p) : TRACEMALLOC_OFF;
}

EXPORT_AS(PyTraceMalloc_Track, track, unsigned domain, uintptr_t p, size_t size);
EXPORT_AS(PyTraceMalloc_Untrack, untrack, unsigned domain, uintptr_t p);
EXPORT_AS(_PyTraceMalloc_Track, track, unsigned domain, uintptr_t p, size_t size); /* in 3.6 */
EXPORT_AS(_PyTraceMalloc_Untrack, untrack, unsigned domain, uintptr_t p);

struct import {
    const char *name;
    void *hook;
};

#define IMPORTS_MAX 16u
#define TRACEMALLOC_IMPORTS 4u

/* The first ones are tracemalloc's, the others come by memshim_redirect. */
static struct import imports[IMPORTS_MAX] = {
    {"PyTraceMalloc_Track", (void *)track},
    {"PyTraceMalloc_Untrack", (void *)untrack},
    {"_PyTraceMalloc_Track", (void *)track},
    {"_PyTraceMalloc_Untrack", (void *)untrack},
};
static uint32_t import_count = TRACEMALLOC_IMPORTS;

/* ---- the real ones ---- */

/* In the global scope of a process with a shared interpreter the shim's own comes first. */
static void *find(void *handle, const char *name, const void *hook)
{
    void *function = real.dlsym(handle, name);
    return function == hook ? real.dlsym(RTLD_NEXT, name) : function;
}

void imports_find(void *handle)
{
    for (size_t i = 0; i < TRACEMALLOC_IMPORTS; i += 2) {
        void *found_track = find(handle, imports[i].name, imports[i].hook);
        void *found_untrack = find(handle, imports[i + 1].name, imports[i + 1].hook);
        if (!found_track || !found_untrack)
            continue;
        real_track = (track_function)found_track;
        real_untrack = (untrack_function)found_untrack;
        break;
    }
    dlerror();
}

/* ---- imports of a module ---- */

/* What of it is needed. */
struct module {
    uintptr_t bias;
    uintptr_t protected_start,
        protected_end; /* what the loader has made read-only: the end is rounded down to a page */
    const ElfW(Dyn) * dynamic;
    const ElfW(Sym) * symbols;
    const char *names;
    const ElfW(Rela) * slots, *data;
    size_t slot_count, data_count;
};

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void read_headers(const struct dl_phdr_info *info, struct module *module)
{
    *module = (struct module){.bias = info->dlpi_addr};
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_DYNAMIC)
            module->dynamic = (const ElfW(Dyn) *)start;
        if (header->p_type == PT_GNU_RELRO) {
            module->protected_start = start;
            module->protected_end = (start + header->p_memsz) & ~(page_size() - 1);
        }
    }
}

/* glibc replaces the addresses in the section by real ones, where it can write to it. */
static const void *place(const struct module *module, ElfW(Addr) address)
{
    return (const void *)(address < module->bias ? module->bias + address : address);
}

static bool read_tables(struct module *module)
{
    bool rela = true;

    for (const ElfW(Dyn) *entry = module->dynamic; entry && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            module->symbols = place(module, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_STRTAB)
            module->names = place(module, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_JMPREL)
            module->slots = place(module, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_RELA)
            module->data = place(module, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_PLTRELSZ)
            module->slot_count = entry->d_un.d_val / sizeof(ElfW(Rela));
        else if (entry->d_tag == DT_RELASZ)
            module->data_count = entry->d_un.d_val / sizeof(ElfW(Rela));
        else if (entry->d_tag == DT_PLTREL)
            rela = entry->d_un.d_val == DT_RELA;
    }
    module->slot_count = module->slots ? module->slot_count : 0;
    module->data_count = module->data ? module->data_count : 0;
    return rela && module->symbols && module->names;
}

/* Of what the loader has made read-only the slot's page is opened for the moment. */
static void set_slot(const struct module *module, void **slot, void *hook)
{
    uintptr_t page = (uintptr_t)slot & ~(page_size() - 1);
    bool protected = (uintptr_t)slot >= module->protected_start && (uintptr_t)slot < module->protected_end;

    if (*slot == hook || (protected && mprotect((void *)page, page_size(), PROT_READ | PROT_WRITE)))
        return;
    __atomic_store_n(slot, hook, __ATOMIC_RELEASE);
    if (protected)
        mprotect((void *)page, page_size(), PROT_READ);
}

static void redirect(const struct module *module, const ElfW(Rela) * entries, size_t count)
{
    uint32_t known = __atomic_load_n(&import_count, __ATOMIC_ACQUIRE);

    for (size_t i = 0; i < count; i++) {
        uint64_t type = ELF64_R_TYPE(entries[i].r_info);
        if (type != RELOCATION_SLOT && type != RELOCATION_DATA)
            continue;
        const char *name = module->names + module->symbols[ELF64_R_SYM(entries[i].r_info)].st_name;
        for (size_t k = 0; k < known; k++)
            if (strcmp(name, imports[k].name) == 0)
                set_slot(module, (void **)(module->bias + entries[i].r_offset), imports[k].hook);
    }
}

/* Which modules: the one at `bias`, or all but the hook's own. */
struct request {
    uintptr_t bias;
    bool all;
};

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
    const struct request *request = data;
    struct module module;

    (void)size;
    if (request->all == (info->dlpi_addr == request->bias))
        return 0;
    read_headers(info, &module);
    if (read_tables(&module)) {
        redirect(&module, module.slots, module.slot_count);
        redirect(&module, module.data, module.data_count);
    }
    return !request->all;
}

void imports_redirect(void *handle)
{
    struct link_map *map = NULL;

    if ((!real_track && import_count == TRACEMALLOC_IMPORTS) || dlinfo(handle, RTLD_DI_LINKMAP, &map) || !map)
        return;
    real.dl_iterate_phdr(visit, &(struct request){.bias = map->l_addr});
}

/* The shim's own imports of such a name, there are none. */
_exported_ int memshim_redirect(const char *name, void *hook)
{
    static struct lock lock;
    Dl_info own;
    struct thread *thread = name && hook && dladdr(hook, &own) ? thread_enter() : NULL;

    if (!thread)
        return -EINVAL;
    thread_local_state.busy = BUSY_NESTED;
    lock_take(&lock);
    bool room = import_count < IMPORTS_MAX;
    if (room) {
        imports[import_count] = (struct import){name, hook};
        __atomic_store_n(&import_count, import_count + 1, __ATOMIC_RELEASE);
    }
    lock_give(&lock);
    if (room)
        real.dl_iterate_phdr(visit, &(struct request){.bias = (uintptr_t)own.dli_fbase, .all = true});
    thread_leave();
    return room ? 0 : -ENOMEM;
}
