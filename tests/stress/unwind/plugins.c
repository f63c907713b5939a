/* SPDX-License-Identifier: MIT
 *
 * Libraries that come and go, each where another one lay, and where code without unwind information lay before. */
#include "stress.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef void (*plugin_function)(void (*function)(void), int depth);

static uintptr_t last_base;
static size_t last_size;
static unsigned same_address;

static int measure(struct dl_phdr_info *info, size_t size, void *base)
{
    (void)size;
    if (info->dlpi_addr != *(uintptr_t *)base)
        return 0;
    last_size = 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD)
            last_size = info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    return 1;
}

static void load_and_call(const char *path, int mode)
{
    void *plugin = dlopen(path, mode | RTLD_LOCAL);
    struct link_map *map;
    plugin_function call;

    if (!plugin || dlinfo(plugin, RTLD_DI_LINKMAP, &map)) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    same_address += map->l_addr == last_base;
    last_base = map->l_addr;
    dl_iterate_phdr(measure, &last_base);
    *(void **)&call = dlsym(plugin, "plugin_call");
    call(capture_some, 5);
    call(capture, 3);
    dlclose(plugin);
    module_gone();
    capture();
}

#if defined(__x86_64__)
/* Code at the addresses of the plugin that has gone and of the one that comes: rules for it must not outlive it. */
static void call_bare_code(void)
{
    static const uint8_t bytes[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
    size_t size = (last_size + 4095) & ~(size_t)4095;
    uint8_t *code = mmap((void *)last_base, size, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (code == MAP_FAILED)
        return;
    for (size_t at = 0; at + sizeof(bytes) <= size; at += sizeof(bytes))
        memcpy(code + at, bytes, sizeof(bytes));
    for (unsigned i = 0; i < 5; i++) {
        uint8_t *at = code + chance((uint32_t)(size / sizeof(bytes))) * sizeof(bytes);
        ((void (*)(void (*)(void)))(void *)at)(capture);
    }
    munmap(code, size);
}
#else
static void call_bare_code(void)
{
}
#endif

void test_plugins(void)
{
    if (!plugin_paths)
        return;
    same_address = 0;
    for (unsigned i = 0; i < rounds * 5; i++) {
        load_and_call(plugin_paths[i & 1], i & 2 ? RTLD_LAZY : RTLD_NOW);
        if (i % 3 == 0)
            call_bare_code();
    }
    printf("plugins loaded where the last one lay: %u of %u\n", same_address, rounds * 5);
}
