/* SPDX-License-Identifier: MIT
 *
 * Reader of .eh_frame_hdr and .eh_frame. What ld and lld write is handled (sorted table of 32-bit offsets, augmentation
 * "z..."); everything else is -ENOTSUP, so that the caller can ask libunwind. */
#include "cfi.h"

#include "cfi_format.h"
#include "cfi_program.h"
#include "cfi_read.h"
#include "compiler.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

/* An object that holds the pc. */
struct object {
    uintptr_t start, end;
    const uint8_t *header; /* .eh_frame_hdr, or NULL */
};

/* Result of _dl_find_object on x86-64 (an interface of glibc 2.35, fixed since). */
struct find_result {
    uint64_t flags;
    void *start, *end, *link_map, *eh_frame;
    uint64_t reserved[7];
};

static int (*find_object)(void *address, struct find_result *result);

void cfi_init(void)
{
    /* Looked up at run time: a reference would tie the shim to glibc 2.35. */
    *(void **)&find_object = dlsym(RTLD_DEFAULT, "_dl_find_object");
}

/* Without _dl_find_object: the way that takes the loader's lock, only when a pc is met for the first time. */
static int look_at_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct object *object = data;
    uintptr_t pc = object->start;
    const uint8_t *header = NULL;
    bool inside = false;
    uintptr_t start = UINTPTR_MAX, end = 0;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t address = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_GNU_EH_FRAME)
            header = (const uint8_t *)address;
        if (segment->p_type != PT_LOAD)
            continue;
        inside |= pc - address < segment->p_memsz;
        start = MIN(start, address);
        end = MAX(end, address + segment->p_memsz);
    }
    if (inside)
        *object = (struct object){start, end, header};
    return inside;
}

static bool object_of(uintptr_t pc, struct object *object)
{
    struct find_result found;

    if (likely(find_object)) {
        if (find_object((void *)pc, &found))
            return false;
        *object = (struct object){(uintptr_t)found.start, (uintptr_t)found.end, found.eh_frame};
        return true;
    }
    object->start = pc;
    return dl_iterate_phdr(look_at_object, object) != 0;
}

bool cfi_covers(uintptr_t pc)
{
    struct object object;

    return object_of(pc, &object);
}

static bool inside(const struct object *object, const uint8_t *at, size_t size)
{
    return (uintptr_t)at >= object->start && (uintptr_t)at <= object->end && object->end - (uintptr_t)at >= size;
}

/* The FDE that the sorted table has for `pc`: *ret_fde, which may yet end before the pc. */
static int table_search(const struct object *object, uintptr_t pc, const uint8_t **ret_fde)
{
    const uint8_t *header = object->header;

    if (!header || !inside(object, header, 12) || header[0] != 1 || header[2] != PE_UDATA4 ||
        header[3] != (PE_DATAREL | PE_SDATA4) || (header[1] & PE_FORMAT & ~8) != PE_UDATA4)
        return -ENOTSUP;
    size_t count = cfi_u32(header + 8);
    const uint8_t *table = header + 12;
    if (!inside(object, table, count * 8))
        return -ENOTSUP;
    size_t low = 0, high = count; /* the entry is in [low - 1, high - 1] */
    intptr_t wanted = (intptr_t)(pc - (uintptr_t)header);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((int32_t)cfi_u32(table + middle * 8) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return -ENOENT;
    *ret_fde = header + (int32_t)cfi_u32(table + (low - 1) * 8 + 4);
    return 0;
}

/* Reads what the letters of an augmentation string announce. */
static int read_augmentation(const char *letters, const uint8_t *at, struct cfi_cie *cie)
{
    uintptr_t personality;

    for (; *letters; letters++) {
        switch (*letters) {
        case 'R':
            cie->encoding = *at++;
            break;
        case 'L':
            at++;
            break;
        case 'P':
            at++;
            if (cfi_pointer(&at, at[-1], false, &personality))
                return -ENOTSUP;
            break;
        case 'S':
            cie->signal = true;
            break;
        default:
            return -ENOTSUP;
        }
    }
    return 0;
}

static int read_cie(const struct object *object, const uint8_t *at, struct cfi_cie *cie)
{
    if (!inside(object, at, 16) || cfi_u32(at) >= 0xfffffff0 || !inside(object, at + 4, cfi_u32(at)) ||
        cfi_u32(at + 4) != 0)
        return -ENOTSUP;
    *cie = (struct cfi_cie){.end = at + 4 + cfi_u32(at), .encoding = PE_ABSOLUTE};
    uint8_t version = at[8];
    const char *letters = (const char *)at + 9;
    if ((version != 1 && version != 3) || (letters[0] && letters[0] != 'z'))
        return -ENOTSUP;
    at = (const uint8_t *)letters + strlen(letters) + 1;
    cie->code_align = cfi_uleb(&at);
    cie->data_align = cfi_sleb(&at);
    uint64_t ra = version == 1 ? *at++ : cfi_uleb(&at);
    if (ra >= CFI_REGISTERS)
        return -ENOTSUP;
    cie->ra_register = (uint8_t)ra;
    cie->program = at;
    if (letters[0] != 'z')
        return 0;
    cie->augmented = true;
    uint64_t size = cfi_uleb(&at);
    cie->program = at + size;
    return cie->program <= cie->end ? read_augmentation(letters + 1, at, cie) : -ENOTSUP;
}

int cfi_row(uintptr_t pc, struct cfi_frame *ret_frame, struct cfi_row *ret_row)
{
    struct object object;
    const uint8_t *fde;
    struct cfi_cie cie;
    uintptr_t start, size;

    if (!object_of(pc, &object))
        return -ENXIO;
    int r = table_search(&object, pc, &fde);
    if (r < 0)
        return r;
    if (!inside(&object, fde, 16) || cfi_u32(fde) >= 0xfffffff0 || !inside(&object, fde + 4, cfi_u32(fde)))
        return -ENOTSUP;
    const uint8_t *end = fde + 4 + cfi_u32(fde), *at = fde + 8;
    r = read_cie(&object, fde + 4 - cfi_u32(fde + 4), &cie);
    if (r < 0 || (r = cfi_pointer(&at, cie.encoding, true, &start)) < 0 ||
        (r = cfi_pointer(&at, cie.encoding & PE_FORMAT, false, &size)) < 0)
        return r;
    if (pc - start >= size)
        return -ENOENT;
    if (cie.augmented) {
        uint64_t skipped = cfi_uleb(&at);
        at += skipped;
    }
    *ret_frame = (struct cfi_frame){start, start + size, cie.ra_register, cie.signal};
    return cfi_program_row(&cie, at, end, start, pc, ret_row);
}
