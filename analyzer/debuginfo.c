/* SPDX-License-Identifier: MIT
 *
 * libdwfl with one module, loaded at its own ELF addresses. The function comes from the debug information, which knows
 * inlined ones, or else from the symbol table.
 *
 * Where libdw is refused memory it calls a handler that must not return, by default one that ends the program; or it returns as if
 * nothing were known, and may have left pointers to nowhere in its tables; or it asserts that it was given memory. So the handler
 * and the function that ends the program after a failed assertion jump back to where libdw was called from, errno tells of the
 * others, and after any nothing of that file is touched again, not even to be freed. */
#include "debuginfo.h"

#include "coldparts.h"
#include "compiler.h"
#include "demangle.h"
#include "scopes.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct debuginfo {
    Dwfl *dwfl;
    Dwfl_Module *module;
    bool guarded; /* the debug information, if there is any, has our handler */
    bool broken;  /* must not be touched again */
    bool refused; /* because memory was out */
    struct scopes scopes;
    struct coldparts coldparts;
};

enum { ESCAPE_REFUSED = 1, ESCAPE_DAMAGED };
static jmp_buf *escape; /* to where libdw was called from; NULL: not where it decodes debug information */

__attribute__((noreturn)) static void on_no_memory(void)
{
    if (escape)
        longjmp(*escape, ESCAPE_REFUSED);
    abort();
}

/* Takes the place of the C library's, for libdw and all others: its table of abbreviations (dynamicsizehash_concurrent.c) grows
 * under an assertion that there is memory. Where libdw decodes, no failed assertion ends the program. */
__attribute__((noreturn, visibility("default"))) void __assert_fail(const char *assertion, const char *file,
                                                                    unsigned int line, const char *function);
void __assert_fail(const char *assertion, const char *file, unsigned int line, const char *function)
{
    if (escape)
        longjmp(*escape, errno == ENOMEM ? ESCAPE_REFUSED : ESCAPE_DAMAGED);
    fprintf(stderr, "%s: %s:%u: %s: Assertion `%s' failed.\n", program_invocation_short_name, file, line, function,
            assertion);
    abort();
}

/* A regular file only: opening must not wait for the writer of a pipe, nor reading go on for ever. */
static int open_regular(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool lookup_failed; /* for want of memory; errno tells of the last of the places that were looked at */

/* The file of the same build-id first, as dwfl_standard_find_debuginfo has it, too, but does not tell why it found none. */
static int find_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
                          const char *link, GElf_Word link_crc, char **ret_name)
{
    errno = 0;
    int fd = dwfl_build_id_find_debuginfo(module, data, name, base, file, link, link_crc, ret_name);
    if (fd >= 0)
        return fd;
    lookup_failed = lookup_failed || errno == ENOMEM;
    errno = 0;
    fd = lookup_failed ? -1 : dwfl_standard_find_debuginfo(module, data, name, base, file, link, link_crc, ret_name);
    lookup_failed = lookup_failed || (fd < 0 && errno == ENOMEM);
    return fd;
}

struct debuginfo *debuginfo_open(const char *path)
{
    static char *debuginfo_path; /* NULL: libdw's default */
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = find_debuginfo,
        .section_address = dwfl_offline_section_address,
        .debuginfo_path = &debuginfo_path,
    };
    struct debuginfo *info = calloc(1, sizeof(*info));
    GElf_Addr bias;
    int fd;

    if (!info)
        return NULL;
    fd = open_regular(path);
    info->dwfl = fd >= 0 ? dwfl_begin(&callbacks) : NULL;
    if (info->dwfl) {
        dwfl_report_begin(info->dwfl);
        info->module = dwfl_report_elf(info->dwfl, path, path, fd, 0, true);
        dwfl_report_end(info->dwfl, NULL, NULL);
    }
    if (!info->module && fd >= 0)
        close(fd);
    if (!info->module || !dwfl_module_getelf(info->module, &bias)) {
        info->broken = errno == ENOMEM;
        debuginfo_close(info);
        return NULL;
    }
    return info;
}

bool debuginfo_is_refused(const struct debuginfo *info)
{
    return info->refused;
}

/* Takes note of what errno says about the last call. Returns whether the file can still be asked. */
static bool is_whole(struct debuginfo *info)
{
    info->refused = errno == ENOMEM || lookup_failed;
    info->broken = info->broken || info->refused;
    return !info->broken;
}

