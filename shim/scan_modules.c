/* SPDX-License-Identifier: MIT
 *
 * The data of loaded modules, from the ledger's list of them and the ELF headers in memory: no lock of the loader. */
#include "ledger.h"
#include "scan_state.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#define SEGMENTS_MAX 64u

static void add_segments(struct scan *scan, const struct ledger_module *module)
{
    ElfW(Ehdr) header;
    ElfW(Phdr) segments[SEGMENTS_MAX];

    if (!scan_copy(&scan->reader, &header, module->start, sizeof(header)) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phentsize != sizeof(ElfW(Phdr)))
        return;
    size_t count = MIN(header.e_phnum, SEGMENTS_MAX);
    if (!scan_copy(&scan->reader, segments, module->start + header.e_phoff, count * sizeof(segments[0])))
        return;
    for (size_t i = 0; i < count; i++) {
        if (segments[i].p_type != PT_LOAD || !(segments[i].p_flags & PF_W))
            continue;
        uintptr_t start = (module->bias + segments[i].p_vaddr) & ~(uintptr_t)4095;
        uintptr_t end = (module->bias + segments[i].p_vaddr + segments[i].p_memsz + 4095) & ~(uintptr_t)4095;
        if (!scan_range_add(&scan->data, start, end))
            scan->failed = true;
    }
}

/* Extension modules of the standard library lie in a folder of this name. */
static bool is_library(const struct ledger_module *module)
{
    static const char folder[] = "/lib-dynload/";
    const struct ledger_text *text = module->path ? ledger_entry(LEDGER_TEXT, module->path) : NULL;

    return text && text->length_plus_1 && memmem(text->bytes, text->length_plus_1 - 1, folder, strlen(folder));
}

static void add_module(struct scan *scan, const struct ledger_module *module, uintptr_t interpreter)
{
    if (!module->end || module->last_epoch != UINT32_MAX)
        return;
    add_segments(scan, module);
    if (module->start == getauxval(AT_BASE))
        scan->loader = (struct scan_range){module->start, module->end};
    if (interpreter >= module->start && interpreter < module->end)
        scan->interpreter = (struct scan_range){module->start, module->end};
    if (is_library(module) && !scan_range_add(&scan->library, module->start, module->end))
        scan->failed = true;
}

void scan_modules(struct scan *scan, uintptr_t interpreter)
{
    uint32_t segments = __atomic_load_n(&ledger_header->segments, __ATOMIC_ACQUIRE), seen = 0;
    uint32_t per = ledger_per_segment(LEDGER_MODULES);

    for (uint32_t n = 0; n < segments; n++) {
        if (ledger_header->directory[n] != LEDGER_MODULES)
            continue;
        const struct ledger_module *modules = (const void *)ledger_segments[LEDGER_MODULES][seen++];
        for (uint32_t i = 0; i < per; i++)
            add_module(scan, &modules[i], interpreter);
    }
    scan_ranges_order(&scan->data);
    scan_ranges_order(&scan->library);
}

bool scan_is_code(const struct scan *scan, uintptr_t address)
{
    const struct scan_mapping *mapping = address < 4096 ? NULL : scan_mapping_find(&scan->mappings, address);
    return mapping && mapping->flags & MAPPING_EXEC;
}
