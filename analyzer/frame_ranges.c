/* SPDX-License-Identifier: MIT */
#include "frame_ranges.h"

#include "compiler.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

/* .eh_frame, and what its entries are encoded by. */
struct section {
    const unsigned char *identity; /* e_ident of the file */
    Elf_Data *data;
    uint64_t address;
    Dwarf_Off common; /* the CIE whose encoding this is */
    unsigned int encoding;
};

static bool find_section(Elf *elf, struct section *ret)
{
    size_t names;
    Elf_Scn *section = NULL;
    GElf_Shdr header;

    if (elf_getshdrstrndx(elf, &names) < 0)
        return false;
    while ((section = elf_nextscn(elf, section))) {
        const char *name = gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;

        if (!name || strcmp(name, ".eh_frame") != 0 || header.sh_type == SHT_NOBITS)
            continue;
        *ret = (struct section){
            .identity = (const unsigned char *)elf_getident(elf, NULL),
            .data = elf_rawdata(section, NULL),
            .address = header.sh_addr,
            .common = (Dwarf_Off)-1,
        };
        return ret->data && ret->data->d_buf && ret->identity;
    }
    return false;
}

static size_t pointer_size(unsigned int encoding)
{
    switch (encoding & 0x7) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
        return 8;
    case DW_EH_PE_udata4:
        return 4;
    default:
        return 0; /* not used for code */
    }
}

/* The encoding of addresses, from the letters of the augmentation and their data. */
static unsigned int encoding_of(const Dwarf_CIE *cie)
{
    const uint8_t *data = cie->augmentation_data, *end = data + cie->augmentation_data_size;

    if (cie->augmentation[0] != 'z')
        return DW_EH_PE_absptr;
    for (const char *letter = cie->augmentation + 1; *letter && data < end; letter++) {
        if (*letter == 'R')
            return *data;
        if (*letter == 'P') {
            size_t size = pointer_size(*data);
            if (!size || size >= (size_t)(end - data))
                return DW_EH_PE_omit;
            data += 1 + size;
        } else if (*letter == 'L') {
            data++;
        }
    }
    return DW_EH_PE_absptr;
}

static unsigned int common_encoding(struct section *section, Dwarf_Off offset)
{
    Dwarf_CFI_Entry entry;
    Dwarf_Off next;

    if (section->common == offset)
        return section->encoding;
    section->common = offset;
    section->encoding = DW_EH_PE_omit;
    if (dwarf_next_cfi(section->identity, section->data, true, offset, &next, &entry) == 0 && dwarf_cfi_cie_p(&entry))
        section->encoding = encoding_of(&entry.cie);
    return section->encoding;
}

static uint64_t read_number(const uint8_t *at, size_t size, bool is_signed)
{
    uint64_t wide;
    uint32_t narrow;

    if (size == 8) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return is_signed ? (uint64_t)(int64_t)(int32_t)narrow : narrow;
}

static bool read_range(struct section *section, const Dwarf_FDE *fde, struct frame_range *ret)
{
    unsigned int encoding = common_encoding(section, fde->CIE_pointer);
    size_t size = encoding == DW_EH_PE_omit ? 0 : pointer_size(encoding);
    unsigned int base = encoding & 0x70;

    if (!size || (size_t)(fde->end - fde->start) < 2 * size || (base != DW_EH_PE_absptr && base != DW_EH_PE_pcrel))
        return false;
    ret->start = read_number(fde->start, size, encoding & DW_EH_PE_signed);
    if (base == DW_EH_PE_pcrel)
        ret->start += section->address + (uint64_t)(fde->start - (const uint8_t *)section->data->d_buf);
    ret->end = ret->start + read_number(fde->start + size, size, false);
    return ret->end > ret->start;
}

static bool append(struct frame_ranges *ranges, const struct frame_range *range)
{
    if (ranges->count == ranges->room) {
        size_t room = MAX(ranges->room * 2, (size_t)256);
        struct frame_range *larger = reallocarray(ranges->ranges, room, sizeof(*larger));

        if (!larger)
            return false;
        ranges->ranges = larger;
        ranges->room = room;
    }
    ranges->ranges[ranges->count++] = *range;
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct frame_range *left = a, *right = b;

    return (left->start > right->start) - (left->start < right->start);
}

void frame_ranges_read(struct frame_ranges *ranges, Elf *elf)
{
    struct section section;
    struct frame_range range;
    Dwarf_CFI_Entry entry;
    Dwarf_Off offset = 0, next;
    int result;

    if (!find_section(elf, &section))
        return;
    while ((result = dwarf_next_cfi(section.identity, section.data, true, offset, &next, &entry)) != 1) {
        if (next <= offset)
            break;
        offset = next;
        if (result < 0 || dwarf_cfi_cie_p(&entry) || !read_range(&section, &entry.fde, &range))
            continue;
        if (!append(ranges, &range))
            break;
    }
    if (ranges->count)
        qsort(ranges->ranges, ranges->count, sizeof(*ranges->ranges), compare);
}

const struct frame_range *frame_ranges_find(const struct frame_ranges *ranges, uint64_t address)
{
    size_t low = 0, high = ranges->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ranges->ranges[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low && address < ranges->ranges[low - 1].end ? &ranges->ranges[low - 1] : NULL;
}

void frame_ranges_clear(struct frame_ranges *ranges)
{
    free(ranges->ranges);
    *ranges = (struct frame_ranges){0};
}
