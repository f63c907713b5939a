/* SPDX-License-Identifier: MIT
 *
 * Modules in the ledger: what is loaded, with path and build-id, and the epochs of what comes and goes. */
#include "modules.h"

#include "ledger.h"
#include "ledger_view.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of the C library's own, and nobody else needs it here. */
#define OTHER_LIBRARY "libBrokenLocale.so.1"

static char folder[] = "/tmp/test_modules.XXXXXX";
static struct ledger_view view;

static void set_up(void)
{
    char output[64];

    cr_assert(mkdtemp(folder));
    snprintf(output, sizeof(output), "%s/r.jsonl", folder);
    cr_assert_eq(ledger_create(output), 0);
}

static void tear_down(void)
{
    ledger_view_close(&view);
    ledger_remove();
    rmdir(folder);
}

TestSuite(modules, .init = set_up, .fini = tear_down);

static void update_view(void)
{
    ledger_view_close(&view);
    cr_assert_eq(ledger_view_open_fd(&view, ledger_descriptor(), NULL), 0);
}

static void update(void)
{
    modules_update();
    update_view();
}

static bool path_ends(const struct ledger_module *module, const char *end)
{
    char *path = ledger_view_text(&view, module->path, NULL);
    size_t length = path ? strlen(path) : 0;
    bool ends = length >= strlen(end) && strcmp(path + length - strlen(end), end) == 0;

    free(path);
    return ends;
}

/* The n-th module (from 0) whose path ends in `end`, or NULL. */
static const struct ledger_module *find(const char *end, unsigned n)
{
    for (uint32_t id = 1; id < ledger_view_limit(&view, LEDGER_MODULES); id++) {
        const struct ledger_module *module = ledger_view_entry(&view, LEDGER_MODULES, id);
        if (module && path_ends(module, end) && n-- == 0)
            return module;
    }
    return NULL;
}

static unsigned count_modules(void)
{
    unsigned count = 0;

    while (find("", count))
        count++;
    return count;
}

static bool holds(const struct ledger_module *module, const void *address)
{
    return (uintptr_t)address >= module->start && (uintptr_t)address < module->end;
}

Test(modules, what_is_loaded_at_the_start)
{
    const struct ledger_module *program, *libc, *vdso;
    char exe[4096] = "";

    update();
    cr_assert_gt(readlink("/proc/self/exe", exe, sizeof(exe) - 1), 0);
    program = find(exe, 0);
    cr_assert(program, "%s", exe);
    cr_expect(holds(program, (const void *)(uintptr_t)&update));
    cr_expect_eq(program->first_epoch, 0);
    cr_expect_eq(program->last_epoch, UINT32_MAX);
    libc = find("/libc.so.6", 0);
    cr_assert(libc);
    cr_expect(holds(libc, gnu_get_libc_version()));
    cr_expect(!holds(libc, program));
    vdso = find("[vdso]", 0);
    cr_expect(vdso);
}

/* The loader and the file agree on the note: read it from the file. */
Test(modules, build_id_is_the_files)
{
    const struct ledger_module *libc;
    char *path;
    uint8_t *base;
    int fd;
    bool found = false;
    const ElfW(Ehdr) * header;
    const ElfW(Shdr) * sections;

    update();
    libc = find("/libc.so.6", 0);
    cr_assert(libc && libc->build_id_size == 20);
    path = ledger_view_text(&view, libc->path, NULL);
    fd = open(path, O_RDONLY);
    base = mmap(NULL, (size_t)lseek(fd, 0, SEEK_END), PROT_READ, MAP_PRIVATE, fd, 0);
    cr_assert_neq(base, MAP_FAILED);
    header = (const void *)base;
    sections = (const void *)(base + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const ElfW(Nhdr) *note = (const void *)(base + sections[i].sh_offset);
        if (sections[i].sh_type == SHT_NOTE && note->n_type == NT_GNU_BUILD_ID && note->n_descsz == 20)
            found = found || memcmp((const uint8_t *)(note + 1) + 4, libc->build_id, 20) == 0;
    }
    cr_expect(found);
    close(fd);
    free(path);
}

Test(modules, nothing_new_writes_nothing)
{
    unsigned count;

    update();
    count = count_modules();
    update();
    cr_expect_eq(count_modules(), count);
    cr_expect_eq(modules_epoch, 0);
}

