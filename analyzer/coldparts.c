/* SPDX-License-Identifier: MIT */
#include "coldparts.h"

#include "compiler.h"

#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#define PART_MAX (1u << 20) /* bytes; larger ones are not looked through */
#define OWNERS_MAX 16u      /* functions that a part is seen to jump into; more are not counted */

struct coldpart {
    const struct frame_range *range;
    const char *owner; /* NULL: none */
};

/* A function that the part jumps into. */
struct owner {
    struct frame_range range;
    const char *name;
    unsigned int jumps;
};

struct jump {
    uint64_t target;
    bool conditional;
};

/* ---- code ---- */

/* The bytes of the range in the file, NULL when they are not all there. */
static const uint8_t *range_bytes(Dwfl_Module *module, const struct frame_range *range)
{
    GElf_Addr bias;
    size_t size, count;
    Elf *elf = dwfl_module_getelf(module, &bias);
    const char *file = elf ? elf_rawfile(elf, &size) : NULL;

    if (!file || elf_getphdrnum(elf, &count) < 0)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        uint64_t start = range->start - bias, length = range->end - range->start;

        if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_LOAD || start < header.p_vaddr ||
            start - header.p_vaddr > header.p_filesz || length > header.p_filesz - (start - header.p_vaddr))
            continue;
        uint64_t offset = header.p_offset + (start - header.p_vaddr);
        return offset <= size && length <= size - offset ? (const uint8_t *)file + offset : NULL;
    }
    return NULL;
}

/* The jump with a 32-bit distance that `at` begins with, if it is one. Instructions are not decoded: bytes in the middle of
 * one may look like a jump, but hardly ever like one to where it matters. */
static bool is_jump(const uint8_t *at, size_t left, uint64_t address, struct jump *ret)
{
    bool conditional = left >= 6 && at[0] == 0x0f && at[1] >= 0x80 && at[1] <= 0x8f;
    size_t length = conditional ? 6 : 5;
    int32_t distance;

    if (!conditional && (left < 5 || at[0] != 0xe9))
        return false;
    memcpy(&distance, at + length - sizeof(distance), sizeof(distance));
    *ret = (struct jump){address + length + (uint64_t)(int64_t)distance, conditional};
    return true;
}

static bool is_inside(const struct frame_range *range, uint64_t address)
{
    return address > range->start && address < range->end;
}

/* Whether the function jumps into the part. A conditional jump to its start is one, too: calls that are jumps are not
 * conditional. */
static bool jumps_into(Dwfl_Module *module, const struct frame_range *function, const struct frame_range *part)
{
    const uint8_t *bytes = range_bytes(module, function);
    size_t size = function->end - function->start;
    struct jump jump;

    for (size_t i = 0; bytes && i < size; i++)
        if (is_jump(bytes + i, size - i, function->start + i, &jump) &&
            (is_inside(part, jump.target) || (jump.conditional && jump.target == part->start)))
            return true;
    return false;
}

/* ---- owners ---- */

/* The function that has `address` in its middle. */
static bool function_around(Dwfl_Module *module, uint64_t address, struct owner *ret)
{
    GElf_Off offset;
    GElf_Sym symbol;
    const char *name = dwfl_module_addrinfo(module, address, &offset, &symbol, NULL, NULL, NULL);

    if (!name || !*name || GELF_ST_TYPE(symbol.st_info) != STT_FUNC || offset == 0 || offset >= symbol.st_size)
        return false;
    *ret = (struct owner){{address - offset, address - offset + symbol.st_size}, name, 1};
    return true;
}

/* Notes the function that the part jumps into; returns the number of those known. */
static unsigned int note_owner(Dwfl_Module *module, const struct frame_range *part, uint64_t target,
                               struct owner *owners, unsigned int count)
{
    struct owner owner;

    if (target >= part->start && target < part->end)
        return count;
    for (unsigned int i = 0; i < count; i++) {
        if (is_inside(&owners[i].range, target)) {
            owners[i].jumps++;
            return count;
        }
    }
    if (count < OWNERS_MAX && function_around(module, target, &owner))
        owners[count++] = owner;
    return count;
}

static int compare_jumps(const void *a, const void *b)
{
    const struct owner *left = a, *right = b;

    return (right->jumps > left->jumps) - (right->jumps < left->jumps);
}

static const char *find_owner(Dwfl_Module *module, const struct frame_range *part)
{
    struct owner owners[OWNERS_MAX];
    size_t size = part->end - part->start;
    const uint8_t *bytes = size <= PART_MAX ? range_bytes(module, part) : NULL;
    unsigned int count = 0;
    struct jump jump;

    for (size_t i = 0; bytes && i < size; i++)
        if (is_jump(bytes + i, size - i, part->start + i, &jump))
            count = note_owner(module, part, jump.target, owners, count);
    qsort(owners, count, sizeof(*owners), compare_jumps);
    for (unsigned int i = 0; i < count; i++)
        if (jumps_into(module, &owners[i].range, part))
            return owners[i].name;
    return NULL;
}

/* ---- parts ---- */

static void prepare(struct coldparts *parts, Dwfl_Module *module)
{
    GElf_Addr bias;
    GElf_Ehdr header;
    Elf *elf = dwfl_module_getelf(module, &bias);

    parts->ready = true;
    /* debuginfo.c loads modules at their own addresses. */
    if (elf && bias == 0 && gelf_getehdr(elf, &header) && header.e_machine == EM_X86_64)
        frame_ranges_read(&parts->ranges, elf);
}

const char *coldparts_find(struct coldparts *parts, Dwfl_Module *module, uint64_t address)
{
    const struct frame_range *range;
    struct coldpart *larger;

    if (!parts->ready)
        prepare(parts, module);
    range = frame_ranges_find(&parts->ranges, address);
    if (!range)
        return NULL;
    for (unsigned int i = 0; i < parts->count; i++)
        if (range == parts->parts[i].range)
            return parts->parts[i].owner;
    const char *owner = find_owner(module, range);
    larger = reallocarray(parts->parts, parts->count + 1, sizeof(*larger));
    if (larger) {
        parts->parts = larger;
        parts->parts[parts->count++] = (struct coldpart){range, owner};
    }
    return owner;
}

void coldparts_clear(struct coldparts *parts)
{
    frame_ranges_clear(&parts->ranges);
    free(parts->parts);
    *parts = (struct coldparts){0};
}
