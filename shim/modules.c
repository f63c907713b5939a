/* SPDX-License-Identifier: MIT
 *
 * Keeps the ledger's modules in step with the loader's list. All changes are found by comparing that list with a table of
 * what was written; a library that was unloaded gets its last epoch, and everything after it happens in the next one. */
#include "modules.h"

#include "arena.h"
#include "compiler.h"
#include "ledger.h"
#include "unwind_rules.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#define ROOM_FIRST 64u

/* A module that was written to the ledger and is still loaded. */
struct known_module {
    uint64_t start, end, bias;
    uint64_t name_hash; /* of the loader's name: another library may come to the same addresses */
    uint32_t id;        /* LEDGER_MODULES */
    uint32_t seen;      /* number of the last comparison that found it */
    const char *path;   /* as it was written, in the arena: for the ledger of a forked child */
    size_t path_size;
    struct ledger_module written;
};

/* All of it belongs to the thread that does the update (`waiting`). */
static struct known_module *known;
static uint32_t known_count, known_room;
static uint32_t comparison;
static unsigned long long last_adds, last_subs;

/* Calls of modules_update that no update has served yet. The first caller serves the others too, so that none of them waits
 * here with the loader's lock in its hands. */
static uint32_t waiting;

uint32_t modules_epoch;

/* One walk through the loader's list. */
struct walk {
    bool first;   /* the next object is the executable */
    bool changed; /* something was loaded or unloaded since the last walk that wrote all it found */
    bool failed;  /* something could not be written */
    unsigned long long adds, subs;
};

static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3ULL;
    return hash;
}

static void measure(const struct dl_phdr_info *info, struct known_module *module)
{
    uint64_t low = UINT64_MAX, high = 0;

    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type != PT_LOAD)
            continue;
        low = MIN(low, segment->p_vaddr);
        high = MAX(high, segment->p_vaddr + segment->p_memsz);
    }
    module->bias = info->dlpi_addr;
    module->start = info->dlpi_addr + (high ? low : 0);
    module->end = info->dlpi_addr + high;
    module->name_hash = hash_name(info->dlpi_name ? info->dlpi_name : "");
}

static struct known_module *find_known(const struct known_module *module)
{
    for (uint32_t i = 0; i < known_count; i++) {
        if (known[i].start == module->start && known[i].end == module->end && known[i].bias == module->bias &&
            known[i].name_hash == module->name_hash)
            return &known[i];
    }
    return NULL;
}

/* Room for one more. The old table stays with the arena: all of them together are no larger than the last. */
static bool reserve_known(void)
{
    uint32_t room = known_room ? 2 * known_room : ROOM_FIRST;
    struct known_module *table;

    if (known_count < known_room)
        return true;
    table = arena_alloc(room * sizeof(*table));
    if (!table)
        return false;
    if (known_count)
        memcpy(table, known, known_count * sizeof(*table));
    known = table;
    known_room = room;
    return true;
}

/* True when [address, address + size) is file contents of a readable segment. */
static bool is_mapped(const struct dl_phdr_info *info, uint64_t address, uint64_t size)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD && segment->p_flags & PF_R && address >= segment->p_vaddr &&
            size <= segment->p_filesz && address - segment->p_vaddr <= segment->p_filesz - size)
            return true;
    }
    return false;
}

/* Looks for the build-id in one PT_NOTE segment of `size` bytes. */
static bool copy_build_id(const uint8_t *notes, uint64_t size, uint64_t align, struct ledger_module *module)
{
    uint64_t mask = align == 8 ? 7 : 3;

    while (size >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)notes;
        uint64_t name = (sizeof(*note) + (uint64_t)note->n_namesz + mask) & ~mask;
        uint64_t whole = (name + note->n_descsz + mask) & ~mask;

        if (name + note->n_descsz > size)
            return false;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == sizeof(ELF_NOTE_GNU) &&
            memcmp(note + 1, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0) {
            /* A longer one than the ledger holds is left out: a piece of it would match nothing. */
            if (note->n_descsz > sizeof(module->build_id))
                return false;
            memcpy(module->build_id, notes + name, note->n_descsz);
            module->build_id_size = (uint8_t)note->n_descsz;
            return true;
        }
        if (whole >= size)
            return false;
        notes += whole;
        size -= whole;
    }
    return false;
}

static void find_build_id(const struct dl_phdr_info *info, struct ledger_module *module)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type != PT_NOTE || !is_mapped(info, segment->p_vaddr, segment->p_memsz))
            continue;
        if (copy_build_id((const uint8_t *)(uintptr_t)(info->dlpi_addr + segment->p_vaddr), segment->p_memsz,
                          segment->p_align, module))
            return;
    }
}

/* Stores `name`, made absolute: the process may change its folder later. The system call, because the C library's getcwd
 * may allocate. */
static uint32_t store_path(const char *name)
{
    char path[PATH_MAX];
    long folder; /* length with the NUL */
    size_t length = strlen(name);

    while (name[0] == '.' && name[1] == '/') {
        name += 1 + strspn(name + 1, "/");
        length = strlen(name);
    }
    folder = name[0] == '/' ? -1 : syscall(SYS_getcwd, path, sizeof(path));
    if (folder <= 1 || path[0] != '/' || (size_t)folder + length > sizeof(path))
        return ledger_text(name, length);
    path[folder - 1] = '/';
    memcpy(path + folder, name, length);
    return ledger_text(path, (size_t)folder + length);
}

static uint32_t store_executable(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path));

    return length > 0 ? ledger_text(path, (size_t)length) : ledger_text("[program]", strlen("[program]"));
}

