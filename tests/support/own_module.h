/* SPDX-License-Identifier: MIT
 *
 * For tests of symbols: the running test program as a module of a report. */
#ifndef TESTS_OWN_MODULE_H
#define TESTS_OWN_MODULE_H

#include "model.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct own_module {
    struct module module;
    char path[4096];
    char build_id[65]; /* "" = the program has none */
};

static inline void own_notes(struct own_module *own, const char *notes, size_t size)
{
    for (size_t at = 0; at + sizeof(ElfW(Nhdr)) < size;) {
        const ElfW(Nhdr) *note = (const void *)(notes + at);
        const unsigned char *id = (const unsigned char *)(note + 1) + ((note->n_namesz + 3) & ~3u);

        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && note->n_descsz <= 32)
            for (unsigned int i = 0; i < note->n_descsz; i++)
                sprintf(own->build_id + 2 * i, "%02x", id[i]);
        at += sizeof(*note) + ((note->n_namesz + 3) & ~3u) + ((note->n_descsz + 3) & ~3u);
    }
}

/* The first object that the loader lists is the program itself. */
static inline int own_program(struct dl_phdr_info *info, size_t size, void *data)
{
    struct own_module *own = data;

    (void)size;
    own->module.bias = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_NOTE)
            own_notes(own, (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), info->dlpi_phdr[i].p_memsz);
    return 1;
}

static inline void own_module_init(struct own_module *own)
{
    ssize_t length = readlink("/proc/self/exe", own->path, sizeof(own->path) - 1);

    cr_assert(length > 0);
    own->path[length] = '\0';
    own->build_id[0] = '\0';
    own->module = (struct module){.path = own->path};
    dl_iterate_phdr(own_program, own);
    own->module.build_id = own->build_id[0] ? own->build_id : NULL;
}

/* The ELF address of a function of the program. */
#define OWN_ADDRESS(own, function) ((uint64_t)(uintptr_t)(function) - (own)->module.bias)

#endif