/* Loads the debug information and has it call us when memory is out. */
static void guard(struct debuginfo *info)
{
    Dwarf_Addr bias;
    Dwarf *dwarf = dwfl_module_getdwarf(info->module, &bias), *alternative = dwarf ? dwarf_getalt(dwarf) : NULL;

    if (dwarf)
        dwarf_new_oom_handler(dwarf, on_no_memory);
    if (alternative)
        dwarf_new_oom_handler(alternative, on_no_memory);
    info->guarded = true;
}

void debuginfo_close(struct debuginfo *info)
{
    if (!info)
        return;
    scopes_clear(&info->scopes);
    coldparts_clear(&info->coldparts);
    if (info->dwfl && !info->broken)
        dwfl_end(info->dwfl);
    free(info);
}

size_t debuginfo_build_id(struct debuginfo *info, const uint8_t **ret)
{
    GElf_Addr address;
    int size = dwfl_module_build_id(info->module, ret, &address);

    return size > 0 ? (size_t)size : 0;
}

static const char *keep_text(struct chunks *texts, const char *text, size_t length)
{
    char *copy = chunks_take(texts, length + 1);

    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

/* Length of the name without what the compiler adds to the names of the copies and pieces it makes of a function. */
static size_t plain_length(const char *name)
{
    static const char *const suffixes[] = {".cold",      ".constprop.", ".isra.",      ".part.",
                                           ".lto_priv.", ".llvm.",      ".localalias", ".clone."};
    size_t length = strlen(name);

    if (strncmp(name, "_Z", 2) == 0)
        return strcspn(name, ".");
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        const char *found = strstr(name, suffixes[i]);

        if (found && found > name && (size_t)(found - name) < length)
            length = (size_t)(found - name);
    }
    return length;
}

static void set_function(struct chunks *texts, const char *name, struct symbol *ret)
{
    _cleanup_free_ char *readable = NULL;
    const char *plain = keep_text(texts, name, plain_length(name));

    if (!plain)
        return;
    readable = demangle(plain);
    ret->function = readable ? keep_text(texts, readable, strlen(readable)) : plain;
    ret->mangled = readable && ret->function ? plain : NULL;
}

static void die_function(Dwarf_Die *die, struct chunks *texts, struct symbol *ret)
{
    Dwarf_Attribute attribute;
    const char *name = NULL;

    if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
        dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
        name = dwarf_formstring(&attribute);
    if (!name)
        name = dwarf_diename(die);
    if (name)
        set_function(texts, name, ret);
}

/* The name of the symbol that covers the address. One that begins before it but has an end before it too must not be taken:
 * in a stripped file that would be the wrong name for every function without a symbol. */
static const char *covering_symbol(struct debuginfo *info, uint64_t address)
{
    GElf_Off offset;
    GElf_Sym symbol;
    Dwarf_Addr bias;
    Elf *elf;
    GElf_Word section;
    const char *name = dwfl_module_addrinfo(info->module, address, &offset, &symbol, &section, &elf, &bias);
    unsigned char type;

    if (!name || !*name)
        return NULL;
    type = GELF_ST_TYPE(symbol.st_info);
    if (type != STT_FUNC && type != STT_NOTYPE && type != STT_GNU_IFUNC)
        return NULL;
    if (symbol.st_size != 0 && offset >= symbol.st_size)
        return NULL;
    return name;
}

static void symbol_function(struct debuginfo *info, uint64_t address, struct chunks *texts, struct symbol *ret)
{
    const char *name = covering_symbol(info, address);

    if (!name)
        name = coldparts_find(&info->coldparts, info->module, address);
    if (name)
        set_function(texts, name, ret);
}

/* The unit of a file that has no table of address ranges (clang makes none). */
static Dwarf_Die *search_unit(struct debuginfo *info, uint64_t address, Dwarf_Addr *ret_bias)
{
    Dwarf_Die *unit = NULL;

    while ((unit = dwfl_module_nextcu(info->module, unit, ret_bias)))
        if (dwarf_haspc(unit, address - *ret_bias) == 1)
            return unit;
    return NULL;
}