Test(modules, epochs_of_what_comes_and_goes)
{
    const struct ledger_module *first, *second;
    void *library;

    update();
    cr_assert_null(find(OTHER_LIBRARY, 0));
    library = dlopen(OTHER_LIBRARY, RTLD_NOW);
    cr_assert(library);
    update();
    first = find(OTHER_LIBRARY, 0);
    cr_assert(first);
    cr_expect_eq(first->first_epoch, 0);
    cr_expect_eq(first->last_epoch, UINT32_MAX);
    cr_expect_eq(modules_epoch, 0, "loading ends no epoch");
    dlclose(library);
    update();
    first = find(OTHER_LIBRARY, 0);
    cr_expect_eq(first->last_epoch, 0);
    cr_expect_eq(modules_epoch, 1);
    cr_expect_eq(view.header->epoch, 1);
    library = dlopen(OTHER_LIBRARY, RTLD_NOW);
    update();
    second = find(OTHER_LIBRARY, 1);
    cr_assert(second);
    cr_expect_eq(second->first_epoch, 1);
    cr_expect_eq(second->last_epoch, UINT32_MAX);
    cr_expect_eq(find("/libc.so.6", 0)->last_epoch, UINT32_MAX);
    dlclose(library);
}

/* Puts a copy of the other library, which is loaded as `library`, at `to`. */
static void copy_library(void *library, const char *to)
{
    struct link_map *map;
    char bytes[4096];
    size_t length;
    FILE *in, *out;

    cr_assert_eq(dlinfo(library, RTLD_DI_LINKMAP, &map), 0);
    in = fopen(map->l_name, "r");
    out = fopen(to, "w");
    cr_assert(in && out);
    while ((length = fread(bytes, 1, sizeof(bytes), in)))
        cr_assert_eq(fwrite(bytes, 1, length, out), length);
    fclose(in);
    cr_assert_eq(fclose(out), 0);
}

/* A library that went and one that came at its place between two updates. */
Test(modules, a_replaced_module_begins_in_the_next_epoch)
{
    const struct ledger_module *old, *new;
    void *library = dlopen(OTHER_LIBRARY, RTLD_NOW);
    char copy[64];

    cr_assert(library);
    snprintf(copy, sizeof(copy), "%s/copy.so", folder);
    copy_library(library, copy);
    update();
    dlclose(library);
    library = dlopen(copy, RTLD_NOW);
    unlink(copy);
    cr_assert(library);
    update();
    old = find(OTHER_LIBRARY, 0);
    new = find("/copy.so", 0);
    cr_assert(old && new);
    cr_expect_eq(old->last_epoch, 0);
    if (old->start < new->end &&new->start < old->end)
        cr_expect_eq(new->first_epoch, 1);
    dlclose(library);
}

Test(modules, relative_paths_become_absolute)
{
    void *library = dlopen(OTHER_LIBRARY, RTLD_NOW);
    char expected[64];

    cr_assert(library);
    cr_assert_eq(chdir(folder), 0);
    copy_library(library, "relative.so");
    cr_expect(dlopen(".//./relative.so", RTLD_NOW));
    unlink("relative.so");
    update();
    snprintf(expected, sizeof(expected), "%s/relative.so", folder);
    cr_expect(find(expected, 0));
    dlclose(library);
}

Test(modules, a_new_ledger_gets_them_all)
{
    unsigned count;
    char output[64];

    update();
    count = count_modules();
    ledger_remove();
    ledger_abandon(false);
    snprintf(output, sizeof(output), "%s/child.jsonl", folder);
    cr_assert_eq(ledger_create(output), 0);
    modules_fork_child();
    update_view();
    cr_expect_eq(count_modules(), count);
    cr_expect(find("/libc.so.6", 0), "paths come along");
}

#define THREADS 4

static void *open_and_close(void *path)
{
    for (unsigned i = 0; i < 1000; i++) {
        void *library = dlopen(path, RTLD_NOW);

        modules_update();
        dlclose(library);
        modules_update();
    }
    return NULL;
}

/* Each thread has a library of its own, so that all of them come and go. */
Test(modules, updates_at_the_same_time)
{
    void *library = dlopen(OTHER_LIBRARY, RTLD_NOW);
    char copies[THREADS][64];
    pthread_t threads[THREADS];
    unsigned live = 0;

    cr_assert(library);
    for (unsigned i = 0; i < THREADS; i++) {
        snprintf(copies[i], sizeof(copies[i]), "%s/copy%u.so", folder, i);
        copy_library(library, copies[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, open_and_close, copies[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    update();
    for (unsigned i = 0; i < THREADS; i++) {
        for (unsigned n = 0; find(copies[i], n); n++)
            live += find(copies[i], n)->last_epoch == UINT32_MAX;
        unlink(copies[i]);
    }
    cr_expect_eq(live, 0);
    cr_expect(find("/libc.so.6", 0));
    cr_expect_null(find("/libc.so.6", 1));
    dlclose(library);
}
