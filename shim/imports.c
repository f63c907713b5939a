/* SPDX-License-Identifier: MIT */
#include "imports.h"

#include "compiler.h"
#include "real.h"
#include "tracked.h"
#include "unwind.h"

#include <dlfcn.h>
#include <elf.h>
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

static const struct import {
    const char *name;
    void *hook;
} imports[] = {
    {"PyTraceMalloc_Track", (void *)track},
    {"PyTraceMalloc_Untrack", (void *)untrack},
    {"_PyTraceMalloc_Track", (void *)track},
    {"_PyTraceMalloc_Untrack", (void *)untrack},
};

/* ---- the real ones ---- */

/* In the global scope of a process with a shared interpreter the shim's own comes first. */
static void *find(void *handle, const char *name, const void *hook)
{
    void *function = real.dlsym(handle, name);
    return function == hook ? real.dlsym(RTLD_NEXT, name) : function;
}

void imports_find(void *handle)
{
    for (size_t i = 0; i < ARRAY_SIZE(imports); i += 2) {
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

/* What of its dynamic section is needed. */
struct tables {
    const ElfW(Sym) * symbols;
    const char *names;
    const ElfW(Rela) * slots, *data;
    size_t slot_count, data_count;
    uintptr_t bias;
    uintptr_t protected_start; /* what the loader has made read-only */
    size_t protected_size;
};

/* glibc replaces the addresses in the section by real ones, where it can write to it. */
static const void *place(const struct link_map *map, ElfW(Addr) address)
{
    return (const void *)(address < map->l_addr ? map->l_addr + address : address);
}

static bool read_tables(const struct link_map *map, struct tables *tables)
{
    bool rela = true;

    *tables = (struct tables){.bias = map->l_addr};
    for (const ElfW(Dyn) *entry = map->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_SYMTAB:
            tables->symbols = place(map, entry->d_un.d_ptr);
            break;
        case DT_STRTAB:
            tables->names = place(map, entry->d_un.d_ptr);
            break;
        case DT_JMPREL:
            tables->slots = place(map, entry->d_un.d_ptr);
            break;
        case DT_RELA:
            tables->data = place(map, entry->d_un.d_ptr);
            break;
        case DT_PLTRELSZ:
            tables->slot_count = entry->d_un.d_val / sizeof(ElfW(Rela));
            break;
        case DT_RELASZ:
            tables->data_count = entry->d_un.d_val / sizeof(ElfW(Rela));
            break;
        case DT_PLTREL:
            rela = entry->d_un.d_val == DT_RELA;
            break;
        default:
            break;
        }
    }
    if (!tables->slots)
        tables->slot_count = 0;
    if (!tables->data)
        tables->data_count = 0;
    return rela && tables->symbols && tables->names;
}

static int find_protected(struct dl_phdr_info *info, size_t size, void *data)
{
    struct tables *tables = data;

    (void)size;
    if (info->dlpi_addr != tables->bias)
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_GNU_RELRO)
            continue;
        tables->protected_start = tables->bias + info->dlpi_phdr[i].p_vaddr;
        tables->protected_size = info->dlpi_phdr[i].p_memsz;
    }
    return 1;
}

/* Of what the loader has made read-only the slot's page is opened for the moment. The end of that is rounded down to a page. */
static void set_slot(const struct tables *tables, void **slot, void *hook)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t page = (uintptr_t)slot & ~(page_size - 1);
    uintptr_t end = (tables->protected_start + tables->protected_size) & ~(page_size - 1);
    bool protected = (uintptr_t)slot >= tables->protected_start && (uintptr_t)slot < end;

    if (*slot == hook || (protected && mprotect((void *)page, page_size, PROT_READ | PROT_WRITE)))
        return;
    __atomic_store_n(slot, hook, __ATOMIC_RELEASE);
    if (protected)
        mprotect((void *)page, page_size, PROT_READ);
}

static void redirect(const struct tables *tables, const ElfW(Rela) * entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t type = ELF64_R_TYPE(entries[i].r_info);
        if (type != RELOCATION_SLOT && type != RELOCATION_DATA)
            continue;
        const char *name = tables->names + tables->symbols[ELF64_R_SYM(entries[i].r_info)].st_name;
        for (size_t k = 0; k < ARRAY_SIZE(imports); k++)
            if (strcmp(name, imports[k].name) == 0)
                set_slot(tables, (void **)(tables->bias + entries[i].r_offset), imports[k].hook);
    }
}

void imports_redirect(void *handle)
{
    struct link_map *map = NULL;
    struct tables tables;

    if (!real_track || dlinfo(handle, RTLD_DI_LINKMAP, &map) || !map || !read_tables(map, &tables))
        return;
    real.dl_iterate_phdr(find_protected, &tables);
    redirect(&tables, tables.slots, tables.slot_count);
    redirect(&tables, tables.data, tables.data_count);
}