/* The place from which the function of `die` was inlined. */
static void call_position(Dwarf_Die *unit, Dwarf_Die *die, struct chunks *texts, struct symbol *ret)
{
    Dwarf_Attribute attribute;
    Dwarf_Word number;
    Dwarf_Files *files;
    size_t count;

    ret->file = NULL;
    ret->line = 0;
    if (dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attribute), &number) == 0 && number <= INT32_MAX)
        ret->line = (int)number;
    if (dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &attribute), &number) == 0 &&
        dwarf_getsrcfiles(unit, &files, &count) == 0 && number < count) {
        const char *file = dwarf_filesrc(files, number, NULL, NULL);

        ret->file = file ? keep_text(texts, file, strlen(file)) : NULL;
    }
}

/* Fills in the functions from the innermost scope outwards; positions[0] has the file and line of the address itself.
 * Returns the number of positions that have a function. */
static size_t find_inlined(struct debuginfo *info, Dwarf_Die *unit, uint64_t address, struct chunks *texts,
                           struct symbol *positions)
{
    Dwarf_Die functions[DEBUGINFO_POSITIONS_MAX];
    size_t count = scopes_find(&info->scopes, unit, address, functions, DEBUGINFO_POSITIONS_MAX);

    for (size_t i = 0; i < count; i++) {
        die_function(&functions[i], texts, &positions[i]);
        if (i + 1 < count)
            call_position(unit, &functions[i], texts, &positions[i + 1]);
    }
    return count;
}

static void line_position(struct debuginfo *info, uint64_t address, struct chunks *texts, struct symbol *ret)
{
    Dwfl_Line *line = dwfl_module_getsrc(info->module, address);
    const char *file;
    int number;

    if (!line)
        return;
    file = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);
    if (!file)
        return;
    ret->file = keep_text(texts, file, strlen(file));
    ret->line = number > 0 ? number : 0;
}

static size_t find_positions(struct debuginfo *info, uint64_t address, struct chunks *texts, struct symbol *positions)
{
    Dwarf_Addr bias = 0;
    Dwarf_Die *unit;
    size_t count = 0;

    memset(positions, 0, DEBUGINFO_POSITIONS_MAX * sizeof(*positions));
    unit = dwfl_module_addrdie(info->module, address, &bias);
    if (!unit && errno != ENOMEM)
        unit = search_unit(info, address, &bias);
    if (unit && errno != ENOMEM) {
        line_position(info, address, texts, &positions[0]);
        count = find_inlined(info, unit, address - bias, texts, positions);
    }
    if (count == 0)
        count = 1;
    if (!positions[count - 1].function && errno != ENOMEM)
        symbol_function(info, address, texts, &positions[count - 1]);
    return count > 1 || positions[0].function || positions[0].file ? count : 0;
}

/* Writes the number to *ret; when libdw does not return from it, errno and info->broken say why. */
static void find_or_escape(struct debuginfo *info, uint64_t address, struct chunks *texts, struct symbol *positions,
                           size_t *ret)
{
    jmp_buf here;

    *ret = 0;
    errno = 0;
    escape = &here;
    switch (setjmp(here)) {
    case 0:
        if (!info->guarded)
            guard(info);
        if (errno != ENOMEM)
            *ret = find_positions(info, address, texts, positions);
        break;
    case ESCAPE_REFUSED:
        errno = ENOMEM;
        break;
    default:
        info->broken = true;
    }
    escape = NULL;
}

size_t debuginfo_find(struct debuginfo *info, uint64_t address, struct chunks *texts,
                      struct symbol positions[static DEBUGINFO_POSITIONS_MAX])
{
    size_t count;

    if (info->broken)
        return 0;
    find_or_escape(info, address, texts, positions, &count);
    return is_whole(info) ? count : 0;
}

static const char *find_variable(struct debuginfo *info, uint64_t address, struct chunks *texts, uint64_t *ret_offset)
{
    GElf_Off offset;
    GElf_Sym symbol;
    Dwarf_Addr bias;
    Elf *elf;
    GElf_Word section;
    const char *name = dwfl_module_addrinfo(info->module, address, &offset, &symbol, &section, &elf, &bias);

    if (!name || !*name || GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || offset >= symbol.st_size)
        return NULL;
    *ret_offset = offset;
    struct symbol named = {0};
    set_function(texts, name, &named);
    return named.function;
}

const char *debuginfo_variable(struct debuginfo *info, uint64_t address, struct chunks *texts, uint64_t *ret_offset)
{
    const char *name;

    if (info->broken)
        return NULL;
    errno = 0;
    name = find_variable(info, address, texts, ret_offset);
    return is_whole(info) ? name : NULL;
}