static uint32_t store_name(const struct dl_phdr_info *info, const struct known_module *module, bool executable)
{
    uint64_t vdso = getauxval(AT_SYSINFO_EHDR);

    if (vdso >= module->start && vdso < module->end)
        return ledger_text("[vdso]", strlen("[vdso]"));
    if (executable)
        return store_executable();
    if (!info->dlpi_name || !info->dlpi_name[0])
        return ledger_text("[unnamed]", strlen("[unnamed]"));
    return store_path(info->dlpi_name);
}

/* Keeps a copy of what was written. */
static void keep(struct known_module *module, const struct ledger_module *entry)
{
    const struct ledger_text *text = entry->path ? ledger_entry(LEDGER_TEXT, entry->path) : NULL;
    size_t size = text && !text->next ? text->length_plus_1 - 1 : 0;
    char *path = size ? arena_alloc(size) : NULL;

    module->written = *entry;
    module->path = path;
    module->path_size = path ? size : 0;
    if (path)
        memcpy(path, text->bytes, size);
}

/* Writes a module that is new. Its epoch may turn out to be the next one: see retire_gone. */
static bool write_module(const struct dl_phdr_info *info, struct known_module *module, bool executable)
{
    struct ledger_module *entry;

    if (!reserve_known())
        return false;
    module->id = ledger_take(LEDGER_MODULES, 1);
    if (!module->id)
        return false;
    entry = ledger_entry(LEDGER_MODULES, module->id);
    entry->start = module->start;
    entry->bias = module->bias;
    entry->path = store_name(info, module, executable);
    entry->first_epoch = modules_epoch;
    entry->last_epoch = UINT32_MAX;
    find_build_id(info, entry);
    __atomic_store_n(&entry->end, module->end, __ATOMIC_RELEASE);
    keep(module, entry);
    known[known_count++] = *module;
    return true;
}

static int compare_module(struct dl_phdr_info *info, size_t size, void *context)
{
    struct walk *walk = context;
    struct known_module module = {.seen = comparison};
    struct known_module *old;
    bool executable = walk->first;

    if (walk->first && size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof(info->dlpi_subs)) {
        walk->adds = info->dlpi_adds;
        walk->subs = info->dlpi_subs;
        if (known_count && walk->adds == last_adds && walk->subs == last_subs)
            return 1;
    }
    walk->first = false;
    walk->changed = true;
    measure(info, &module);
    if (module.end == module.start)
        return 0;
    old = find_known(&module);
    if (old)
        old->seen = comparison;
    else if (!write_module(info, &module, executable))
        walk->failed = true;
    return 0;
}

static bool is_gone(const struct known_module *module)
{
    return module->seen != comparison;
}

/* Modules that came in the same update may lie where the gone ones were: they belong to the next epoch. */
static void move_overlapping(const struct known_module *gone)
{
    for (uint32_t i = 0; i < known_count; i++) {
        struct ledger_module *entry = ledger_entry(LEDGER_MODULES, known[i].id);

        if (!is_gone(&known[i]) && known[i].start < gone->end && gone->start < known[i].end)
            __atomic_store_n(&entry->first_epoch, modules_epoch + 1, __ATOMIC_RELEASE);
    }
}

/* Ends the modules that the loader no longer has, and with them the epoch. */
static void retire_gone(void)
{
    uint32_t kept = 0;
    bool any = false;

    for (uint32_t i = 0; i < known_count; i++) {
        struct ledger_module *entry = ledger_entry(LEDGER_MODULES, known[i].id);

        if (!is_gone(&known[i]))
            continue;
        any = true;
        __atomic_store_n(&entry->last_epoch, modules_epoch, __ATOMIC_RELEASE);
        move_overlapping(&known[i]);
    }
    if (!any)
        return;
    for (uint32_t i = 0; i < known_count; i++) {
        if (!is_gone(&known[i]))
            known[kept++] = known[i];
    }
    known_count = kept;
    __atomic_store_n(&modules_epoch, modules_epoch + 1, __ATOMIC_RELEASE);
    rules_flush();
}

static void update_once(void)
{
    struct walk walk = {.first = true};

    comparison++;
    dl_iterate_phdr(compare_module, &walk);
    if (walk.changed)
        retire_gone();
    if (walk.changed && !walk.failed) {
        last_adds = walk.adds;
        last_subs = walk.subs;
    }
    __atomic_store_n(&ledger_header->epoch, modules_epoch, __ATOMIC_RELEASE);
}

void modules_update(void)
{
    uint32_t served;

    if (__atomic_fetch_add(&waiting, 1, __ATOMIC_ACQUIRE) != 0)
        return;
    do {
        served = __atomic_load_n(&waiting, __ATOMIC_ACQUIRE);
        update_once();
    } while (!__atomic_compare_exchange_n(&waiting, &served, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

void modules_fork_child(void)
{
    uint32_t kept = 0;

    waiting = 0;
    for (uint32_t i = 0; i < known_count; i++) {
        struct known_module *module = &known[i];
        module->id = ledger_take(LEDGER_MODULES, 1);
        if (!module->id)
            continue;
        struct ledger_module *entry = ledger_entry(LEDGER_MODULES, module->id);
        *entry = module->written;
        entry->end = 0;
        entry->path = ledger_text(module->path, module->path_size);
        entry->first_epoch = 0; /* the child's stacks are all new: none is from before this */
        __atomic_store_n(&entry->end, module->end, __ATOMIC_RELEASE);
        known[kept++] = *module;
    }
    known_count = kept;
}
